package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vmctr/container"
)

var update = flag.Bool("update", false, "write the golden files anew")

// madeUp is a start of a few calls of every kind.
func madeUp() []container.Event {
	at := int64(1_000_000)
	event := func(phase, step string, parent bool, took int64, call, result string) container.Event {
		e := container.Event{Phase: phase, Step: step, Parent: parent, Call: call, Result: result, Begin: at, End: at + took}
		at += took
		return e
	}
	events := []container.Event{
		event("bridge", "a bridge", true, 1_234_567, "sendto(netlink, [a bridge])", ""),
		event("overlay", "the layers as one tree", true, 12_340, `fsopen("overlay", FSOPEN_CLOEXEC)`, "fd 7"),
		event("overlay", "the layers as one tree", true, 250_000, `fsconfig(fd 7, FSCONFIG_SET_STRING, "lowerdir", "/a/very/long/name/of/a/layer:/and/another/one:/and/a/third/one", 0)`, ""),
		event("make cgroup", "a control group", true, 300_000, `mkdir("/bench-x")`, ""),
		event("clone", "a process in new namespaces", true, 500_000, "clone3(NEWUSER|NEWPID)", "process 42"),
	}
	at -= 400_000 // the child runs beside its parent
	maps := event("id maps", "who its users are", true, 90_000, `write("/proc/42/uid_map", "0 1073741824 65536")`, "")
	at -= 90_000
	wait := event("id maps", "wait for the parent", false, 100_000, "futex(&gate, FUTEX_WAIT)", "")
	wait.Waits = true
	events = append(events, wait, maps,
		event("file system", "mount /proc", false, 7_100, `fsopen("proc", FSOPEN_CLOEXEC)`, "fd 8"),
		event("file system", "mount /proc", false, 900, "close(fd 8)", ""),
		event("file system", "mount /proc", false, 1_100, "close(fd 9)", ""),
		event("file system", "hide /proc/acpi", false, 3_000, `openat2(rootfs, "/proc/acpi", {O_PATH|O_DIRECTORY}, 24)`, "ENOENT"),
		event("file system", "hide /proc/acpi", false, 2_000, `openat2(rootfs, "/proc/acpi", {O_PATH}, 24)`, "ENOENT"),
		event("privileges", "capabilities that are lost", false, 1_000, "prctl(PR_CAPBSET_DROP, CAP_DAC_READ_SEARCH)", ""),
		event("privileges", "capabilities that are lost", false, 1_500, "prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN)", ""),
		event("privileges", "capabilities that are lost", false, 1_500, "prctl(PR_CAPBSET_DROP, CAP_BPF)", ""),
		event("privileges", "capabilities that are lost", false, 1_000, "prctl(PR_SET_KEEPCAPS, 1)", ""),
		event("exec", "become the program", false, 9_000, `execve("/sbin/sh", ["sh"], [/* 3 vars */])`, "ENOENT"),
		event("exec", "become the program", false, 400_000, `execve("/bin/sh", ["sh"], [/* 3 vars */])`, ""),
	)
	return events
}

func TestExplainGolden(t *testing.T) {
	var b bytes.Buffer
	events := madeUp()
	explain(&b, 90, false, events, 0)
	failed := events[len(events)-1]
	failed.Failed, failed.Result = true, "EACCES"
	explain(&b, 90, false, []container.Event{failed}, 0)
	golden := filepath.Join("testdata", "explain.golden")
	if *update {
		if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatalf("%v; go test -update ./bench -run Explain writes it", err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestRunExplain: every phase of a real start is told, every call with a time,
// and the program's output stays clean.
func TestRunExplain(t *testing.T) {
	root := shell(t)
	stdout, stderr, code := benchRun(t, "--explain", "-m", "64m", root, "sh", "-c", "echo out; echo err >&2")
	if stdout != "out\n" || code != 0 {
		t.Errorf("the program's output: %q; status %d", stdout, code)
	}
	at := 0
	for _, want := range []string{
		"2 FILE SYSTEM: the image", "3 NETWORK: a network", "5 PRIVILEGES: the filter", "2 FILE SYSTEM: the layers", `fsopen("overlay", FSOPEN_CLOEXEC) = fd `,
		"4 CGROUPS: a control group", "memory 64 MiB", "1 NAMESPACES: a process", "clone3(NEWUSER|", "= process ", "1 NAMESPACES: its users", "uid_map",
		"4 CGROUPS: into", "2 FILE SYSTEM: the tree", "mount /proc", "pivot_root", "3 NETWORK: the cable", "veth pair", "10.", "5 PRIVILEGES: less power",
		"seccomp(SECCOMP_SET_MODE_FILTER", "capset(", "6 EXEC: the program", `execve("/bin/sh"`, "IN ALL", "1 namespaces", "6 exec", "Its first output came after ",
	} {
		i := strings.Index(stderr[at:], want)
		if i < 0 {
			t.Fatalf("it does not tell %q, or not in its place:\n%s", want, stderr)
		}
		at += i
	}
	if !strings.HasSuffix(stderr, "err\n") {
		t.Errorf("the program's standard error comes last: %q", stderr[len(stderr)-100:])
	}
	if m := regexp.MustCompile(`-\d+\.\d|clock_gettime|\$\d`).FindString(stderr); m != "" {
		t.Errorf("it holds %q:\n%s", m, stderr)
	}
}

// TestRunExplainFailure: the call that failed is the last that is told.
func TestRunExplainFailure(t *testing.T) {
	root := shell(t)
	_, stderr, code := benchRun(t, "--explain", root, "/nothere")
	if code != exitNotFound || !strings.Contains(stderr, `execve("/nothere", ["/nothere"], `) || !strings.Contains(stderr, "= ENOENT   HERE IT FAILED\n\nIN ALL") {
		t.Errorf("status %d:\n%s", code, stderr)
	}
	if _, stderr, code = benchRun(t, "--explain", "--userns", "host", root, "/nothere"); code != exitNotFound || !strings.Contains(stderr, "execve(\"/nothere\") = ENOENT   HERE IT FAILED\n\nIN ALL") {
		t.Errorf("with the host's users: status %d:\n%s", code, stderr)
	}
}
