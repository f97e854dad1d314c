package container

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestOwnProgram: an image that names /proc/self/exe does not get the runtime
// executed inside (CVE-2019-5736). The runtime is this test, which says so if it
// is; without the detour it does.
func TestOwnProgram(t *testing.T) {
	needRoot(t)
	l := layersOf(t, layer(t, map[string]string{"script": "#!/proc/self/exe\n"}))
	for _, program := range []string{"/proc/self/exe", "/script"} {
		for _, straight := range []bool{false, true} {
			s := without(sample(), specs.UserNamespace)
			s.Process.Args = []string{program}
			s.Process.Env = []string{"CONTAINER_TEST_HELPER=inside"}
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			dev := null(t)
			c, err := Start(t.Context(), Config{Spec: s, Layers: l, Dir: filepath.Join(t.TempDir(), "c"), Stdin: dev, Stdout: w, Stderr: w, straight: straight})
			w.Close()
			var out []byte
			if err == nil {
				r.SetReadDeadline(time.Now().Add(20 * time.Second))
				if out, err = io.ReadAll(r); err != nil {
					t.Error(err)
				}
				if err := c.Remove(context.Background()); err != nil {
					t.Error(err)
				}
			}
			r.Close()
			if ran := strings.Contains(string(out), helperInside); ran != straight {
				t.Errorf("%s, detour %v: the runtime ran inside: %v (%v, %q)", program, !straight, ran, err, out)
			}
		}
	}
}

// TestHiddenParent: the processes of a container cannot look at the copy of the
// runtime that enters it to execute another program.
func TestHiddenParent(t *testing.T) {
	needRoot(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	root, dev := filepath.Join(t.TempDir(), "state"), null(t)
	s := without(sample("spy"), specs.UserNamespace)
	h, err := Create(t.Context(), root, Config{ID: "spy", Spec: s, Layers: layersOf(t), Dir: filepath.Join(t.TempDir(), "c"), Stdin: dev, Stdout: w, Stderr: w})
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Delete(context.Background(), true)
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.SetReadDeadline(time.Now().Add(20 * time.Second))
	lines := bufio.NewReader(r)
	if line, err := lines.ReadString('\n'); line != "ready\n" {
		t.Fatal(line, err)
	}
	for range 40 {
		p := *s.Process
		p.Args = []string{"/probe", "exit 0"}
		e, err := h.Exec(t.Context(), Exec{Process: &p, Stdin: dev, Stdout: dev, Stderr: dev})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Kill(unix.SIGKILL, false); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(lines)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(rest), "/probe\n") || strings.Contains(string(rest), self) {
		t.Errorf("the programs that it saw: %q", rest)
	}
}

// TestDetour: it tries the files in turn, and tells which errno the last one had.
func TestDetour(t *testing.T) {
	needRoot(t)
	l := layersOf(t, layer(t, map[string]string{"text": "neither ELF nor script\n", "bin/x": ""}))
	for _, tt := range []struct {
		args  []string
		env   string
		errno error
		out   string
	}{
		{[]string{"probe", "exit 3"}, "PATH=/no:/text:/bin:/", nil, "exit status 3"},
		{[]string{"/probe", "exit 4"}, "", nil, "exit status 4"},
		{[]string{"/no/program"}, "", unix.ENOENT, ""},
		{[]string{"text"}, "PATH=/no:/", unix.ENOEXEC, ""},
		{[]string{"bin"}, "PATH=/", unix.EACCES, ""},
	} {
		s := without(sample(), specs.UserNamespace)
		s.Process.Args, s.Process.Env = tt.args, []string{tt.env}
		b, err := tryBox(t, l, s)
		if !errors.Is(err, tt.errno) {
			t.Errorf("%q: %v, want %v", tt.args, err, tt.errno)
		}
		if err != nil {
			continue
		}
		<-b.Done()
		if got := b.Status().String(); got != tt.out {
			t.Errorf("%q: %s, want %s", tt.args, got, tt.out)
		}
		if err := b.Remove(context.Background()); err != nil {
			t.Error(err)
		}
	}
}
