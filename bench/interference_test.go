package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"vmctr/bench/embedded"
	"vmctr/report/result"
	"vmctr/report/result/isolation"
)

// TestInterference: neighbours disturb victims, a container's limits stop what they are to
// stop, and an interrupt in the middle of it leaves none of their processes.
func TestInterference(t *testing.T) {
	needContainers(t)
	if _, err := embedded.Inside(); err != nil {
		t.Skip(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	cmd := exec.Command("bench", "all", "--platforms", "process,container", "--experiments", "interference", "--out", out)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	var samples []result.Sample
	waitFor(t, time.Minute, func() bool {
		run, err := result.Read(out)
		if err != nil {
			return false
		}
		samples = nil
		for _, s := range run.Samples {
			if s.Interference != nil {
				samples = append(samples, s)
			}
		}
		return len(samples) >= 2
	})
	for _, s := range samples {
		in := s.Interference
		if s.Error != "" || in.Fate == "" || s.Outcome == "" {
			t.Errorf("%s, %s: error %q, outcome %q, the neighbour %q (%s)", s.Platform, s.Series, s.Error, s.Outcome, in.Fate, in.FateWhy)
		}
		for _, m := range isolation.Measures {
			if len(s.Each["before_"+m.Name]) == 0 || s.Outcome == "reported" && in.Fate != isolation.Ended && len(s.Each["beside_"+m.Name]) == 0 {
				t.Errorf("%s, %s: no windows of %s: %v", s.Platform, s.Series, m.Name, s.Each)
			}
		}
		// On a busy host it may not have come as far as its limit. It is half its ceiling, or less.
		if s.Platform == "container" && in.Limited && strings.Contains(in.FateWhy, "its own ceiling") {
			t.Errorf("the limits of a container have not stopped %s: %s, %s", in.Neighbour, in.Fate, in.FateWhy)
		}
	}
	// In the middle of the next: both run.
	var family []int
	waitFor(t, 30*time.Second, func() bool {
		family = descendants(t, cmd.Process.Pid)
		return len(family) >= 2
	})
	time.Sleep(1500 * time.Millisecond) // the neighbour has begun
	family = append(family, descendants(t, cmd.Process.Pid)...)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != exitInterrupted {
		t.Errorf("ended with %v, want status %d; its messages:\n%s", err, exitInterrupted, stderr.String())
	}
	for _, pid := range family {
		// Those that a neighbour has started die with it, and not by our hand.
		waitFor(t, 5*time.Second, func() bool { return gone(pid) || syscall.Kill(pid, 0) != nil })
	}
	run, err := result.Read(out)
	if err != nil {
		t.Fatal(err)
	}
	if processes, rest := of(t, run.Header.ID); len(processes)+len(rest) > 0 {
		t.Errorf("left behind: processes %v, %q", processes, rest)
	}
}

// descendants are the processes that a process has started, and those that they have.
func descendants(t *testing.T, of int) (all []int) {
	for _, pid := range children(t, of) {
		all = append(append(all, pid), descendants(t, pid)...)
	}
	return all
}
