package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// programs is the folder that bench-oci and the tests' probe are built in.
var programs string

func TestMain(m *testing.M) {
	var err error
	if programs, err = os.MkdirTemp("", "bench-oci-test"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin") // not in an ordinary user's
	code := m.Run()
	os.RemoveAll(programs)
	os.Exit(code)
}

// built builds the programs, once.
var built = sync.OnceValue(func() error {
	for out, pkg := range map[string]string{"bench-oci": ".", "probe": "../testdata/probe"} {
		cmd := exec.Command("go", "build", "-o", filepath.Join(programs, out), pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %v\n%s", cmd, err, text)
		}
	}
	return nil
})

// required tells whether what a test lacks is to be a failure.
func required(what string) bool {
	return slices.Contains(strings.Split(os.Getenv("BENCH_REQUIRE"), ","), what)
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		if required("root") {
			t.Fatal("BENCH_REQUIRE=root, and this is not root")
		}
		t.Skip("makes real containers, needs root: sudo scripts/test")
	}
}

// A bundle is a folder with a root that holds the probe, and what is said to
// bench-oci about it.
type bundle struct {
	t   *testing.T
	dir string
}

func newBundle(t *testing.T, args ...string) *bundle {
	t.Helper()
	needRoot(t)
	if err := built(); err != nil {
		t.Fatal(err)
	}
	b := &bundle{t, t.TempDir()}
	if err := os.MkdirAll(filepath.Join(b.dir, "rootfs"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(programs, "probe"), filepath.Join(b.dir, "rootfs/probe")); err != nil {
		t.Fatal(err)
	}
	if out, code := b.oci("spec", "--bundle", b.dir); code != 0 {
		t.Fatal(out)
	}
	b.change(func(s *specs.Spec) {
		s.Process.Args, s.Process.Terminal = append([]string{"/probe"}, args...), false
		s.Linux.CgroupsPath = "/benchtest-oci-" + filepath.Base(filepath.Dir(b.dir))
	})
	t.Cleanup(func() {
		out, _ := b.oci("list", "-q")
		for id := range strings.FieldsSeq(out) {
			b.oci("delete", "--force", id)
		}
	})
	return b
}

// command is bench-oci with a state folder and a log of this bundle.
func (b *bundle) command(args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(programs, "bench-oci"), append([]string{"--root", filepath.Join(b.dir, "state"), "--log", filepath.Join(b.dir, "log"), "--log-format", "json"}, args...)...)
	cmd.Dir = b.dir
	return cmd
}

func (b *bundle) oci(args ...string) (string, int) {
	b.t.Helper()
	return output(b.t, b.command(args...))
}

// output runs a command, which has half a minute. Its output is a file, since a
// created container keeps its streams, so that a pipe would not end.
func output(t *testing.T, cmd *exec.Cmd) (string, int) {
	t.Helper()
	out, err := os.CreateTemp(t.TempDir(), "out")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = out, out, time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(30*time.Second, func() {
		t.Errorf("%v: not done after 30 s", cmd.Args)
		cmd.Process.Kill()
	})
	cmd.Wait()
	late.Stop()
	text, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

// must runs a command that has to succeed, and to say this.
func (b *bundle) must(want string, args ...string) string {
	b.t.Helper()
	out, code := b.oci(args...)
	if code != 0 || !strings.Contains(out, want) {
		b.t.Errorf("%q: code %d, %q, want %q", args, code, out, want)
	}
	return out
}

// change edits config.json.
func (b *bundle) change(f func(s *specs.Spec)) {
	b.t.Helper()
	path := filepath.Join(b.dir, "config.json")
	text, err := os.ReadFile(path)
	if err != nil {
		b.t.Fatal(err)
	}
	var s specs.Spec
	if err := json.Unmarshal(text, &s); err != nil {
		b.t.Fatal(err)
	}
	f(&s)
	if text, err = json.Marshal(s); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// await waits until a container is in this state.
func (b *bundle) await(id, status string) {
	b.t.Helper()
	var out string
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if out, _ = b.oci("state", id); strings.Contains(out, `"status": "`+status+`"`) {
			return
		}
	}
	b.t.Errorf("%s is not %s: %s", id, status, out)
}
