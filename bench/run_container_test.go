package main

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/bench/embedded"
	"vmctr/report/result/identity"
)

func needContainers(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		if required("root") {
			t.Fatal("BENCH_REQUIRE=root, and this is not root")
		}
		t.Skip("starts containers: run as root (sudo scripts/test)")
	}
}

// shell is a root file system with a shell, of which busybox is all.
func shell(t *testing.T) string {
	t.Helper()
	needContainers(t)
	busybox, err := exec.LookPath("busybox")
	var f *elf.File
	if err == nil {
		f, err = elf.Open(busybox)
	}
	if err == nil {
		defer f.Close()
		if slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
			err = errors.New("busybox is not static")
		}
	}
	if err != nil {
		if required("root") {
			t.Fatal(err)
		}
		t.Skipf("%v: apt-get install busybox-static", err)
	}
	dir := t.TempDir()
	// Other users pass through it.
	for d := dir; d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"bin/busybox": program, "etc/passwd": []byte("root:x:0:0::/root:\nalice:x:1000:1000::/home:\n"), "etc/group": []byte("wheel:x:10:alice\n"), "tmp/x": nil,
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"sh", "cat", "id", "touch", "tail", "ls", "grep", "env", "pwd", "stty", "tty", "sleep", "httpd", "wget", "hostname", "true"} {
		if err := os.Symlink("busybox", filepath.Join(dir, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// benchRun is `bench run`.
func benchRun(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, err bytes.Buffer
	code = bench(append([]string{"run"}, args...), &out, &err)
	return out.String(), err.String(), code
}

func TestRunShell(t *testing.T) {
	root := shell(t)
	data := t.TempDir()
	if err := os.WriteFile(filepath.Join(data, "file"), []byte("of the host"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name           string
		args           []string
		stdout, stderr string // a part of it
		code           int
	}{
		{"output", []string{root, "sh", "-c", "echo out; echo err >&2; exit 7"}, "out\n", "err\n", 7},
		{"reopened output", []string{"-u", "alice", root, "sh", "-c", "echo out >/dev/stdout; echo err >/dev/stderr"}, "out\n", "err\n", 0},
		{"signal", []string{root, "sh", "-c", "sh -c 'kill -9 $$'; exit $?"}, "", "", 137},
		{"environment", []string{"-e", "A=b c", root, "env"}, "A=b c\n", "", 0},
		{"host name", []string{"--hostname", "box", root, "sh", "-c", "hostname; cat /etc/hostname; grep box /etc/hosts"}, "box\nbox\n10.", "", 0},
		{"resolv.conf", []string{root, "cat", "/etc/resolv.conf"}, "", "", 0},
		{"user", []string{"--user", "alice", root, "id"}, "uid=1000(alice) gid=1000 groups=10(wheel)", "", 0},
		{"user and group", []string{"--user", "5:7", root, "id"}, "uid=5 gid=7", "", 0},
		{"folder", []string{"-w", "/new/folder", root, "pwd"}, "/new/folder", "", 0},
		{"program", []string{"--entrypoint", "cat", root, "/etc/passwd"}, "alice", "", 0},
		{"volume", []string{"-v", data + ":/data", root, "sh", "-c", "cat /data/file; echo of the container >/data/new"}, "of the host", "", 0},
		{"read-only volume", []string{"-v", data + ":/data:ro", root, "touch", "/data/x"}, "", "Read-only file system", 1},
		{"read-only root", []string{"--read-only", root, "touch", "/x"}, "", "Read-only file system", 1},
		{"writable layer", []string{root, "sh", "-c", "touch /x && ls /"}, "x", "", 0},
		{"no network", []string{"--network", "none", root, "ls", "/sys/class/net"}, "lo\n", "", 0},
		{"bridge", []string{root, "ls", "/sys/class/net"}, "eth0\nlo\n", "", 0},
		{"host's network", []string{"--network", "host", "--userns", "host", root, "sh", "-c", "ls /sys/class/net"}, "lo\n", "", 0},
		{"host's network, user namespace", []string{"--network", "host", root, "ls", "/sys/class/net"}, "lo\n", "", 0},
		{"no capabilities", []string{"--cap-drop", "all", root, "grep", "CapEff", "/proc/self/status"}, "CapEff:\t0000000000000000", "", 0},
		{"a capability", []string{"--cap-drop", "all", "--cap-add", "chown", root, "grep", "CapEff", "/proc/self/status"}, "CapEff:\t0000000000000001", "", 0},
		{"all capabilities, with the host's users", []string{"--userns", "host", "--cap-add", "all", root, "grep", "CapEff", "/proc/self/status"}, "CapEff:", "", 0},
		{"a volume that cannot be mapped", []string{"-v", "/proc:/p", root, "id"}, "", "--userns host does without", 125},
		{"the same, with the host's users", []string{"-v", "/proc:/p", "--userns", "host", root, "cat", "/p/1/comm"}, "\n", "", 0},
		{"no new privileges", []string{"--security-opt", "no-new-privileges", root, "grep", "NoNewPrivs", "/proc/self/status"}, "NoNewPrivs:\t1", "", 0},
		{"seccomp", []string{root, "grep", "Seccomp:", "/proc/self/status"}, "Seccomp:\t2", "", 0},
		{"no seccomp", []string{"--security-opt", "seccomp=unconfined", root, "grep", "Seccomp:", "/proc/self/status"}, "Seccomp:\t0", "", 0},
		{"over its memory", []string{"-m", "16m", root, "tail", "/dev/zero"}, "", "over its memory limit", 137},
		{"not found", []string{root, "nothere"}, "", "no such program", 127},
		{"not found by path", []string{root, "/nothere"}, "", "no such file", 127},
		{"not found, with the host's users", []string{"--userns", "host", root, "nothere"}, "", "no such program", 127},
		{"no program, with the host's users", []string{"--userns", "host", root, "/etc"}, "", "permission denied", 126},
		{"init", []string{"--init", root, "sh", "-c", "echo $$"}, "2\n", "", 0},
		{"not found, with an init", []string{"--init", root, "nothere"}, "", "no such program", 127},
		{"no program", []string{root, "/etc"}, "", "permission denied", 126},
		{"no user", []string{"-u", "bob", root, "id"}, "", "user bob", 125},
		{"nothing to run", []string{root}, "", "names no program", 125},
		{"no such image", []string{"nowhere"}, "", `no image named "nowhere"`, 125},
		{"no such folder", []string{"./nothere", "sh"}, "", "no such file", 125},
		{"not an archive", []string{filepath.Join(root, "etc/passwd"), "sh"}, "", "etc/passwd", 125},
		{"too little memory", []string{"-m", "1k", root, "id"}, "", "linux.resources.memory.limit", 125},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stdout, stderr, code := benchRun(t, tt.args...)
			if code != tt.code || !strings.Contains(stdout, tt.stdout) || !strings.Contains(stderr, tt.stderr) {
				t.Errorf("bench run %q: status %d, want %d\n%s---\n%s", tt.args[:len(tt.args)-1], code, tt.code, stdout, stderr)
			}
		})
	}
	var st unix.Stat_t
	if b, err := os.ReadFile(filepath.Join(data, "new")); err != nil || string(b) != "of the container\n" {
		t.Errorf("the volume's new file: %q, %v", b, err)
	} else if err := unix.Stat(filepath.Join(data, "new"), &st); err != nil || st.Uid != 0 {
		t.Errorf("it belongs to user %d, %v: the container's root is the host's there", st.Uid, err)
	}
	if _, err := os.Stat(filepath.Join(root, "x")); err == nil {
		t.Error("the image was changed")
	}
}

// TestRunWorkload: the image that is measured, with its own program.
func TestRunWorkload(t *testing.T) {
	needContainers(t)
	if _, err := embedded.Workload(); err != nil {
		t.Skip(err)
	}
	stdout, stderr, code := benchRun(t, "--name", "bench-test-run", "--hostname", "who", "workload", "exit")
	_, line, _ := strings.Cut(stdout, "\n")
	var id identity.Identity
	if err := json.NewDecoder(strings.NewReader(line)).Decode(&id); code != 0 || err != nil {
		t.Fatalf("status %d, %v\n%s%s", code, err, stdout, stderr)
	}
	if id.PID != 1 || id.Hostname != "who" || id.Seccomp != 2 || !slices.Contains(id.Interfaces, "eth0") {
		t.Errorf("it says %+v", id)
	}
	if swept, _ := filepath.Glob("/run/bench/name-bench-test-run"); len(swept) > 0 {
		t.Errorf("left behind: %s", swept)
	}
}

// started runs `bench run` as a process of its own, whose program says "ready".
func started(t *testing.T, stdin *os.File, args ...string) (cmd *exec.Cmd, out io.Reader) {
	t.Helper()
	cmd = exec.Command("bench", append([]string{"run"}, args...)...)
	cmd.Stdin = stdin
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		r.Close()
		if _, stderr, code := benchClean(t); code != 0 {
			t.Error(stderr)
		}
	})
	expect(t, r, "ready")
	return cmd, r
}

func benchClean(t *testing.T) (stdout, stderr string, code int) {
	t.Helper()
	var out, err bytes.Buffer
	code = bench([]string{"clean"}, &out, &err)
	return out.String(), err.String(), code
}

// expect reads until what is read holds want.
func expect(t *testing.T, r io.Reader, want string) string {
	t.Helper()
	if f, ok := r.(*os.File); ok {
		f.SetReadDeadline(time.Now().Add(time.Minute))
	}
	var all []byte
	b := make([]byte, 4096)
	for !bytes.Contains(all, []byte(want)) {
		n, err := r.Read(b)
		all = append(all, b[:n]...)
		if err != nil {
			t.Fatalf("waiting for %q: %v; read %q", want, err, all)
		}
	}
	return string(all)
}

func exitCode(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	done := make(chan struct{})
	go func() { cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("it does not end")
	}
	return cmd.ProcessState.ExitCode()
}

func TestRunSignals(t *testing.T) {
	root := shell(t)
	t.Run("handled", func(t *testing.T) {
		cmd, _ := started(t, nil, root, "sh", "-c", "trap 'exit 5' INT; trap 'exit 6' USR1; echo ready; while :; do sleep 0.05; done")
		cmd.Process.Signal(syscall.SIGUSR1)
		if code := exitCode(t, cmd); code != 6 {
			t.Errorf("status %d, want 6", code)
		}
	})
	t.Run("not handled", func(t *testing.T) {
		cmd, out := started(t, nil, root, "sh", "-c", "trap '' INT; echo ready; exec sleep 100")
		for range patience {
			cmd.Process.Signal(os.Interrupt)
			time.Sleep(50 * time.Millisecond) // two that wait at once are one
		}
		if code := exitCode(t, cmd); code != 137 {
			t.Errorf("status %d, want 137", code)
		}
		expect(t, out, "killing it")
	})
}

// TestRunInit: with an init Ctrl-C ends a program that does not handle it.
func TestRunInit(t *testing.T) {
	root := shell(t)
	cmd, _ := started(t, nil, "--init", root, "sh", "-c", "echo ready; exec sleep 100")
	cmd.Process.Signal(os.Interrupt)
	if code := exitCode(t, cmd); code != 130 {
		t.Errorf("status %d, want 130", code)
	}
}

// TestRunKilled: of a bench run that is killed no process stays, and the rest
// is swept.
func TestRunKilled(t *testing.T) {
	root := shell(t)
	cmd, _ := started(t, nil, "--name", "bench-test-killed", "-p", "127.0.0.1:18099:80", root, "sh", "-c", "echo ready; exec sleep 100")
	if _, stderr, code := benchRun(t, "--name", "bench-test-killed", root, "true"); code != 125 || !strings.Contains(stderr, `the name "bench-test-killed" is taken`) {
		t.Errorf("the name again: status %d, %s", code, stderr)
	}
	if _, stderr, code := benchRun(t, "-p", "18099:80", root, "true"); code != 125 || !strings.Contains(stderr, "uses the port") {
		t.Errorf("the port again: status %d, %s", code, stderr)
	}
	dir, err := filepath.EvalSymlinks("/run/bench/name-bench-test-killed")
	if err != nil {
		t.Fatal(err)
	}
	id := filepath.Base(dir)
	pids, _ := of(t, id)
	cmd.Process.Kill()
	cmd.Wait()
	for _, pid := range pids {
		waitFor(t, 5*time.Second, func() bool { return gone(pid) })
	}
	stdout, stderr, code := benchClean(t)
	if code != 0 || !strings.Contains(stdout, dir) || !strings.Contains(stdout, strings.TrimPrefix(id, "bench-")+"-b0001") {
		t.Errorf("bench clean: status %d\n%s%s", code, stdout, stderr)
	}
	if processes, rest := of(t, id); len(processes)+len(rest) > 0 {
		t.Errorf("left: processes %v, %q", processes, rest)
	}
	if _, err := os.Lstat("/run/bench/name-bench-test-killed"); err == nil {
		t.Error("the name is still taken")
	}
}

// TestRunPorts: a server, called by the host and by a container in its network.
func TestRunPorts(t *testing.T) {
	root := shell(t)
	started(t, nil, "--name", "bench-test-web", "-p", "127.0.0.1:18098:80", root, "sh", "-c", "echo hello >/tmp/index.html; httpd -p 80 -h /tmp; echo ready; exec sleep 100")
	c, err := net.DialTimeout("tcp", "127.0.0.1:18098", 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET /index.html HTTP/1.0\r\n\r\n")
	if b, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(b), "hello\n") {
		t.Errorf("the host got %q, %v", b, err)
	}
	if stdout, stderr, code := benchRun(t, "--userns", "host", "--network", "container:bench-test-web", root, "wget", "-qO-", "http://127.0.0.1/index.html"); stdout != "hello\n" || code != 0 {
		t.Errorf("the other container got %q; status %d, %s", stdout, code, stderr)
	}
	if _, stderr, code := benchRun(t, "--userns", "host", "--network", "container:nobody", root, "true"); code != 125 || !strings.Contains(stderr, "nobody") {
		t.Errorf("the network of nobody: status %d, %s", code, stderr)
	}
}

// TestRunStdin: -i passes the input on, and its end.
func TestRunStdin(t *testing.T) {
	root := shell(t)
	for _, tt := range []struct {
		flag, want string
	}{{"-i", "ready\ninput\n"}, {"--rm", "ready\n"}} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, "input\n")
		w.Close()
		cmd := exec.Command("bench", "run", tt.flag, root, "sh", "-c", "echo ready; cat")
		cmd.Stdin = r
		out, err := cmd.CombinedOutput()
		if string(out) != tt.want || err != nil {
			t.Errorf("%s: %q, %v; want %q", tt.flag, out, err, tt.want)
		}
		r.Close()
	}
}

// TestRunTerminal: a shell as a user has it: lines are edited, Ctrl-C
// interrupts, the size of the window is known and changes, and the terminal is
// afterwards as it was.
func TestRunTerminal(t *testing.T) {
	testTerminal(t, "-it", shell(t))
}

func testTerminal(t *testing.T, args ...string) {
	master, tty := openPTY(t)
	size := func(rows, columns uint16) {
		t.Helper()
		if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
			t.Fatal(err)
		}
	}
	size(33, 77)
	before, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	cmd := inTerminal(t, tty, append(args, "sh", "-c", "trap 'echo caught' INT; trap 'stty size' WINCH; stty size; echo $TERM on $(tty); echo ready; while read line; do echo got $line; done; while read line; do echo again $line; done; exit 3")...)
	if out := expect(t, master, "ready"); !strings.Contains(out, "33 77") || !strings.Contains(out, "xterm on /dev/pts/0") {
		t.Errorf("the window has 33 77, TERM is xterm, and its terminal is the first: %q", out)
	}
	io.WriteString(master, "a lien\x7f\x7f\x7fine\r")
	expect(t, master, "got a line")
	size(20, 50) // the kernel tells those of our session
	expect(t, master, "20 50")
	io.WriteString(master, "\x03")
	expect(t, master, "caught")
	io.WriteString(master, "\x04\x04\x04")
	if code := exitCode(t, cmd); code != 3 {
		t.Errorf("status %d, want 3", code)
	}
	after, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil || *after != *before {
		t.Errorf("the terminal was %+v, and is %+v, %v", before, after, err)
	}
}

// inTerminal starts bench run as a user does at a terminal.
func inTerminal(t *testing.T, tty *os.File, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("bench", append([]string{"run"}, args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd
}

// openPTY makes a terminal (pty(7)).
func openPTY(t *testing.T) (master, tty *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	master = os.NewFile(uintptr(fd), "master")
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close(); tty.Close() })
	return master, tty
}

// TestRunUser: an ordinary user's container.
func TestRunUser(t *testing.T) {
	root := shell(t)
	dir, err := os.MkdirTemp("", "bench-run-user-") // no other user can enter t.TempDir's
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	const nobody = 65534
	// Their own files are the image: of others they could change none.
	err = filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, nobody, nobody))
	})
	if err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(dir, "home")
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(home, 0o700), os.Chown(home, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "bench")
	copyFile(t, program)
	for _, tt := range []struct {
		name           string
		args           []string
		stdout, stderr string
		code           int
	}{
		{"output", []string{root, "sh", "-c", "id -u; echo out >/dev/stdout; touch /x && ls -ld /x; ls /sys/class/net; cat /etc/hostname"}, "0\nout\n", "", 0},
		{"volume", []string{"-v", home + ":/home", root, "sh", "-c", "touch /home/made && ls /home"}, "made", "", 0},
		{"host's network", []string{"--network", "host", root, "ls", "/sys/class/net"}, "lo", "", 0},
		{"bridge", []string{"--network", "bridge", root, "id"}, "", "need root", 125},
		{"port", []string{"-p", "80", root, "id"}, "", "only a container in the bridge network", 125},
		{"limits", []string{"-m", "64m", root, "id"}, "", "an ordinary user can make cgroups only below one that is theirs", 125},
		{"code", []string{root, "sh", "-c", "exit 9"}, "", "", 9},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.Command(program, append([]string{"run"}, tt.args...)...)
			cmd.Dir, cmd.Env = home, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "XDG_RUNTIME_DIR=" + home}
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
			var stdout, stderr strings.Builder
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			if err := cmd.Run(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != tt.code || !strings.Contains(stdout.String(), tt.stdout) || !strings.Contains(stderr.String(), tt.stderr) {
				t.Errorf("%v, want status %d\n%s---\n%s", err, tt.code, &stdout, &stderr)
			}
			if left, err := filepath.Glob(home + "/bench/bench-*"); err != nil || len(left) > 0 {
				t.Errorf("left behind: %q, %v", left, err)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(home, "made")); err != nil {
		t.Error(err)
	}
}
