package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// bundle builds the program, and a bundle whose root holds the tests' probe.
func bundle(t *testing.T) (oci func(args ...string) (output string, code int), dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		if slices.Contains(strings.Split(os.Getenv("BENCH_REQUIRE"), ","), "root") {
			t.Fatal("BENCH_REQUIRE=root, and this is not root")
		}
		t.Skip("makes real containers, needs root: sudo scripts/test")
	}
	dir = t.TempDir()
	for out, pkg := range map[string]string{"bench-oci": ".", "rootfs/probe": "../testdata/probe"} {
		cmd := exec.Command("go", "build", "-o", filepath.Join(dir, out), pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd, err, text)
		}
	}
	oci = func(args ...string) (string, int) {
		t.Helper()
		// Files, as a created container keeps its streams: a pipe would not end.
		out, err := os.CreateTemp(dir, "out")
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		cmd := exec.Command(filepath.Join(dir, "bench-oci"), append([]string{"--root", filepath.Join(dir, "state"), "--log", filepath.Join(dir, "log"), "--log-format", "json"}, args...)...)
		cmd.Stdout, cmd.Stderr, cmd.WaitDelay = out, out, time.Second
		cmd.Run()
		b, err := os.ReadFile(out.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(b), cmd.ProcessState.ExitCode()
	}
	if out, code := oci("spec", "--bundle", dir); code != 0 {
		t.Fatal(out)
	}
	return oci, dir
}

// args changes what the bundle runs.
func args(t *testing.T, dir string, args ...string) {
	t.Helper()
	path := filepath.Join(dir, "config.json")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var s specs.Spec
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	s.Process.Args = args
	s.Linux.CgroupsPath = "/benchtest-oci-" + filepath.Base(dir) + filepath.Base(filepath.Dir(dir))
	if b, err = json.Marshal(s); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestRun(t *testing.T) {
	oci, dir := bundle(t)
	args(t, dir, "/probe", "who", "exit 7")
	out, code := oci("run", "--bundle", dir, "one")
	if code != 7 || !strings.Contains(out, "pid=1 uid=0") {
		t.Errorf("run: code %d, %s", code, out)
	}
	if out, code := oci("list", "-q"); code != 0 || out != "" {
		t.Errorf("list after run: code %d, %s", code, out)
	}
	args(t, dir, "/no/such/program")
	out, code = oci("run", "--bundle", dir, "two")
	if code != 1 || !strings.Contains(out, "no such program") {
		t.Errorf("run of a program that is not there: code %d, %s", code, out)
	}
	log, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil || !bytes.Contains(log, []byte(`"level":"error"`)) {
		t.Errorf("the log: %s, %v", log, err)
	}
}

func TestLife(t *testing.T) {
	oci, dir := bundle(t)
	args(t, dir, "/probe", "pause")
	must := func(want string, args ...string) {
		t.Helper()
		out, code := oci(args...)
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("%q: code %d, %q, want %q", args, code, out, want)
		}
	}
	defer oci("delete", "--force", "c")
	must("", "create", "--bundle", dir, "--pid-file", filepath.Join(dir, "pid"), "c")
	must(`"status":"created"`, "state", "c")
	must("", "start", "c")
	must(`"status":"running"`, "state", "c")
	must("pause", "ps", "c")
	must("pid=", "exec", "c", "/probe", "who")
	if _, code := oci("exec", "c", "/probe", "exit 5"); code != 5 {
		t.Errorf("exec of a program that ends with 5: code %d", code)
	}
	must("", "pause", "c")
	must(`"status":"paused"`, "state", "c")
	must("", "resume", "c")
	if out, code := oci("delete", "c"); code == 0 || !strings.Contains(out, "--force") {
		t.Errorf("delete of one that runs: code %d, %s", code, out)
	}
	must("", "kill", "c", "KILL")
	for range 500 {
		if out, _ := oci("state", "c"); strings.Contains(out, "stopped") {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	must(`"status":"stopped"`, "state", "c")
	must("", "delete", "c")
	if out, code := oci("state", "c"); code != 1 || !strings.Contains(out, "does not exist") {
		t.Errorf("state after delete: code %d, %s", code, out)
	}
}

// TestUsage: what makes no sense ends with 2, before anything is made.
func TestUsage(t *testing.T) {
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{nil, 2, ""}, {[]string{"fly"}, 2, `no command "fly"`}, {[]string{"--fly"}, 2, "fly"},
		{[]string{"start"}, 2, "start: 0 arguments"}, {[]string{"kill", "a", "NOSUCH"}, 2, "is no signal"},
		{[]string{"state", "../x"}, 1, "container ID"}, {[]string{"create", "--no-pivot", "x"}, 1, "--no-pivot"},
		{[]string{"help"}, 0, ""}, {[]string{"--version"}, 0, ""}, {[]string{"features"}, 0, ""},
	} {
		var out, errOut bytes.Buffer
		code := run(append([]string{"--root", t.TempDir()}, tt.args...), &out, &errOut)
		if code != tt.code || !strings.Contains(errOut.String(), tt.want) {
			t.Errorf("%q: code %d, %s", tt.args, code, &errOut)
		}
	}
}
