package images

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
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
		{"another user", v1.Config{Cmd: []string{"/p"}, User: "nobody"}, nil, Process{}, "the image test runs as user nobody"},
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
