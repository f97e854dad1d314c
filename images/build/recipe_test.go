package build

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"vmctr/images"
	"vmctr/images/recipes"
)

func TestParse(t *testing.T) {
	r, err := Parse("x", []byte(`
about: A test.
from: debian
exclude: [/usr/share/doc/*]
layers:
  - packages: [hello, libc6]
    without: [perl]
    users: [{name: x, id: 7, home: /x}]
    folders:
      /x: {mode: 2775, owner: x}
    files:
      /etc/x: {mode: 0600, content: "a\n"}
    links:
      /usr/bin/b: a
    names:
      /usr/bin/a: [c, 'false']
config:
  cmd: [x, -y]
  ports: ["80", 53/udp]
  stop-signal: SIGINT
ready: {port: 80, send: "PING\r\n", expect: R}
`))
	if err != nil {
		t.Fatal(err)
	}
	l := r.Layers[0]
	if l.Folders["/x"].Mode != 0o2775 || l.Files["/etc/x"].Mode != 0o600 || l.Users[0].ID != 7 {
		t.Errorf("layer: %+v", l)
	}
	links := map[string]string{}
	for where, target := range l.links() {
		links[where] = target
	}
	if len(links) != 3 || links["/usr/bin/b"] != "a" || links["/usr/bin/c"] != "a" || links["/usr/bin/false"] != "a" {
		t.Errorf("links: %v", links)
	}
	if want := (images.Ready{Port: 80, Send: "PING\r\n", Expect: "R"}); r.Ready == nil || *r.Ready != want {
		t.Errorf("ready: %+v", r.Ready)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tt := range []struct{ recipe, want string }{
		{"", "EOF"},
		{"about: x", "from is missing"},
		{"from: scratch\npackages: [x]", "field packages not found"},
		{"from: scratch\n---\nfrom: scratch", "more than one YAML document"},
		{"from: scratch\nlayers: [{packages: [-o, x]}]", `"-o" is not the name of a package`},
		{"from: scratch\nlayers: [{packages: ['a b']}]", "is not the name of a package"},
		{"from: scratch\nlayers: [{packages: [x], without: ['a/b']}]", "is not the name of a package"},
		{"from: scratch\nlayers: [{files: {etc/x: {}}}]", "not a clean absolute path"},
		{"from: scratch\nlayers: [{files: {/etc/../x: {}}}]", "not a clean absolute path"},
		{"from: scratch\nlayers: [{folders: {/: {}}}]", "not a clean absolute path"},
		{"from: scratch\nlayers: [{files: {/x: {}}, links: {/x: y}}]", "/x is given twice"},
		{"from: scratch\nlayers: [{links: {/x: ''}}]", "leads nowhere"},
		{"from: scratch\nlayers: [{files: {/x: {content: a, copy: /b}}}]", "more than one of"},
		{"from: scratch\nlayers: [{files: {/x: {mode: 0999}}}]", "no mode in octal"},
		{"from: scratch\nlayers: [{files: {/x: {mode: 17777}}}]", "no mode in octal"},
		{"from: scratch\nlayers: [{users: [{name: 'a:b'}]}]", "holds a colon"},
		{"from: scratch\nconfig: {env: [A]}", "is not NAME=VALUE"},
		{"from: scratch\nready: {}", "ready: it takes a port"},
		{"from: scratch\nready: {line: x, send: y}", "takes a port"},
	} {
		if r, err := Parse("x", []byte(tt.recipe)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %+v, %v; want an error with %q", tt.recipe, r, err, tt.want)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := fstest.MapFS{
		"own.yaml":   {Data: []byte("from: base\nexclude: [/b]\nlayers: [{remove: [/c]}, {files: {/x: {source: file}}}]")},
		"base.yaml":  {Data: []byte("from: scratch\nexclude: [/a]\nlayers: [{}]")},
		"far.yaml":   {Data: []byte("from: debian")},
		"loop.yaml":  {Data: []byte("from: loop2")},
		"loop2.yaml": {Data: []byte("from: loop")},
		"none.yaml":  {Data: []byte("from: nothing")},
		"file":       {Data: []byte("1")},
	}
	r, err := Load(dir, recipes.FS, "own")
	if err != nil {
		t.Fatal(err)
	}
	parts := r.parts()
	if len(parts) != 3 || parts[0].recipe.Name != "base" || parts[2].number != 2 {
		t.Fatalf("parts: %v", parts)
	}
	if e := parts[1].exclude; !slices.Equal(e, []string{"/a", "/b", "/c"}) {
		t.Errorf("the first own layer excludes %q", e)
	}
	if e := parts[2].exclude; !slices.Equal(e, []string{"/a", "/b"}) {
		t.Errorf("the second own layer excludes %q", e)
	}
	before, err := r.Digest()
	if err != nil {
		t.Fatal(err)
	}
	dir["file"].Data = []byte("2")
	if after, err := r.Digest(); err != nil || after == before {
		t.Errorf("the digest is %v, %v after a file of the recipe has changed", after, err)
	}
	if r, err := Load(dir, recipes.FS, "far"); err != nil || !r.base.In(recipes.FS) {
		t.Errorf("a base from the library: %v", err)
	}
	for name, want := range map[string]string{
		"loop": "based on itself: loop, loop2", "none": `no recipe "nothing"`, "missing": "there are busybox, debian",
	} {
		if _, err := Load(dir, recipes.FS, name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

// TestRecipes reads all that bench has.
func TestRecipes(t *testing.T) {
	names := Names(recipes.FS)
	for _, want := range strings.Fields("scratch busybox debian nginx httpd redis postgres mysql python node golang eclipse-temurin") {
		if !slices.Contains(names, want) {
			t.Errorf("there is no recipe %s", want)
		}
	}
	for _, name := range names {
		r, err := Load(recipes.FS, recipes.FS, name)
		if err != nil {
			t.Error(err)
			continue
		}
		if r.About == "" {
			t.Errorf("%s does not say what it is", name)
		}
		var c v1.Config
		for _, r := range r.chain() {
			if err := r.Config.apply(&c); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if name != "scratch" && len(c.Cmd) == 0 {
			t.Errorf("%s has no program", name)
		}
		if serves := len(c.ExposedPorts) > 0; serves != (r.Ready != nil) {
			t.Errorf("%s exposes ports %v, and is ready as %+v", name, c.ExposedPorts, r.Ready)
		}
	}
}

func TestConfigApply(t *testing.T) {
	var c v1.Config
	base := Config{Entrypoint: []string{"e"}, Cmd: []string{"c"}, Env: []string{"PATH=/bin", "A=1"}, User: "u", Workdir: "/w", Ports: []string{"80"}, Labels: map[string]string{"l": "1"}}
	own := Config{Entrypoint: []string{"f"}, Env: []string{"A=2", "B=3"}, Ports: []string{"53/udp"}, Volumes: []string{"/v"}, StopSignal: "SIGINT"}
	for _, x := range []Config{base, own} {
		if err := x.apply(&c); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(c.Entrypoint, []string{"f"}) || c.Cmd != nil {
		t.Errorf("program %q, arguments %q: those of the base are for another program", c.Entrypoint, c.Cmd)
	}
	if !slices.Equal(c.Env, []string{"PATH=/bin", "A=2", "B=3"}) {
		t.Errorf("environment %q", c.Env)
	}
	if _, ok := c.ExposedPorts["80/tcp"]; !ok || len(c.ExposedPorts) != 2 || c.User != "u" || c.WorkingDir != "/w" || c.StopSignal != "SIGINT" || c.Labels["l"] != "1" {
		t.Errorf("config: %+v", c)
	}
	for _, port := range []string{"0", "http", "70000", "80/sctp"} {
		if err := (Config{Ports: []string{port}}).apply(&v1.Config{}); err == nil {
			t.Errorf("port %q is taken", port)
		}
	}
}
