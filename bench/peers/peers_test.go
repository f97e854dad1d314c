package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vmctr/bench/harness"
	"vmctr/bench/peers/peer"
	"vmctr/container/cgroup"
)

// TestMain: the tests start themselves again, as the server that main is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && slices.Contains([]string{serveCommand, importCommand, archivesCommand}, os.Args[1]) {
		main()
		return
	}
	code := m.Run()
	for _, dir := range built {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// built are the folders of what programs has built.
var built = map[string]string{}

func required(what string) bool {
	return slices.Contains(strings.Split(os.Getenv("BENCH_REQUIRE"), ","), what)
}

// programs builds all that scripts/peers does, with a Go program in the place of
// the one that containers run, if one is given.
func programs(t *testing.T, goProgram string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		if required("root") {
			t.Fatal("BENCH_REQUIRE=root, and this is not root")
		}
		t.Skip("makes real containers, needs root: sudo scripts/test")
	}
	if dir := built[goProgram]; dir != "" {
		t.Setenv("BENCH_CACHE", filepath.Join(dir, "cache"))
		return dir
	}
	dir, err := os.MkdirTemp("", "bench-peers-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("BENCH_CACHE", filepath.Join(dir, "cache"))
	commands := [][]string{
		{"cc", "-O2", "-Wall", "-Werror", "-static", "-o", dir + "/peers-limit", "testdata/limit.c"},
		{"cc", "-O2", "-Wall", "-Werror", "-static", "-nostdlib", "-o", dir + "/peers-program", "testdata/program.c"},
		{"go", "build", "-o", dir + "/bench-oci", "vmctr/container/oci"},
	}
	if goProgram != "" {
		commands[1] = []string{"go", "build", "-o", dir + "/peers-program", goProgram}
	}
	for _, args := range commands {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		out, err := cmd.CombinedOutput()
		if errors.Is(err, exec.ErrNotFound) && !required("peers") {
			t.Skipf("%v; sudo scripts/setup test installs it", err)
		}
		if err != nil {
			t.Fatalf("%v: %v\n%s", cmd, err, out)
		}
	}
	built[goProgram] = dir
	return dir
}

func testSetup(t *testing.T, goProgram string) *setup {
	t.Helper()
	dir := programs(t, goProgram)
	run, err := harness.NewRun()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := run.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &setup{run: run, programs: dir}
	if goProgram == "" {
		if s, err = newSetup(t.Context(), run, dir); err != nil {
			t.Fatal(err)
		}
	} else if err := s.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestMeasure runs all that scripts/peers does, briefly.
func TestMeasure(t *testing.T) {
	o := options{rounds: 2, idle: time.Millisecond, many: 8, again: 1, seed: 1, out: t.TempDir()}
	o.programs = programs(t, "")
	defer func(n int) { repeats = n }(repeats)
	repeats = 6
	var text bytes.Buffer
	failed, err := measure(t.Context(), o, &text)
	if err != nil || failed > 0 {
		t.Fatalf("%d failed, %v\n%s", failed, err, &text)
	}
	f, err := os.Open(filepath.Join(o.out, "samples.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, row := range rows[1:] {
		count[row[0]+", "+row[1]]++
		if row[4] >= row[5] || row[7] != "" {
			t.Errorf("%q", row)
		}
	}
	for _, subject := range []string{benchOCI, limitRun, libraryLo, limitLo, libraryVeth, limitVeth} {
		for _, series := range []string{backToBack, afterIdling} {
			if n := count[series+", "+subject]; n != o.rounds {
				t.Errorf("%s, %s: %d samples", series, subject, n)
			}
		}
		if !strings.Contains(text.String(), subject) {
			t.Errorf("the tables lack %s", subject)
		}
	}
	for _, subject := range []string{libraryLo, limitVeth} {
		if n := count["number 8, "+subject]; n != repeats {
			t.Errorf("%s: %d last starts", subject, n)
		}
	}
	t.Log("\n" + text.String())
}

// TestFailures: a runtime that does not do what it should is counted as failed,
// whatever its exit code says, and the others are measured.
func TestFailures(t *testing.T) {
	s := testSetup(t, "")
	for name, script := range map[string]string{
		"silent":   "exit 0",
		"early":    "echo first-instruction; exit 3",
		"wordy":    "echo first-instruction; echo more",
		"mistaken": "echo hello",
	} {
		path := filepath.Join(s.programs, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		s.runtimes = append(s.runtimes, peer.Runtime{Name: name, Path: path})
	}
	out := filepath.Join(t.TempDir(), "samples.csv")
	raw, err := newRaw(out)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.rounds(t.Context(), options{rounds: 1, seed: 1}, raw)
	if err := errors.Join(err, raw.close()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"silent": "output has ended", "early": "exit status 3", "wordy": `printed ""more\n"" as well`, "mistaken": `printed ""hello\n""`} {
		if n := len(got.errs[[2]string{backToBack, name + " run"}]); n != 1 {
			t.Errorf("%s: %d failures", name, n)
		}
		if !strings.Contains(string(text), want) {
			t.Errorf("the raw samples lack %q:\n%s", want, text)
		}
	}
	if n := len(got.values[[3]string{backToBack, benchOCI, exitEnd}]); n != 1 {
		t.Errorf("%d samples of bench-oci", n)
	}
}

// TestSameContainer: a program finds itself in the same container, whether
// bench-oci or the C program has made it.
func TestSameContainer(t *testing.T) {
	s := testSetup(t, "vmctr/container/testdata/probe")
	ops := []string{"who", "ls /dev", "ls /", "cat /proc/self/mountinfo", "cat /proc/self/uid_map", "cat /proc/self/gid_map", "cat /proc/self/status", "cat /proc/net/dev", "cat /proc/kcore", "ls /sys/firmware", "write /proc/sys/kernel/hostname x", "mount /new", "fds"}
	spec := *s.spec
	process := *spec.Process
	process.Args = append([]string{"/program"}, ops...)
	spec.Process = &process
	config, err := peer.NewConfig(&spec, s.owner())
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.room.Bundle("same", "/"+s.run.ID+"/same", config)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := (peer.Runtime{Name: "bench-oci", Path: filepath.Join(s.programs, "bench-oci")}).Try(t.Context(), s.room, b)
	if err := errors.Join(err, b.Remove()); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(s.run.Dir, "room", "same-limit")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(s.programs, "peers-limit"), append([]string{"run", "one"}, s.arguments("same-limit", ops...)...)...)
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := s.room.Do(cmd.Run); err != nil {
		t.Fatalf("the C program: %v\n%s", err, &stderr)
	}
	if diff := cmp.Diff(told(t, ours), told(t, out.String())); diff != "" {
		t.Errorf("-bench-oci +C:\n%s", diff)
	}
}

// told is what the probe found, but for what differs between any two
// containers.
func told(t *testing.T, text string) map[string][]string {
	t.Helper()
	m := map[string][]string{}
	for l := range strings.Lines(text) {
		var r struct{ Op, Out, Err string }
		if err := json.Unmarshal([]byte(l), &r); err != nil {
			t.Fatalf("%q: %v", l, err)
		}
		var lines []string
		for line := range strings.Lines(r.Out + r.Err) {
			line = strings.TrimSpace(line)
			switch r.Op {
			case "cat /proc/self/mountinfo":
				// Without the numbers, the layers' paths, and what a file system,
				// and not its mount, says about being read-only.
				line = regexp.MustCompile(`^\d+ \d+ \d+:\d+ `).ReplaceAllString(line, "")
				line = regexp.MustCompile(`(lowerdir|upperdir|workdir)=[^ ,]*,?|inode64|,$`).ReplaceAllString(line, "")
				line = regexp.MustCompile(` - (tmpfs|sysfs) \S+ r[ow]`).ReplaceAllString(line, " - $1")
			case "cat /proc/self/status":
				if !regexp.MustCompile(`^(Cap|NoNewPrivs|Seccomp|Uid|Gid|Groups|Umask|Sig(Blk|Ign)|NSpid)`).MatchString(line) {
					continue
				}
				line = regexp.MustCompile(`^(NSpid:)\s\d+`).ReplaceAllString(line, "$1")
			}
			lines = append(lines, line)
		}
		slices.Sort(lines)
		m[r.Op] = lines
	}
	if len(m) == 0 {
		t.Fatal("nothing was told")
	}
	return m
}

// TestGroups: the C program's containers have the limits.
func TestGroups(t *testing.T) {
	s := testSetup(t, "")
	l, err := s.limit("groups", false, "idle")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.start(t.Context(), 5); err != nil {
		t.Error(err)
	}
	set := 0
	for i, option := range s.groups {
		if option != "-g" {
			continue
		}
		for _, f := range s.groups[i+2:] {
			if f == "-g" {
				break
			}
			file, want, ok := strings.Cut(f, "=")
			if !ok || strings.HasPrefix(file, "devices.") {
				continue
			}
			got, err := os.ReadFile(filepath.Join(s.groups[i+1], "c5", file))
			if err != nil || strings.TrimSpace(string(got)) != want {
				t.Errorf("%s holds %q, %v; want %s", file, got, err, want)
			}
			set++
		}
		if pids, err := os.ReadFile(filepath.Join(s.groups[i+1], "c5", "cgroup.procs")); err != nil || strings.Count(string(pids), "\n") != 1 {
			t.Errorf("%s holds the processes %q, %v", s.groups[i+1], pids, err)
		}
	}
	if set < 3 {
		t.Errorf("only %d limits", set)
	}
	if err := errors.Join(l.end(t.Context(), 5, true), l.close()); err != nil {
		t.Error(err)
	}
}

// TestBornInGroup: on cgroup v2 the C program's containers are born in their
// group. A hybrid host has that version too, if without controllers.
func TestBornInGroup(t *testing.T) {
	s := testSetup(t, "")
	h, err := cgroup.Detect()
	if err != nil {
		t.Fatal(err)
	}
	if h.Unified == "" {
		t.Skip("this host mounts no cgroup v2")
	}
	dir := filepath.Join(h.Unified, s.run.ID, "born")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := s.openRoom(true); err != nil {
		t.Fatal(err)
	}
	s.groups = []string{"-g", dir, "-2"}
	l, err := s.limit("born", false, "idle")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.start(t.Context(), 0); err != nil {
		t.Error(err)
	}
	if pids, err := os.ReadFile(filepath.Join(dir, "c0", "cgroup.procs")); err != nil || strings.Count(string(pids), "\n") != 1 {
		t.Errorf("the group holds the processes %q, %v", pids, err)
	}
	if err := errors.Join(l.end(t.Context(), 0, true), l.close()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "c0")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the group is still there: %v", err)
	}
}

// TestVeth: the C program's containers can be reached from the host, once they
// run.
func TestVeth(t *testing.T) {
	s := testSetup(t, "")
	l, err := s.limit("reach", true, "idle")
	if err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		if _, err := l.start(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		at := net.JoinHostPort(l.held[n].Addr().Addr().String(), "1")
		c, err := net.DialTimeout("tcp", at, 500*time.Millisecond) // a second, if the first packet is lost
		if err == nil {
			c.Close()
		}
		if !errors.Is(err, syscall.ECONNREFUSED) { // which its kernel says
			t.Errorf("%s: %v", at, err)
		}
		if err := l.end(t.Context(), n, true); err != nil {
			t.Error(err)
		}
	}
	if err := l.close(); err != nil {
		t.Error(err)
	}
}

func TestSlope(t *testing.T) {
	if got := fmt.Sprintf("%.3f", slope([][2]float64{{0, 10}, {10, 40}, {20, 50}, {30, 100}})); got != "2.800" {
		t.Error(got)
	}
}
