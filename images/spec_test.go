package images

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/runtime-spec/specs-go"
)

func TestProcess(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config v1.Config
		args   []string
		want   Process
		err    string
	}{
		{"entrypoint and command", v1.Config{Entrypoint: []string{"/p", "-v"}, Cmd: []string{"idle"}}, nil,
			Process{Args: []string{"/p", "-v", "idle"}, Cwd: "/"}, ""},
		{"arguments replace the command", v1.Config{Entrypoint: []string{"/p"}, Cmd: []string{"idle", "long"}}, []string{"exit"},
			Process{Args: []string{"/p", "exit"}, Cwd: "/"}, ""},
		{"no entrypoint", v1.Config{Cmd: []string{"/p", "idle"}}, nil, Process{Args: []string{"/p", "idle"}, Cwd: "/"}, ""},
		{"only arguments", v1.Config{}, []string{"/p"}, Process{Args: []string{"/p"}, Cwd: "/"}, ""},
		{"environment and folder", v1.Config{Cmd: []string{"/p"}, Env: []string{"A=1", "B="}, WorkingDir: "/srv"}, nil,
			Process{Args: []string{"/p"}, Env: []string{"A=1", "B="}, Cwd: "/srv"}, ""},
		{"user 0", v1.Config{Cmd: []string{"/p"}, User: "0"}, nil, Process{Args: []string{"/p"}, Cwd: "/"}, ""},
		{"user root", v1.Config{Cmd: []string{"/p"}, User: "root"}, nil, Process{Args: []string{"/p"}, Cwd: "/"}, ""},
		{"nothing to run", v1.Config{Env: []string{"A=1"}}, nil, Process{}, "the image test names no program"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			img := &Image{Name: "test", Config: &v1.ConfigFile{Config: tt.config}}
			got, err := img.Process(tt.args)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want %q", err, tt.err)
				}
				return
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
				t.Error(diff, err)
			}
		})
	}
}

// TestProcessCopies: the arguments of one container are not another's.
func TestProcessCopies(t *testing.T) {
	entrypoint := make([]string, 1, 10) // with room to append in place
	entrypoint[0] = "/p"
	img := &Image{Config: &v1.ConfigFile{Config: v1.Config{Entrypoint: entrypoint}}}
	one, err1 := img.Process([]string{"one"})
	two, err2 := img.Process([]string{"two"})
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if one.Args[1] != "one" || two.Args[1] != "two" {
		t.Errorf("arguments %q and %q", one.Args, two.Args)
	}
	two.Args[0] = "changed"
	if img.Config.Config.Entrypoint[0] != "/p" {
		t.Error("the image's entrypoint was changed")
	}
}

// TestProcessUser: who an image runs as is looked up in the image's files.
func TestProcessUser(t *testing.T) {
	s := open(t, t.TempDir())
	layer := archive(t, reg("etc/passwd", 0o644, "web:x:33:34::/srv:/bin/sh\n"), reg("etc/group", 0o644, "web:x:34:\nlog:x:4:web\n"))
	img := put(t, s, "test", image(t, layer))
	img.Config.Config = v1.Config{Cmd: []string{"/p"}, User: "web", Env: []string{"A=1"}}
	got, err := img.Process(nil)
	want := Process{Args: []string{"/p"}, Env: []string{"A=1", "HOME=/srv"}, Cwd: "/", User: specs.User{UID: 33, GID: 34, AdditionalGids: []uint32{4}}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	img.Config.Config.User = "nobody"
	if _, err := img.Process(nil); err == nil || !strings.Contains(err.Error(), "there is none of that name in the image's /etc/passwd") {
		t.Error(err)
	}
}
