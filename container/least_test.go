package container

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"vmctr/container/seccomp"
)

// buildTrue puts a static C program that ends at once beside the probe.
func buildTrue(t *testing.T) {
	t.Helper()
	out := filepath.Join(probe(t), "true")
	if _, err := os.Stat(out); err == nil {
		return // in a guest, where no compiler is
	}
	text, err := exec.Command("cc", "-O2", "-static", "-o", out, "testdata/true.c").CombinedOutput()
	if err == nil {
		return
	}
	if errors.Is(err, exec.ErrNotFound) && !slices.Contains(strings.Split(os.Getenv("BENCH_REQUIRE"), ","), "peers") {
		t.Skip("no C compiler here; sudo scripts/setup test installs one")
	}
	t.Fatalf("cc: %v\n%s", err, text)
}

// TestOneMebibyte: with a memory limit of 1 MiB, and Docker's seccomp profile, a
// static C program still runs to its end, every time: none of our own memory is
// the container's. A helper process takes the risk of being killed with it.
func TestOneMebibyte(t *testing.T) {
	needRoot(t)
	buildTrue(t)
	h := startHelper(t, "true")
	out, err := io.ReadAll(h.out)
	if st := h.wait(); string(out) != strings.Repeat("exit status 0\n", 20) {
		t.Errorf("%q, %v; the helper ended with %v", out, err, st)
	}
}

// startTrue starts it, in the helper process.
func startTrue(cfg Config) (*Container, error) {
	s := sample()
	s.Process.Args = []string{"/true"}
	s.Linux.Resources.Memory.Limit = pointer(int64(1 << 20))
	var err error
	if s.Linux.Seccomp, err = seccomp.Default(DefaultCapabilities); err != nil {
		return nil, err
	}
	cfg.Spec = s
	return Start(context.Background(), cfg)
}

// TestNobodyStays: for each container there is its program, a child of this
// process, and no process of ours.
func TestNobodyStays(t *testing.T) {
	needRoot(t)
	l := layersOf(t)
	before := childrenOf(t)
	var want []int
	for range 3 {
		b := startBox(t, l, sample("pause"))
		b.ready(t)
		want = append(want, b.PID())
		if pids, err := b.Cgroup().Processes(); err != nil || !slices.Equal(pids, []int{b.PID()}) {
			t.Errorf("in its cgroup are %v, %v, and not %d alone", pids, err, b.PID())
		}
	}
	got := slices.DeleteFunc(childrenOf(t), func(pid int) bool { return slices.Contains(before, pid) })
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("processes %v for the containers %v", got, want)
	}
}

// childrenOf are the children of this process, by number.
func childrenOf(t *testing.T) []int {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, file := range files {
		text, _ := os.ReadFile(file) // the thread may have ended
		for f := range strings.FieldsSeq(string(text)) {
			pid, err := strconv.Atoi(f)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}
