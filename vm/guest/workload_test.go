package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/vm/guest/wire"
)

// start starts a workload whose standard output is a pipe.
func start(t *testing.T, g *guest, cwd string, env []string, args ...string) (output *os.File, err error) {
	t.Helper()
	output, port, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	output.SetReadDeadline(time.Now().Add(hurry))
	t.Cleanup(func() { output.Close(); port.Close(); null.Close() })
	g.streams = streams{theirs: [3]*os.File{null, port, os.Stderr}} // which startWorkload closes
	g.spec = specs.Spec{
		Version: specs.Version, Root: &specs.Root{Path: "/"},
		Process: &specs.Process{Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 77, Hard: 77}}, Args: args, Env: env, Cwd: cwd, User: specs.User{UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}},
	}
	return output, g.startWorkload()
}

// TestWorkload: what it is given, and what is reported of its end.
func TestWorkload(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sh"), 0o755); err != nil { // found first, but no program
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, script, output string
		want                 wire.Report
	}{
		{"environment and folder", `echo "$A"; pwd`, "1 2\n" + dir + "\n", wire.Report{}},
		{"no standard input", "cat", "", wire.Report{}},
		{"a limit of descriptors", "ulimit -n", "77\n", wire.Report{}},
		{"a session of its own", `read -r pid name state ppid pgrp session rest </proc/$$/stat; echo $((session - $$))`, "0\n", wire.Report{}},
		{"a status", "exit 7", "", wire.Report{Code: 7}},
		{"a signal", "kill -TERM $$", "", wire.Report{Signal: int(unix.SIGTERM)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g, w := newGuest(t)
			w.attach(g)
			output, err := start(t, g, dir, []string{"A=1 2", "PATH=" + dir + ":/usr/bin:/bin"}, "sh", "-c", tt.script)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(output) // to the end, which comes when nobody else has the port open
			if string(got) != tt.output || err != nil {
				t.Errorf("it wrote %q, %v", got, err)
			}
			go g.reap()
			reports, console := w.rest()
			tt.want.Event = wire.EventExited
			if diff := cmp.Diff([]wire.Report{tt.want}, reports); diff != "" || console != "" {
				t.Errorf("console %q\n%s", console, diff)
			}
		})
	}
}

// TestReapOthers: a child that is not the workload is reaped, and its end is not
// taken for the workload's.
func TestReapOthers(t *testing.T) {
	g, w := newGuest(t)
	w.attach(g)
	if _, err := start(t, g, "/", nil, "sh", "-c", "exit 1"); err != nil {
		t.Fatal(err)
	}
	other := g.program.PID()
	output, err := start(t, g, "/", nil, "sh", "-c", "sleep 0.1; exit 2")
	if err != nil {
		t.Fatal(err)
	}
	go g.reap()
	io.ReadAll(output)
	reports, _ := w.rest()
	if diff := cmp.Diff([]wire.Report{{Event: wire.EventExited, Code: 2}}, reports); diff != "" {
		t.Error(diff)
	}
	if _, err := os.Stat(filepath.Join("/proc", strconv.Itoa(other))); err == nil {
		t.Errorf("process %d is still there", other)
	}
}

// TestReapDaemon: a workload that has left something running has ended all the same.
func TestReapDaemon(t *testing.T) {
	daemon := exec.Command("sleep", "100")
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { daemon.Process.Kill(); daemon.Wait() }()
	g, w := newGuest(t)
	w.attach(g)
	if _, err := start(t, g, "/", nil, "sh", "-c", "exit 3"); err != nil {
		t.Fatal(err)
	}
	<-g.program.Done() // it has been reaped
	go g.reap()
	reports, _ := w.rest()
	if diff := cmp.Diff([]wire.Report{{Event: wire.EventExited, Code: 3}}, reports); diff != "" {
		t.Error(diff)
	}
}

func TestWorkloadFails(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "text"), []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, cwd, program string
		want               string
	}{
		{"missing", "/", "nonesuch", `starting "nonesuch": `},
		{"not executable", "/", dir + "/text", "permission denied"},
		{"no folder", dir + "/text", "sh", "making the folder to begin in: mkdir " + dir + "/text"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g, _ := newGuest(t)
			output, err := start(t, g, tt.cwd, nil, tt.program)
			g.streams.theirs[1].Close()
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v", err)
			}
			if g.program != nil {
				t.Errorf("process %d", g.program.PID()) // a command to stop would not power off
			}
			if b, err := io.ReadAll(output); len(b) > 0 || err != nil {
				t.Errorf("output %q, %v", b, err)
			}
		})
	}
}

// TestStop: a workload that does not go when it is asked to is made to.
func TestStop(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		want         unix.Signal
		atLeast      time.Duration
	}{
		{"goes", "echo ready; exec sleep 30", unix.SIGTERM, 0},
		{"stays", "trap '' TERM; echo ready; exec sleep 30", unix.SIGKILL, 900 * time.Millisecond},
	} {
		g, _ := newGuest(t)
		output, err := start(t, g, "/", nil, "sh", "-c", tt.script)
		if err != nil {
			t.Fatal(err)
		}
		pid := g.program.PID()
		if _, err := io.ReadFull(output, make([]byte, len("ready\n"))); err != nil {
			t.Fatal(err)
		}
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			g.stop()
			select {
			case <-g.program.Done():
			case <-time.After(hurry):
				t.Fatalf("process %d has not ended", pid)
			}
			took := time.Since(begin)
			if took < tt.atLeast || took > hurry {
				t.Errorf("it took %v", took)
			}
			if got := g.program.Status(); got.Signal != tt.want {
				t.Errorf("status %v", got)
			}
		})
	}
}
