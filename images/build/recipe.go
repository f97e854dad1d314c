package build

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"vmctr/images"
)

// A Recipe says what an image is made of. It is a YAML file; what it may hold
// is what these types have.
type Recipe struct {
	Name  string `yaml:"-"` // that of its file
	About string // what it is, in a line
	From  string // the recipe of its base, or "scratch": nothing
	// Exclude and Include are patterns of paths, for this recipe's layers and
	// those upon them: what an Exclude matches and no Include does is left
	// out of packages. As in dpkg.cfg(5), a * matches slashes too.
	Exclude []string
	Include []string
	Layers  []Layer
	Config  Config
	Ready   *images.Ready // inherited, if it is nil

	base *Recipe
	dir  fs.FS // where the files are that it names
}

// Scratch is the base of what has none.
const Scratch = "scratch"

// A Layer is a set of changes to the file system below it. Paths are absolute.
type Layer struct {
	Packages []string // names of Debian's packages; theirs that they depend on come along
	Without  []string // packages to do without, though others depend on them
	Users    []User
	Folders  map[string]Folder
	Files    map[string]File
	Links    map[string]string // symbolic links: where they are, and where to
	// Names are further names of a file, in the same folder: symbolic links to
	// it, as of a program that does what its name says.
	Names  map[string][]string
	Remove []string // patterns of paths of this layer's packages to leave out, too
}

// A User is a line of /etc/passwd, and one of /etc/group for a group of the
// same name and number (passwd(5), group(5)).
type User struct {
	Name   string
	ID     uint32
	Home   string   // "/nonexistent" if it is not given
	Shell  string   // "/usr/sbin/nologin" if it is not given
	Groups []string // other groups to be in, by name
}

// A Folder with attributes that matter. The others are made as they are needed,
// with mode 0755, root's.
type Folder struct {
	Mode  Mode   // 0755 if it is not given
	Owner string // USER[:GROUP], by name in the image's /etc/passwd; root if it is not given
}

// A File of the recipe has its content from one of three places.
type File struct {
	Mode    Mode   // 0644 if it is not given
	Owner   string // as a Folder's
	Content string // given here
	Source  string // a file beside the recipe
	Copy    string // a file of the layer's packages; with a pattern (path.Match) all that match, one after the other
}

// Mode is the permission bits of a file, in octal.
type Mode uint32

// UnmarshalYAML reads a mode as chmod(1) does: 755 and 0755 are the same.
func (m *Mode) UnmarshalYAML(n *yaml.Node) error {
	v, err := strconv.ParseUint(n.Value, 8, 12)
	if err != nil || v == 0 {
		return fmt.Errorf("line %d: %q is no mode in octal, such as 0755", n.Line, n.Value)
	}
	*m = Mode(v)
	return nil
}

// Parse reads one recipe, without its base.
func Parse(name string, b []byte) (*Recipe, error) {
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	r := &Recipe{Name: name}
	if err := d.Decode(r); err != nil {
		return nil, fmt.Errorf("recipe %s: %w", name, err)
	}
	if err := d.Decode(new(any)); err != io.EOF {
		return nil, fmt.Errorf("recipe %s: it is more than one YAML document", name)
	}
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("recipe %s: %w", name, err)
	}
	return r, nil
}

// check finds what YAML allows and a recipe does not.
func (r *Recipe) check() error {
	if r.From == "" {
		return errors.New("from is missing: name a recipe, or scratch")
	}
	for i, l := range r.Layers {
		if err := l.check(); err != nil {
			return fmt.Errorf("layer %d: %w", i+1, err)
		}
	}
	for _, e := range r.Config.Env {
		if name, _, ok := strings.Cut(e, "="); !ok || name == "" {
			return fmt.Errorf("env: %q is not NAME=VALUE", e)
		}
	}
	if r.Ready != nil {
		if err := r.Ready.Check(); err != nil {
			return fmt.Errorf("ready: %w", err)
		}
	}
	return nil
}

func (l Layer) check() error {
	where := map[string]string{}
	at := func(what, p string) error {
		if p != path.Clean(p) || !strings.HasPrefix(p, "/") || p == "/" {
			return fmt.Errorf("%s: %q is not a clean absolute path", what, p)
		}
		if where[p] != "" {
			return fmt.Errorf("%s is given twice: in %s and in %s", p, where[p], what)
		}
		where[p] = what
		return nil
	}
	for _, p := range sorted(l.Folders) {
		if err := at("folders", p); err != nil {
			return err
		}
	}
	for p, target := range l.links() {
		if err := at("links", p); err != nil {
			return err
		}
		if target == "" {
			return fmt.Errorf("link %s leads nowhere", p)
		}
	}
	for _, p := range sorted(l.Files) {
		if err := at("files", p); err != nil {
			return err
		}
		given := 0
		for _, s := range []string{l.Files[p].Content, l.Files[p].Source, l.Files[p].Copy} {
			if s != "" {
				given++
			}
		}
		if given > 1 {
			return fmt.Errorf("file %s has more than one of content, source and copy", p)
		}
	}
	for _, p := range append(slices.Clone(l.Packages), l.Without...) {
		if strings.Trim(p, "abcdefghijklmnopqrstuvwxyz0123456789+-.") != "" || len(p) < 2 || strings.Trim(p[:1], "+-.") == "" {
			return fmt.Errorf("%q is not the name of a package (Debian policy, 5.6.1)", p)
		}
	}
	for _, u := range l.Users {
		if u.Name == "" || strings.ContainsAny(u.Name+u.Home+u.Shell, ":\n") {
			return fmt.Errorf("user %q: a name is missing, or something holds a colon", u.Name)
		}
	}
	return nil
}

// links are the symbolic links, those of Names too, in order.
func (l Layer) links() iter.Seq2[string, string] {
	return func(yield func(where, target string) bool) {
		for _, p := range sorted(l.Links) {
			if !yield(p, l.Links[p]) {
				return
			}
		}
		for _, p := range sorted(l.Names) {
			for _, name := range l.Names[p] {
				if !yield(path.Join(path.Dir(p), name), path.Base(p)) {
					return
				}
			}
		}
	}
}
