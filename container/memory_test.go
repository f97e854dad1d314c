package container

import (
	"bytes"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestHidden: a child that comes among others' programs hides its memory from
// them, which is ours too; afterwards ours is as it was.
func TestHidden(t *testing.T) {
	needRoot(t)
	dumpable := func() int {
		t.Helper()
		n, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	first := startBox(t, layersOf(t), sample("pause"))
	first.ready(t)
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0); err != nil { // whatever was before
		t.Fatal(err)
	}
	dev := null(t)
	h := &Handle{spec: first.cfg.Spec, Record: Record{State: specs.State{ID: "x", Pid: first.PID(), Status: specs.StateRunning}}}
	var err error
	if h.StartTime, err = startTime(first.PID()); err != nil {
		t.Fatal(err)
	}
	process := *first.cfg.Spec.Process
	process.Args = []string{"/probe", "exit 0"}
	process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_CORE"}} // for which we wait
	// Somebody looks all the time; an exec may be over before they come to it.
	var seen, stop atomic.Bool
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		for !stop.Load() && !seen.Load() {
			n, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
			seen.Store(err == nil && n == 0)
		}
	}()
	for end := time.Now().Add(10 * time.Second); !seen.Load() && time.Now().Before(end); {
		p, err := h.Exec(t.Context(), Exec{Process: &process, Stdin: dev, Stdout: dev, Stderr: dev})
		if err != nil {
			t.Fatal(err)
		}
		if st, err := p.Wait(t.Context()); err != nil || st != (Status{}) {
			t.Errorf("%v, %v", st, err)
		}
	}
	stop.Store(true)
	<-looked
	if !seen.Load() || dumpable() != 1 {
		t.Errorf("hidden meanwhile: %v; afterwards: %d, want 1", seen.Load(), dumpable())
	}
}

// TestSharedScore: a container's oom_score_adj is not ours too.
func TestSharedScore(t *testing.T) {
	needRoot(t)
	before, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		t.Fatal(err)
	}
	s := sample("cat /proc/self/oom_score_adj")
	s.Process.OOMScoreAdj = pointer(700)
	wants(t, do(t, layersOf(t), s), map[string]string{"cat /proc/self/oom_score_adj": "700\n"})
	if after, err := os.ReadFile("/proc/self/oom_score_adj"); err != nil || !bytes.Equal(before, after) {
		t.Errorf("ours was %q and is %q, %v", before, after, err)
	}
}
