package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/bench/embedded"
	"vmctr/bench/platform"
	"vmctr/report/result"
	"vmctr/report/selftest"
)

// However a run ends, no process, mount, cgroup or file of it may stay, and
// every sample that was taken is on disk.

// begun starts `bench all` on all platforms that this host has, and waits
// until it has taken samples.
func begun(t *testing.T, flags ...string) (cmd *exec.Cmd, out string, stderr *bytes.Buffer) {
	t.Helper()
	needContainers(t)
	if _, err := embedded.Workload(); err != nil {
		t.Skip(err)
	}
	var names []string
	for _, p := range platform.All() {
		// One kind of machine stands for all: each takes seconds to boot. An engine takes
		// a daemon, which the tests of platforms start.
		i := p.Info()
		if (i.Kind == "vm" || i.Kind == "nested") && i.Name != "vm-q35" || i.Name == "docker" || i.Name == "podman" {
			continue
		}
		if err := p.Available(context.Background()); err != nil {
			if required("qemu") && (!i.Optional || required("peers")) {
				t.Fatal(err)
			}
			continue
		}
		names = append(names, i.Name)
	}
	out = filepath.Join(t.TempDir(), "out")
	cmd = exec.Command("bench", append([]string{"all", "--platforms", strings.Join(names, ","), "--out", out}, flags...)...)
	stderr = new(bytes.Buffer)
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	// Into the rounds that count: each platform has been up twice.
	waitFor(t, time.Minute, func() bool {
		run, err := result.Read(out)
		return err == nil && len(run.Values("startup", names[len(names)-1], "first_instruction_ns")) > 0
	})
	return cmd, out, stderr
}

func waitFor(t *testing.T, d time.Duration, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(d); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still waiting after %v", d)
		}
	}
}

// of lists what carries a run's ID: processes by their command line or cgroup,
// mounts, cgroups and folders.
func of(t *testing.T, id string) (processes []int, rest []string) {
	t.Helper()
	procs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range procs {
		for _, file := range []string{"cmdline", "cgroup"} {
			b, _ := os.ReadFile(filepath.Join(dir, file)) // it may have ended
			if bytes.Contains(b, []byte(id)) {
				if pid, _ := strconv.Atoi(filepath.Base(dir)); !gone(pid) {
					processes = append(processes, pid)
				}
				break
			}
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, id) {
			rest = append(rest, "mount "+line)
		}
	}
	for _, pattern := range []string{"/run/bench/", "/sys/fs/cgroup/", "/sys/fs/cgroup/*/", "/tmp/*", "/dev/shm/*"} {
		found, err := filepath.Glob(pattern + id)
		if err != nil {
			t.Fatal(err)
		}
		rest = append(rest, found...)
	}
	return processes, rest
}

// plain are the processes that bench starts, by parent: a plain process has no
// ID in its name.
func children(t *testing.T, parent int) []int {
	t.Helper()
	var pids []int
	tasks, err := filepath.Glob("/proc/" + strconv.Itoa(parent) + "/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		b, _ := os.ReadFile(task)
		for _, f := range strings.Fields(string(b)) {
			pid, err := strconv.Atoi(f)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

func gone(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	// A zombie of init's has ended.
	return errors.Is(err, os.ErrNotExist) || err != nil || bytes.Contains(b, []byte(") Z "))
}

func TestInterrupt(t *testing.T) {
	cmd, out, stderr := begun(t)
	pids := children(t, cmd.Process.Pid)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != exitInterrupted {
		t.Errorf("ended with %v, want status %d; its messages:\n%s", err, exitInterrupted, stderr)
	}
	run, err := result.Read(out)
	if err != nil {
		t.Fatal(err)
	}
	if run.End == nil || run.End.Reason != "interrupted" || run.Truncated {
		t.Errorf("the journal does not say that the run was interrupted: %+v", run.End)
	}
	if !strings.Contains(stderr.String(), "bench report "+out) {
		t.Errorf("bench does not say what to do with the samples:\n%s", stderr)
	}
	for _, pid := range pids {
		if !gone(pid) {
			t.Errorf("process %d is still there", pid)
		}
	}
	if processes, rest := of(t, run.Header.ID); len(processes)+len(rest) > 0 {
		t.Errorf("left behind: processes %v, %q", processes, rest)
	}
}

// TestSelftestInterrupt: so does a selftest, in the middle of what hyperfine measures.
func TestSelftestInterrupt(t *testing.T) {
	needContainers(t)
	if _, err := embedded.Workload(); err != nil {
		t.Skip(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	cmd := exec.Command("bench", "selftest", "--time", "15s", "--platforms", "process", "--out", out)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	var run *result.Run
	waitFor(t, time.Minute, func() (begun bool) {
		var err error
		run, err = result.Read(out)
		return err == nil && slices.ContainsFunc(run.Samples, func(s result.Sample) bool { return s.Experiment == selftest.Exit })
	})
	pids := children(t, cmd.Process.Pid)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != exitInterrupted {
		t.Errorf("ended with %v, want status %d; its messages:\n%s", err, exitInterrupted, stderr.String())
	}
	if run, err = result.Read(out); err != nil {
		t.Fatal(err)
	}
	if run.End == nil || run.End.Reason != "interrupted" {
		t.Errorf("the journal does not say that the run was interrupted: %+v", run.End)
	}
	for _, pid := range pids {
		if !gone(pid) {
			t.Errorf("process %d is still there", pid)
		}
	}
	// What hyperfine had just started was killed with it, and may be on its way.
	waitFor(t, 5*time.Second, func() bool {
		processes, _ := of(t, run.Header.ID)
		return len(processes) == 0
	})
	if processes, rest := of(t, run.Header.ID); len(processes)+len(rest) > 0 {
		t.Errorf("left behind: processes %v, %q", processes, rest)
	}
}

func TestKilled(t *testing.T) {
	cmd, out, _ := begun(t)
	pids := children(t, cmd.Process.Pid)
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	run, err := result.Read(out)
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, 5*time.Second, func() bool {
		processes, _ := of(t, run.Header.ID)
		for _, pid := range append(pids, processes...) {
			if !gone(pid) {
				return false
			}
		}
		return true
	})
	// The samples are there, and can be drawn.
	if text, err := exec.Command("bench", "report", out).CombinedOutput(); err != nil {
		t.Errorf("bench report: %v\n%s", err, text)
	}
	clean, err := exec.Command("bench", "clean").CombinedOutput()
	if err != nil {
		t.Errorf("bench clean: %v\n%s", err, clean)
	}
	if !strings.Contains(string(clean), run.Header.ID) {
		t.Errorf("bench clean does not say what it removed:\n%s", clean)
	}
	if processes, rest := of(t, run.Header.ID); len(processes)+len(rest) > 0 {
		t.Errorf("left behind after bench clean: processes %v, %q", processes, rest)
	}
}

// TestQEMUKilled: a machine that somebody kills in the middle is that platform's
// failure, and the run goes on.
func TestQEMUKilled(t *testing.T) {
	cmd, out, stderr := begun(t, "--rounds", "3", "--experiments", "startup")
	var killed int
	waitFor(t, time.Minute, func() bool {
		for _, pid := range children(t, cmd.Process.Pid) {
			comm, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
			if strings.HasPrefix(string(comm), "qemu-system") {
				killed = pid
				return syscall.Kill(pid, syscall.SIGKILL) == nil
			}
		}
		return false
	})
	err := cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != exitFailed {
		t.Errorf("ended with %v, want status %d; its messages:\n%s", err, exitFailed, stderr)
	}
	if want := "QEMU ended: killed by signal SIGKILL"; !strings.Contains(stderr.String(), want) {
		t.Errorf("bench does not say %q of process %d:\n%s", want, killed, stderr)
	}
	run, err := result.Read(out)
	if err != nil {
		t.Fatal(err)
	}
	if run.End == nil || run.End.Reason != "complete" {
		t.Errorf("the run did not come to its end: %+v", run.End)
	}
	for _, p := range run.Platforms {
		want, samples := result.Ready, 3
		if p.Kind == "vm" {
			want, samples = result.Failed, 2
		}
		if p.Status != want {
			t.Errorf("%s is %s: %s", p.Name, p.Status, p.Reason)
		}
		if n := len(run.Values("startup", p.Name, "first_instruction_ns")); n != samples {
			t.Errorf("%s: %d samples, want %d", p.Name, n, samples)
		}
	}
	if processes, rest := of(t, run.Header.ID); len(processes)+len(rest) > 0 {
		t.Errorf("left behind: processes %v, %q", processes, rest)
	}
}

// TestFullDisk: when the journal cannot be written any more, the run ends and
// says so and how to go on, what was written can be read, and nothing stays. Once there is
// room, it goes on to its end.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		if required("root") {
			t.Fatal("BENCH_REQUIRE=root, and this is not root")
		}
		t.Skip("mounts a small file system: run as root (sudo scripts/test)")
	}
	if _, err := embedded.Workload(); err != nil {
		t.Skip(err)
	}
	disk := t.TempDir()
	if err := unix.Mount("none", disk, "tmpfs", 0, "size=32k"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(disk, unix.MNT_DETACH)
	out := filepath.Join(disk, "out")
	cmd := exec.Command("bench", "all", "--platforms", "process,container", "--experiments", "startup", "--rounds", "25", "--out", out)
	text, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != exitFailed {
		t.Errorf("ended with %v, want status %d", err, exitFailed)
	}
	if strings.Count(string(text), "no space left on device") != 1 || !strings.Contains(string(text), "to go on with it once that is mended: bench all --resume "+out) {
		t.Errorf("bench does not say once that the disk is full, and how to go on:\n%s", text)
	}
	run, err := result.Read(out)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(run.Values("startup", "container", "first_instruction_ns")); n < 5 {
		t.Errorf("%d samples are left, of 32 KiB", n)
	}
	if processes, rest := of(t, run.Header.ID); len(processes)+len(rest) > 0 {
		t.Errorf("left behind: processes %v, %q", processes, rest)
	}
	if err := unix.Mount("none", disk, "tmpfs", unix.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	before := len(run.Samples)
	if text, err := exec.Command("bench", "all", "--resume", out).CombinedOutput(); err != nil {
		t.Fatalf("bench all --resume: %v\n%s", err, text)
	}
	if run, err = result.Read(out); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"process", "container"} {
		if n := len(run.Values("startup", name, "first_instruction_ns")); n != 25 {
			t.Errorf("%s: %d samples after the run went on, want 25 (%d of all were there)", name, n, before)
		}
	}
	if len(run.Resumes) != 1 || run.End == nil || run.End.Reason != "complete" {
		t.Errorf("it went on %d times and ended %+v", len(run.Resumes), run.End)
	}
}
