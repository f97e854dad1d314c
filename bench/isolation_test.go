package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"vmctr/bench/embedded"
	"vmctr/bench/isolation/probe"
	"vmctr/bench/platform"
	"vmctr/report/result"
)

// names begins what probes give a name on the host: the PID of bench follows.
const names = "bench-probe-%d-"

// An isolationRun is a `bench all` of experiments on isolation, of which everything is to
// be gone when it has ended.
type isolationRun struct {
	cmd    *exec.Cmd
	out    string
	mark   string // in the environment of what it starts
	stderr bytes.Buffer
}

// startIsolation starts one. Without QEMU it does not find the machine to be thrown away,
// in which all attempts take a minute.
func startIsolation(t *testing.T, qemu bool, flags ...string) *isolationRun {
	t.Helper()
	needContainers(t)
	if _, err := embedded.Arena(); err != nil {
		t.Skip(err)
	}
	r := &isolationRun{
		out:  filepath.Join(t.TempDir(), "out"),
		mark: fmt.Sprintf("/nowhere-%d-%d", os.Getpid(), time.Now().UnixNano()),
	}
	r.cmd = exec.Command("bench", append([]string{"all", "--rounds", "1", "--out", r.out}, flags...)...)
	path := r.mark
	if qemu {
		path = os.Getenv("PATH") + ":" + r.mark
	}
	r.cmd.Env = append(os.Environ(), "PATH="+path)
	r.cmd.Stderr = &r.stderr
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.cmd.Process.Kill(); r.cmd.Wait() })
	return r
}

// left lists what there is of it on the host: what carries its ID, its mark, or the PID of
// bench, as what the probes plant does.
func (r *isolationRun) left(t *testing.T) (all []string) {
	t.Helper()
	run, err := result.Read(r.out)
	if err != nil {
		t.Fatal(err)
	}
	pid := r.cmd.Process.Pid
	processes, all := of(t, run.Header.ID)
	for _, pid := range append(processes, marked(t, r.mark)...) {
		cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // it may have ended
		all = append(all, fmt.Sprintf("process %d: %q", pid, cmdline))
	}
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if strings.Contains(l.Name, strings.TrimPrefix(run.Header.ID, "bench-")) {
			all = append(all, "interface "+l.Name)
		}
	}
	for _, pattern := range []string{
		filepath.Join(os.TempDir(), run.Header.ID+"*"),
		fmt.Sprintf("/dev/shm/"+names+"*", pid), fmt.Sprintf("/sys/fs/cgroup/"+names+"*", pid), fmt.Sprintf("/sys/fs/cgroup/*/"+names+"*", pid),
	} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	for _, queue := range queues(t) {
		if strings.HasPrefix(queue, fmt.Sprintf(names, pid)) {
			all = append(all, "message queue "+queue)
		}
	}
	// Of shared memory the kernel knows who has made it: the fifth column (sysvipc(7)).
	segments, err := os.ReadFile("/proc/sysvipc/shm")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(segments)) {
		if f := strings.Fields(line); len(f) > 4 && f[4] == strconv.Itoa(pid) {
			all = append(all, "shared memory "+f[1])
		}
	}
	return all
}

// queues are the POSIX message queues of the host.
func queues(t *testing.T) (names []string) {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("mqueue", dir, "mqueue", 0, ""); err != nil {
		t.Fatal(err)
	}
	defer syscall.Unmount(dir, syscall.MNT_DETACH)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// amid waits until a process that it has started has all these words in its command line.
func (r *isolationRun) amid(t *testing.T, words ...string) {
	t.Helper()
	waitFor(t, time.Minute, func() bool {
		if gone(r.cmd.Process.Pid) {
			t.Fatalf("it ended before a process of %q was there:\n%s", words, &r.stderr)
		}
		return slices.ContainsFunc(descendants(t, r.cmd.Process.Pid), func(pid int) bool {
			cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // it may have ended
			return !slices.ContainsFunc(words, func(w string) bool { return !bytes.Contains(cmdline, []byte(w)) })
		})
	})
}

// interrupt is a Ctrl-C, after which bench cleans up and ends.
func (r *isolationRun) interrupt(t *testing.T) {
	t.Helper()
	if err := r.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	err := r.cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != exitInterrupted {
		t.Errorf("ended with %v, want status %d; its messages:\n%s", err, exitInterrupted, &r.stderr)
	}
	run, err := result.Read(r.out)
	if err != nil {
		t.Fatal(err)
	}
	if run.End == nil || run.End.Reason != "interrupted" || run.Truncated {
		t.Errorf("the journal does not say that the run was interrupted: %+v", run.End)
	}
	if left := r.left(t); len(left) > 0 {
		t.Errorf("left behind by an interrupt: %q", left)
	}
}

// kill is a kill -9. Processes go by themselves, all else with the next run.
func (r *isolationRun) kill(t *testing.T) {
	t.Helper()
	if err := r.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	r.cmd.Wait()
	waitFor(t, 10*time.Second, func() bool {
		return !slices.ContainsFunc(r.left(t), func(what string) bool { return strings.HasPrefix(what, "process ") })
	})
}

// whole waits for the end of a run that nobody disturbs.
func (r *isolationRun) whole(t *testing.T) *result.Run {
	t.Helper()
	if err := r.cmd.Wait(); err != nil {
		t.Fatalf("%v; its messages:\n%s", err, &r.stderr)
	}
	run, err := result.Read(r.out)
	if err != nil {
		t.Fatal(err)
	}
	if run.End == nil || run.End.Reason != "complete" {
		t.Errorf("the run did not come to its end: %+v", run.End)
	}
	for _, s := range run.Samples {
		if s.Error != "" {
			t.Errorf("%s, %s: %s", s.Platform, s.Experiment, s.Error)
		}
	}
	if left := r.left(t); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	return run
}

// TestIsolationOverAndOver: a machine of a lab survives attempts to get out, and what
// breaks, over and over. Between the five runs that come to their end one is interrupted
// and one is killed in the middle of the attempts, and the next removes what that has left.
func TestIsolationOverAndOver(t *testing.T) {
	flags := []string{"--platforms", "process,container", "--experiments", "views,probes,surface,faults"}
	attempts := []string{"--platforms", "container", "--experiments", "probes"}
	var killed *isolationRun
	for n := range 5 {
		run := startIsolation(t, false, flags...).whole(t)
		for _, e := range []string{"views", "probes", "surface", "faults"} {
			if !slices.ContainsFunc(run.Samples, func(s result.Sample) bool { return s.Experiment == e && s.Platform == "container" }) {
				t.Errorf("run %d: no sample of %s in the container", n+1, e)
			}
		}
		switch n {
		case 1:
			r := startIsolation(t, false, attempts...)
			r.amid(t, probe.SleepVerb)
			r.interrupt(t)
		case 2:
			r := startIsolation(t, false, attempts...)
			r.amid(t, probe.BatchVerb) // inside, and so all is planted
			r.kill(t)
			shm, folder := fmt.Sprintf("/dev/shm/"+names, r.cmd.Process.Pid), filepath.Join(os.TempDir(), "bench-")
			for _, want := range []string{shm, folder} {
				if left := r.left(t); !slices.ContainsFunc(left, func(what string) bool { return strings.HasPrefix(what, want) }) {
					t.Errorf("the kill has left no %s..., so this tells nothing of who removes it: %q", want, left)
				}
			}
			killed = r
		case 3:
			if left := killed.left(t); len(left) > 0 {
				t.Errorf("left behind by the kill, after one more run: %q", left)
			}
		}
	}
}

// TestThrowawayEnds: the machine to be thrown away ends with bench, in the middle of what is
// tried in it, and leaves nothing either.
func TestThrowawayEnds(t *testing.T) {
	needContainers(t)
	p, err := platform.Find(platform.ThrowawayName)
	if err == nil {
		err = p.Available(context.Background())
	}
	if err != nil {
		if required("qemu") {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	flags := []string{"--platforms", "process", "--experiments", "probes"} // which a process makes there alone
	for _, end := range []func(*isolationRun, *testing.T){(*isolationRun).interrupt, (*isolationRun).kill} {
		r := startIsolation(t, true, flags...)
		r.amid(t, "qemu-system", "throwaway/variant-")
		time.Sleep(4 * time.Second) // it has booted, if this host is not busy
		end(r, t)
		if out, err := exec.Command("bench", "clean").CombinedOutput(); err != nil {
			t.Errorf("bench clean: %v\n%s", err, out)
		}
		if left := r.left(t); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	}
}
