package container

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"vmctr/container/cgroup"
	"vmctr/container/rootfs"
)

// needRoot skips a test that makes real containers, unless BENCH_REQUIRE asks
// for it.
func needRoot(t testing.TB) {
	if os.Geteuid() == 0 {
		return
	}
	if slices.Contains(strings.Split(os.Getenv("BENCH_REQUIRE"), ","), "root") {
		t.Fatal("BENCH_REQUIRE=root, and this is not root")
	}
	t.Skip("makes real containers: run as root (sudo scripts/test)")
}

// probe is a static program for containers: it prints what it sees.
func probe(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	bin := filepath.Join(dir, "probe")
	cmd := exec.Command("go", "build", "-o", bin, "./testdata/probe")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the probe: %v\n%s", err, out)
	}
	return dir
}

func layersOf(t testing.TB, dirs ...string) *rootfs.Layers {
	t.Helper()
	ns, err := UserNamespace(context.Background(), DefaultSpec([]string{"x"}, nil, "/").Linux)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	l, err := rootfs.OpenLayers(dirs, ns)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func pointer[T any](v T) *T { return &v }

// run starts a container, and returns what it printed and how it ended.
func run(t testing.TB, l *rootfs.Layers, mutate func(*specs.Spec), args ...string) (string, Status) {
	t.Helper()
	s := DefaultSpec(args, []string{"PATH=/"}, "/")
	s.Linux.CgroupsPath = "/benchtest-" + filepath.Base(t.TempDir()) + "-" + strings.ReplaceAll(t.Name(), "/", "-")
	s.Linux.Resources = &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: pointer(int64(64 << 20))},
		CPU:    &specs.LinuxCPU{Quota: pointer(int64(50000)), Period: pointer(uint64(100000))},
		Pids:   &specs.LinuxPids{Limit: pointer(int64(32))},
	}
	if mutate != nil {
		mutate(s)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	c, err := Start(context.Background(), Config{Spec: s, Layers: l, Dir: filepath.Join(t.TempDir(), "c"), Stdin: null, Stdout: w, Stderr: w})
	w.Close()
	if err != nil {
		r.Close()
		t.Fatal(err)
	}
	var out bytes.Buffer
	io.Copy(&out, r)
	r.Close()
	<-c.Done()
	st := c.Status()
	if err := c.Remove(context.Background()); err != nil {
		t.Error(err)
	}
	if left, _ := cgroup.Sweep(context.Background(), func(n string) bool { return "/"+n == s.Linux.CgroupsPath }); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	return out.String(), st
}

func TestHello(t *testing.T) {
	needRoot(t)
	out, st := run(t, layersOf(t, probe(t)), nil, "probe")
	t.Log(out, st)
}
