package build

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
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

// Config is how a container of the image starts (image-spec, config.md). What
// a recipe leaves out it has from its base; Env, Labels, Ports and Volumes are
// added to the base's.
type Config struct {
	Entrypoint []string
	Cmd        []string
	Env        []string // NAME=VALUE
	User       string
	Workdir    string
	Ports      []string // PORT or PORT/udp
	Volumes    []string
	StopSignal string `yaml:"stop-signal"`
	Labels     map[string]string
}

// Load reads the recipe name, file name.yaml of dir, and those that it is based
// on. A base is looked for in dir first and then in library.
func Load(dir, library fs.FS, name string) (*Recipe, error) {
	return load(dir, library, name, nil)
}

func load(dir, library fs.FS, name string, above []string) (*Recipe, error) {
	if slices.Contains(above, name) {
		return nil, fmt.Errorf("recipe %s: it is based on itself: %s", name, strings.Join(append(above, name), ", "))
	}
	file := name + ".yaml"
	b, err := fs.ReadFile(dir, file)
	if errors.Is(err, fs.ErrNotExist) && len(above) > 0 {
		dir = library
		b, err = fs.ReadFile(dir, file)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no recipe %q; there are %s", name, strings.Join(Names(library), ", "))
	}
	if err != nil {
		return nil, fmt.Errorf("reading the recipe %s: %w", name, err)
	}
	r, err := Parse(name, b)
	if err != nil {
		return nil, err
	}
	r.dir = dir
	if r.From != Scratch {
		if r.base, err = load(dir, library, r.From, append(above, name)); err != nil {
			return nil, fmt.Errorf("the base of recipe %s: %w", name, err)
		}
	}
	return r, nil
}

// In tells whether the recipe is from this folder.
func (r *Recipe) In(dir fs.FS) bool { return r.dir == dir }

// Names are the recipes of a folder.
func Names(dir fs.FS) (names []string) {
	files, _ := fs.Glob(dir, "*.yaml")
	for _, f := range files {
		names = append(names, strings.TrimSuffix(f, ".yaml"))
	}
	return names
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

// chain is the recipe and its bases, the lowest first.
func (r *Recipe) chain() []*Recipe {
	if r == nil {
		return nil
	}
	return append(r.base.chain(), r)
}

// part is one layer of a chain of recipes, with what it has from its recipe.
type part struct {
	Layer
	recipe  *Recipe
	number  int // in its recipe, from 1
	exclude []string
	include []string
}

func (p part) String() string { return fmt.Sprintf("layer %d of recipe %s", p.number, p.recipe.Name) }

// parts are all layers of a recipe's image, the lowest first.
func (r *Recipe) parts() (parts []part) {
	var exclude, include []string
	for _, r := range r.chain() {
		exclude = append(exclude, r.Exclude...)
		include = append(include, r.Include...)
		for i, l := range r.Layers {
			parts = append(parts, part{l, r, i + 1, slices.Concat(exclude, l.Remove), slices.Clone(include)})
		}
	}
	return parts
}

// Digest names the recipe, with its bases and the files that they name, by
// content: with the packages of a lock it makes one image.
func (r *Recipe) Digest() (v1.Hash, error) {
	h := sha256.New()
	for _, r := range r.chain() {
		b, err := json.Marshal(r)
		if err != nil {
			return v1.Hash{}, err
		}
		fmt.Fprintf(h, "%s %d %s\n", r.Name, len(b), b)
		for _, l := range r.Layers {
			for _, p := range sorted(l.Files) {
				if s := l.Files[p].Source; s != "" {
					b, err := fs.ReadFile(r.dir, s)
					if err != nil {
						return v1.Hash{}, fmt.Errorf("recipe %s: %w", r.Name, err)
					}
					fmt.Fprintf(h, "%s %d %s\n", s, len(b), b)
				}
			}
		}
	}
	return v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", h.Sum(nil))}, nil
}

// apply puts what the recipe says over the configuration of its base.
func (c Config) apply(to *v1.Config) error {
	if c.Entrypoint != nil {
		to.Entrypoint, to.Cmd = c.Entrypoint, nil // the base's arguments are not for this program
	}
	if c.Cmd != nil {
		to.Cmd = c.Cmd
	}
	for _, e := range c.Env {
		name, _, _ := strings.Cut(e, "=")
		to.Env = append(slices.DeleteFunc(slices.Clone(to.Env), func(o string) bool { return strings.HasPrefix(o, name+"=") }), e)
	}
	for _, s := range []struct{ to, from *string }{{&to.User, &c.User}, {&to.WorkingDir, &c.Workdir}, {&to.StopSignal, &c.StopSignal}} {
		if *s.from != "" {
			*s.to = *s.from
		}
	}
	for _, p := range c.Ports {
		number, protocol, ok := strings.Cut(p, "/")
		if n, err := strconv.ParseUint(number, 10, 16); err != nil || n == 0 || ok && protocol != "tcp" && protocol != "udp" {
			return fmt.Errorf("%q is no port, such as 80 or 53/udp", p)
		}
		if !ok {
			p += "/tcp"
		}
		set(&to.ExposedPorts, p, struct{}{})
	}
	for _, v := range c.Volumes {
		set(&to.Volumes, v, struct{}{})
	}
	for k, v := range c.Labels {
		set(&to.Labels, k, v)
	}
	return nil
}

func set[V any](m *map[string]V, k string, v V) {
	if *m == nil {
		*m = map[string]V{}
	}
	(*m)[k] = v
}
