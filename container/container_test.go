package container

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/cgroup"
	"vmctr/container/cgroup/cgrouptest"
	"vmctr/container/rootfs"
	"vmctr/container/step"
)

// groupPrefix begins the names of all cgroups of this process of tests.
var groupPrefix = cgrouptest.Prefix(os.Getpid())

var temp string // for what all tests share

func TestMain(m *testing.M) {
	if os.Getenv("CONTAINER_TEST_HELPER") != "" {
		helper() // the tests start themselves again: see helper_test.go
		return
	}
	var err error
	if temp, err = os.MkdirTemp("", "container-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := cgrouptest.Sweep(); err != nil {
		fmt.Fprintln(os.Stderr, "what tests that were killed have left:", err)
	}
	code := m.Run()
	if left, err := sweepGroups(os.Getpid()); err != nil || len(left) > 0 {
		fmt.Fprintln(os.Stderr, "left behind:", left, err)
		code = max(code, 1)
	}
	os.RemoveAll(temp)
	os.Exit(code)
}

func sweepGroups(pid int) ([]string, error) {
	return cgroup.Sweep(context.Background(), func(name string) bool { return strings.HasPrefix(name, cgrouptest.Prefix(pid)) })
}

// needRoot skips a test that makes real containers, unless BENCH_REQUIRE asks
// for it.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 || isUser() {
		return
	}
	if slices.Contains(strings.Split(os.Getenv("BENCH_REQUIRE"), ","), "root") {
		t.Fatal("BENCH_REQUIRE=root, and this is not root")
	}
	t.Skip("makes real containers, needs root: sudo scripts/test")
}

// probeLayer is a folder with the static program testdata/probe in it: the
// lowest layer of every container here.
var probeLayer = sync.OnceValues(func() (string, error) {
	if dir := os.Getenv("CONTAINER_TEST_PROBE"); dir != "" {
		return dir, nil // in a guest, where no Go is: see guest_test.go
	}
	dir := filepath.Join(temp, "probe-layer")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "probe"), "./testdata/probe")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the probe: %w\n%s", err, out)
	}
	return dir, os.Chmod(dir, 0o755)
})

func probe(t testing.TB) string {
	t.Helper()
	dir, err := probeLayer()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// openLayers gives layers for DefaultSpec's user namespace, and to those above
// the probe's.
func openLayers(dirs ...string) (*rootfs.Layers, error) {
	if isUser() {
		return rootfs.OpenLayers(dirs, nil)
	}
	ns, err := UserNamespace(context.Background(), DefaultSpec([]string{"x"}, nil, "/").Linux)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	return rootfs.OpenLayers(dirs, ns)
}

func layersOf(t testing.TB, above ...string) *rootfs.Layers {
	t.Helper()
	l, err := openLayers(append([]string{probe(t)}, above...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// layer makes a folder with these files.
func layer(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func pointer[T any](v T) *T { return &v }

var groups atomic.Int64

// sample is DefaultSpec with the probe, and limits in a cgroup of its own.
func sample(ops ...string) *specs.Spec {
	s := DefaultSpec(append([]string{"/probe"}, ops...), []string{"PATH=/"}, "/")
	s.Linux.CgroupsPath = fmt.Sprintf("/%s%d", groupPrefix, groups.Add(1))
	s.Linux.Resources = &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: pointer(int64(64 << 20))},
		CPU:    &specs.LinuxCPU{Quota: pointer(int64(150000)), Period: pointer(uint64(100000))},
		Pids:   &specs.LinuxPids{Limit: pointer(int64(32))},
	}
	if isUser() {
		forUserTest(s)
	}
	return s
}

// without takes namespaces away, and what needs them.
func without(s *specs.Spec, types ...specs.LinuxNamespaceType) *specs.Spec {
	l := s.Linux
	l.Namespaces = slices.DeleteFunc(l.Namespaces, func(n specs.LinuxNamespace) bool { return slices.Contains(types, n.Type) })
	if !has(s, specs.UserNamespace) {
		l.UIDMappings, l.GIDMappings = nil, nil
	}
	if !has(s, specs.UTSNamespace) {
		s.Hostname = ""
	}
	if !has(s, specs.MountNamespace) {
		s.Mounts, l.MaskedPaths, l.ReadonlyPaths = nil, nil, nil
		s.Root.Path = "/"
	}
	return s
}

// A box is a container under test with its standard streams.
type box struct {
	*Container
	cfg            Config
	stdin          *os.File
	stdout, stderr *bufio.Reader
}

// startBox starts a container, and sees to it that it goes.
func startBox(t testing.TB, l *rootfs.Layers, s *specs.Spec, change ...func(*Config)) *box {
	t.Helper()
	b, err := tryBox(t, l, s, change...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Remove(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return b
}

func tryBox(t testing.TB, l *rootfs.Layers, s *specs.Spec, change ...func(*Config)) (*box, error) {
	t.Helper()
	return boxOf(t, Config{Spec: s, Layers: l}, change...)
}

// boxOf starts a container of a configuration that lacks what belongs to it
// alone.
func boxOf(t testing.TB, cfg Config, change ...func(*Config)) (*box, error) {
	t.Helper()
	var ours, theirs [3]*os.File
	for i := range ours {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		ours[i], theirs[i] = r, w
		if i == 0 {
			ours[i], theirs[i] = w, r
		}
		t.Cleanup(func() { ours[i].Close() })
		defer theirs[i].Close()
	}
	cfg.Dir, cfg.Stdin, cfg.Stdout, cfg.Stderr = filepath.Join(t.TempDir(), "c"), theirs[0], theirs[1], theirs[2]
	for _, f := range change {
		f(&cfg)
	}
	c, err := Start(t.Context(), cfg)
	if err != nil {
		return nil, err
	}
	return &box{c, cfg, ours[0], bufio.NewReader(ours[1]), bufio.NewReader(ours[2])}, nil
}

// ready waits for the line that the probe's pause and term print.
func (b *box) ready(t testing.TB) {
	t.Helper()
	if line, err := b.stdout.ReadString('\n'); line != "ready\n" {
		rest, _ := io.ReadAll(b.stderr)
		t.Fatalf("the probe says %q (%v); %s", line, err, rest)
	}
}

// end reads all output and waits for the end.
func (b *box) end(t testing.TB) (stdout, stderr string, st Status) {
	t.Helper()
	b.stdin.Close()
	var out [2]bytes.Buffer
	var wait sync.WaitGroup
	wait.Go(func() { io.Copy(&out[0], b.stdout) })
	wait.Go(func() { io.Copy(&out[1], b.stderr) })
	wait.Wait()
	<-b.Done()
	return out[0].String(), out[1].String(), b.Status()
}

// probed is what one operation of the probe came to.
type probed struct{ Op, Out, Err string }

// do runs the operations of the probe in a container.
func do(t testing.TB, l *rootfs.Layers, s *specs.Spec) map[string]probed {
	t.Helper()
	stdout, stderr, st := startBox(t, l, s).end(t)
	if st != (Status{}) {
		t.Fatalf("the probe ended with %v\n%s%s", st, stdout, stderr)
	}
	return results(t, stdout)
}

// results reads what the probe printed.
func results(t testing.TB, stdout string) map[string]probed {
	t.Helper()
	all := map[string]probed{}
	for d := json.NewDecoder(strings.NewReader(stdout)); ; {
		var r probed
		if err := d.Decode(&r); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("%v in %s", err, stdout)
		}
		all[r.Op] = r
	}
}

// footprint is all that a container could leave on the host.
type footprint struct {
	Children bool
	FDs      []string
	Mounts   []string
	Cgroups  []string
	Folders  []string
}

// footprintOf takes it; dir is where the containers' folders are made.
func footprintOf(t testing.TB, dir string) footprint {
	t.Helper()
	var f footprint
	step.Self() // a descriptor that stays
	f.Children = unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil) != unix.ECHILD
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil { // not ReadDir's own
			f.FDs = append(f.FDs, e.Name()+" "+to)
		}
	}
	f.Mounts = hostMounts(t, dir)
	h, err := cgroup.Detect()
	if err != nil {
		t.Fatal(err)
	}
	for _, root := range append([]string{h.Unified}, h.V1["memory"], h.V1["cpu"], h.V1["cpuacct"], h.V1["pids"]) {
		names, _ := filepath.Glob(filepath.Join(root, groupPrefix+"*"))
		f.Cgroups = append(f.Cgroups, names...)
	}
	f.Folders, _ = filepath.Glob(filepath.Join(dir, "*"))
	return f
}

// foreign are the folders in which tests of other packages mount things at the same time:
// their own, those of bench's runs, and those of the engines that they start.
var foreign = []string{filepath.Join(os.TempDir(), "Test"), "/run/bench/", "/run/docker/", "/run/netns", "/run/containers/", "/run/user/", "/var/lib/"}

// hostMounts are the mounts of the host, but for those.
func hostMounts(t testing.TB, dir string) (list []string) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		at := strings.Fields(line)[4]
		others := slices.ContainsFunc(foreign, func(prefix string) bool { return strings.HasPrefix(at, prefix) })
		if !others || strings.HasPrefix(at, dir) {
			list = append(list, line)
		}
	}
	return list
}

func (f footprint) check(t testing.TB, dir, when string) {
	t.Helper()
	if diff := cmp.Diff(f, footprintOf(t, dir)); diff != "" {
		t.Errorf("%s: left behind:\n%s", when, diff)
	}
}

func null(t testing.TB) *os.File {
	t.Helper()
	f, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// plainLayers are those of a container without a user namespace.
func plainLayers(t testing.TB) *rootfs.Layers {
	t.Helper()
	l, err := rootfs.OpenLayers([]string{probe(t)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// olderThan compares the running kernel's version.
func olderThan(t testing.TB, major, minor int) bool {
	t.Helper()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	var a, b int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &a, &b); err != nil {
		t.Fatal(err)
	}
	return a < major || a == major && b < minor
}
