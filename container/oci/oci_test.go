package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestRun(t *testing.T) {
	b := newBundle(t, "who", "fds", "exit 7")
	out, code := b.oci("run", "--bundle", b.dir, "one")
	if code != 7 || !strings.Contains(out, "pid=1 uid=0") || !strings.Contains(out, `"Op":"fds","Out":"0 1 2"`) {
		t.Errorf("run: code %d, %s", code, out)
	}
	if out, code := b.oci("list", "-q"); code != 0 || out != "" {
		t.Errorf("list after run: code %d, %s", code, out)
	}

	// Of a host whose root cannot be pivoted; and with a keyring that is ours.
	out, code = b.oci("run", "--no-pivot", "--no-new-keyring", "two")
	if code != 7 || !strings.Contains(out, "pid=1 uid=0") {
		t.Errorf("run --no-pivot: code %d, %s", code, out)
	}
	b.change(func(s *specs.Spec) { s.Process.Args = []string{"/probe", "ls /", "ls /../.."} })
	out, _ = b.oci("run", "--no-pivot", "three")
	if strings.Count(out, `"Out":"dev probe proc sys"`) != 2 {
		t.Errorf("run --no-pivot shows %s", out)
	}

	// It ends as the program does.
	b.change(func(s *specs.Spec) { s.Process.Args = []string{"/probe", "raise 9"} })
	if _, code := b.oci("run", "four"); code != 2 { // PID 1 cannot kill itself: the probe panics
		t.Errorf("run of a program that crashes: code %d", code)
	}

	b.change(func(s *specs.Spec) { s.Process.Args = []string{"/no/such/program"} })
	out, code = b.oci("run", "five")
	if code != 1 || !strings.Contains(out, "no such program") {
		t.Errorf("run of a program that is not there: code %d, %s", code, out)
	}
}

// TestRunForwardsSignals: to the program, whose end is then its own.
func TestRunForwardsSignals(t *testing.T) {
	b := newBundle(t, "term")
	cmd := b.command("run", "c")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
	defer late.Stop()
	if _, err := out.Read(make([]byte, 6)); err != nil { // "ready"
		t.Error(err)
	}
	cmd.Process.Signal(unix.SIGTERM)
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 7 {
		t.Errorf("code %d, want the probe's, 7", code)
	}
}

func TestLife(t *testing.T) {
	b := newBundle(t, "pause")
	b.must("", "create", "--bundle", b.dir, "--pid-file", filepath.Join(b.dir, "pid"), "c")
	b.must(`"status": "created"`, "state", "c")
	if out, code := b.oci("create", "c"); code != 1 || !strings.Contains(out, "exists already") {
		t.Errorf("create of one that is there: code %d, %s", code, out)
	}
	b.must("", "start", "c")
	text := b.must(`"status": "running"`, "state", "c")
	var s containerState
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Error(err)
	}
	pid, err := os.ReadFile(filepath.Join(b.dir, "pid"))
	if err != nil || string(pid) != strconv.Itoa(s.Pid) {
		t.Errorf("the pid file holds %q (%v), the state %d", pid, err, s.Pid)
	}
	if s.Rootfs != filepath.Join(b.dir, "rootfs") || s.Bundle != b.dir || time.Since(s.Created) > time.Minute {
		t.Errorf("state %+v", s)
	}
	b.must("["+strconv.Itoa(s.Pid)+"]", "ps", "-f", "json", "c")
	if _, err := exec.LookPath("ps"); err == nil {
		b.must("/probe pause", "ps", "c")
		if out := b.must(strconv.Itoa(s.Pid), "ps", "c", "-o", "user,pid"); strings.Count(out, "\n") != 2 {
			t.Errorf("ps -o user,pid: %s", out)
		}
	}
	b.must(`"id":"c"`, "list", "-f", "json")
	b.must(b.dir, "list")

	b.must("", "pause", "c")
	b.must(`"status": "paused"`, "state", "c")
	if out, code := b.oci("exec", "c", "/probe", "who"); code != 255 || !strings.Contains(out, "paused") {
		t.Errorf("exec in one that is paused: code %d, %s", code, out)
	}
	waiting := b.command("exec", "--ignore-paused", "c", "/probe", "exit 6")
	if err := waiting.Start(); err != nil {
		t.Fatal(err)
	}
	b.must("", "resume", "c")
	if waiting.Wait(); waiting.ProcessState.ExitCode() != 6 {
		t.Errorf("exec --ignore-paused: %v", waiting.ProcessState)
	}
	if out, code := b.oci("delete", "c"); code != 1 || !strings.Contains(out, "--force") {
		t.Errorf("delete of one that runs: code %d, %s", code, out)
	}
	b.must("", "kill", "c", "KILL")
	b.await("c", "stopped")
	if out, code := b.oci("kill", "c"); code != 1 || !strings.Contains(out, "container not running") { // containerd looks for these words
		t.Errorf("kill of one that has ended: code %d, %s", code, out)
	}
	b.must("", "delete", "c")
	if out, code := b.oci("state", "c"); code != 1 || !strings.Contains(out, "does not exist") {
		t.Errorf("state after delete: code %d, %s", code, out)
	}
	b.must("", "delete", "--force", "c")
}

// TestExec: what its flags change, and what they leave.
func TestExec(t *testing.T) {
	b := newBundle(t, "pause")
	b.change(func(s *specs.Spec) {
		s.Process.User = specs.User{UID: 1, GID: 2, AdditionalGids: []uint32{3}}
		s.Process.Env = []string{"A=a"}
		s.Process.NoNewPrivileges = false
	})
	b.must("", "run", "--detach", "c")
	b.must("pid=", "exec", "c", "/probe", "who")
	for _, tt := range []struct {
		want string
		args []string
	}{
		{"uid=1 gid=2 groups=[3]", []string{"c", "/probe", "who"}},
		{"uid=5 gid=2 groups=[3]", []string{"-u", "5", "c", "--", "/probe", "who"}},
		{"uid=5 gid=6 groups=[3 7 8]", []string{"--user", "5:6", "-g", "7", "--additional-gids", "8", "c", "/probe", "who"}},
		{"cwd=/proc ", []string{"--cwd", "/proc", "c", "/probe", "who"}},
		{`A=a\nB=b\nC=c`, []string{"-e", "B=b", "--env", "C=c", "c", "/probe", "env"}},
		{`NoNewPrivs:\t0`, []string{"c", "/probe", "cat /proc/self/status"}},
		{`NoNewPrivs:\t1`, []string{"--no-new-privs", "c", "/probe", "cat /proc/self/status"}},
		{`CapBnd:\t00000000a80425fb`, []string{"c", "/probe", "cat /proc/self/status"}},
		{`CapBnd:\t00000000a84425fb`, []string{"--cap", "CAP_SYS_BOOT", "c", "/probe", "cat /proc/self/status"}},
	} {
		b.must(tt.want, append([]string{"exec"}, tt.args...)...)
	}
	for _, tt := range []struct {
		code int
		want string
		args []string
	}{
		{5, "", []string{"c", "/probe", "exit 5"}},
		{255, "no such program", []string{"c", "/no/such"}},
		{255, "--user", []string{"-u", "root", "c", "/probe"}},
		{255, "neither a program", []string{"c"}},
		{255, "unknown capability", []string{"--cap", "CAP_FLY", "c", "/probe"}},
		{255, "does not exist", []string{"other", "/probe"}},
		{255, "no such file", []string{"--cgroup", "none", "c", "/probe"}},
		{255, "--cgroup", []string{"--cgroup", "cpu:a", "--cgroup", "cpu:b", "c", "/probe"}},
	} {
		out, code := b.oci(append([]string{"exec"}, tt.args...)...)
		if code != tt.code || !strings.Contains(out, tt.want) {
			t.Errorf("exec %q: code %d, %s", tt.args, code, out)
		}
	}

	// By a file, detached.
	process := filepath.Join(b.dir, "process.json")
	if err := os.WriteFile(process, []byte(`{"args": ["/probe", "pause"], "cwd": "/", "user": {"uid": 9, "gid": 9}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	pidFile := filepath.Join(b.dir, "exec.pid")
	b.must("", "exec", "--process", process, "--detach", "--pid-file", pidFile, "c")
	pid, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat("/proc/" + string(pid)); err != nil || info.Sys().(*syscall.Stat_t).Uid != 9 {
		t.Errorf("process %s: %v", pid, err)
	}
	b.must(string(pid), "ps", "-f", "json", "c")
	b.must("", "kill", "--all", "c", "9")
	b.await("c", "stopped")
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if out, _ := b.oci("ps", "-f", "json", "c"); strings.TrimSpace(out) == "[]" {
			break
		} else if time.Now().After(end) {
			t.Errorf("after kill --all: %s", out)
			break
		}
	}
}

// TestUsage: what makes no sense is refused before anything is made, with
// runc's exit codes.
func TestUsage(t *testing.T) {
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{nil, 0, ""}, {[]string{"help"}, 0, ""}, {[]string{"--help"}, 0, ""}, {[]string{"create", "--help"}, 0, ""},
		{[]string{"--version"}, 0, ""}, {[]string{"features"}, 0, ""},
		{[]string{"fly"}, 3, `no command "fly"`}, {[]string{"--fly"}, 1, "fly"}, {[]string{"create", "--fly", "x"}, 1, "create: flag"},
		{[]string{"start"}, 1, "start: 0 arguments"}, {[]string{"start", "a", "b"}, 1, "start: 2 arguments"},
		{[]string{"kill", "a", "NOSUCH"}, 1, "is no signal"}, {[]string{"kill", "a", "KILL", "--all"}, 1, "does not exist"},
		{[]string{"state", "../x"}, 1, "container ID"}, {[]string{"state", "a"}, 1, "container does not exist"},
		{[]string{"exec", "a", "ls"}, 255, "container does not exist"},
		{[]string{"delete", "a"}, 1, "container does not exist"}, {[]string{"delete", "-f", "a"}, 0, ""},
		{[]string{"list", "-f", "xml"}, 1, "--format"}, {[]string{"--log-format", "xml", "list"}, 1, "--log-format"},
		{[]string{"events", "--interval", "0s", "a"}, 1, "--interval"},
		{[]string{"update", "--memory", "much", "a"}, 1, "much"}, {[]string{"update", "-r", "/no/such", "a"}, 1, "--resources"},
		{[]string{"create", "--bundle", "/no/such", "a"}, 1, "reading the bundle"},
	} {
		var out, errOut bytes.Buffer
		code := run(append([]string{"--root", t.TempDir()}, tt.args...), &out, &errOut)
		if code != tt.code || !strings.Contains(errOut.String(), tt.want) {
			t.Errorf("%q: code %d, %s", tt.args, code, &errOut)
		}
	}
}

// TestBadConfig: the error names the field, on standard error and, as an
// engine reads it, in the log.
func TestBadConfig(t *testing.T) {
	for _, tt := range []struct{ name, config, want string }{
		{"syntax", "{\n\"ociVersion\": \"1.0.0\",\n}", "config.json:3: invalid character"},
		{"type", `{"ociVersion": "1.0.0", "process": {"args": "ls"}}`, "process.args: a string is of no use there, it takes a []string"},
		{"empty", `{}`, "ociVersion"},
		{"no program", `{"ociVersion": "1.0.0", "process": {"cwd": "/"}, "root": {"path": "rootfs"}}`, "process.args"},
		{"capability", `{"ociVersion": "1.0.0", "process": {"cwd": "/", "args": ["a"], "capabilities": {"bounding": ["CAP_FLY"]}}, "root": {"path": "rootfs"}}`, "process.capabilities.bounding"},
		{"namespace", `{"ociVersion": "1.0.0", "process": {"cwd": "/", "args": ["a"]}, "root": {"path": "/"}, "linux": {"namespaces": [{"type": "dream"}]}}`, "linux.namespaces[0].type"},
		{"terminal", `{"ociVersion": "1.0.0", "process": {"cwd": "/", "args": ["a"], "terminal": true}, "root": {"path": "rootfs"}, "linux": {"namespaces": [{"type": "mount"}]}}`, "process.terminal"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(tt.config), 0o644); err != nil {
				t.Fatal(err)
			}
			var out, errOut bytes.Buffer
			log := filepath.Join(dir, "log")
			code := run([]string{"--root", filepath.Join(dir, "state"), "--log", log, "--log-format", "json", "create", "--bundle", dir, "c"}, &out, &errOut)
			if code != 1 || !strings.Contains(errOut.String(), tt.want) {
				t.Errorf("code %d, %s", code, &errOut)
			}
			text, err := os.ReadFile(log)
			if err != nil {
				t.Fatal(err)
			}
			var line struct { // as containerd has it (pkg/process/utils.go)
				Level, Msg string
				Time       time.Time
			}
			if err := json.Unmarshal(text, &line); err != nil || line.Level != "error" || !strings.Contains(line.Msg, tt.want) || time.Since(line.Time) > time.Minute {
				t.Errorf("the log: %s, %v", text, err)
			}
			if left, _ := os.ReadDir(filepath.Join(dir, "state")); len(left) > 0 {
				t.Errorf("%s is left", left[0].Name())
			}
		})
	}
}

// TestDelegatedCgroup: a container that may write to its cgroups manages those
// below its own, on version 2 also as an ordinary user.
func TestDelegatedCgroup(t *testing.T) {
	dir := "/sys/fs/cgroup"
	if _, err := os.Stat(dir + "/cgroup.controllers"); err != nil {
		dir += "/unified"
		if _, err := os.Stat(dir); err != nil {
			t.Skip("this host has no cgroup v2; TestInGuest of package container boots one that has")
		}
	}
	for option, want := range map[string]string{"rw": `"Err":""`, "ro": `"Err":"EROFS"`} {
		b := newBundle(t, "mkdir "+dir+"/below")
		b.change(func(s *specs.Spec) {
			s.Process.User.UID = 1234
			for i, m := range s.Mounts {
				if m.Destination == "/sys/fs/cgroup" {
					s.Mounts[i].Options = []string{"nosuid", "noexec", "nodev", option}
				}
			}
		})
		b.must(want, "run", "c")
	}
}

// TestPreserveFDs: descriptors of the caller's, and those of a service manager.
func TestPreserveFDs(t *testing.T) {
	b := newBundle(t, "fds", "env")
	cmd := b.command("run", "--preserve-fds", "1", "c")
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	cmd.ExtraFiles = []*os.File{null, null, null}
	cmd.Env = append(os.Environ(), "LISTEN_FDS=1")
	out, code := output(t, cmd)
	if code != 0 || !strings.Contains(out, `"Out":"0 1 2 3 4"`) || !strings.Contains(out, `LISTEN_FDS=1\nLISTEN_PID=1`) {
		t.Errorf("code %d, %s", code, out)
	}
}

func TestPidfdSocket(t *testing.T) {
	b := newBundle(t, "pause")
	path := filepath.Join(b.dir, "pidfd.sock")
	l, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(l)
	if err := unix.Bind(l, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(l, 1); err != nil {
		t.Fatal(err)
	}
	b.must("", "create", "--pidfd-socket", path, "c")
	conn, _, err := unix.Accept(l)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(conn)
	oob := make([]byte, 64)
	_, n, _, _, err := unix.Recvmsg(conn, make([]byte, 64), oob, 0)
	if err != nil {
		t.Fatal(err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		t.Fatal(messages, err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		t.Fatal(fds, err)
	}
	defer unix.Close(fds[0])
	if err := unix.PidfdSendSignal(fds[0], unix.SIGKILL, nil, 0); err != nil {
		t.Error(err)
	}
	b.await("c", "stopped")
}

// TestSpec: what it writes can be run, by root and, the other, in a user
// namespace of one user.
func TestSpec(t *testing.T) {
	b := newBundle(t)
	if out, code := b.oci("spec"); code != 1 || !strings.Contains(out, "exists") {
		t.Errorf("spec where there is one: code %d, %s", code, out)
	}
	if err := os.Remove(filepath.Join(b.dir, "config.json")); err != nil {
		t.Fatal(err)
	}
	b.must("", "spec", "--rootless")
	b.change(func(s *specs.Spec) {
		if !s.Process.Terminal {
			t.Error("no terminal is asked for")
		}
		s.Process.Args, s.Process.Terminal = []string{"/probe", "who", "cat /proc/self/uid_map"}, false
		s.Linux.CgroupsPath = "/benchtest-oci-" + filepath.Base(filepath.Dir(b.dir))
	})
	if out := b.must("pid=1 uid=0", "run", "c"); !strings.Contains(strings.Join(strings.Fields(out), " "), `"Out":" 0 0 1\n"`) {
		t.Errorf("its users: %s", out)
	}
}
