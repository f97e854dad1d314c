package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sys/unix"

	"vmctr/bench/embedded"
	"vmctr/bench/harness"
	"vmctr/bench/platform"
)

// machineShell is the image of the tests with a shell, for a machine as well as
// for a container.
func machineShell(t *testing.T) string {
	t.Helper()
	root := shell(t)
	needMachines(t)
	for _, name := range []string{"uname", "readlink", "sha256sum"} {
		if err := os.Symlink("busybox", filepath.Join(root, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "etc", "os-release"), []byte("ID=of-the-image\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return root
}

func needMachines(t *testing.T) {
	t.Helper()
	_, err := embedded.Guest("amd64")
	for _, p := range platform.All() {
		if err == nil && p.Info().Kind == "vm" {
			err = p.Available(context.Background())
		}
	}
	if err != nil {
		if required("qemu") {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

// TestRunOn is the lecture's "user space vs kernel space": an image is user space
// only. In a container and in a machine it is the same but for the kernel, which
// it does not have.
func TestRunOn(t *testing.T) {
	root := machineShell(t)
	large := machineShell(t) // on a disk
	if err := os.WriteFile(filepath.Join(large, "data"), make([]byte, 20<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	const script = `cat /etc/os-release; id; pwd; echo "$A $HOME $PATH"; cat /etc/hosts
		readlink /dev/stdout; touch /made && ls -l /etc/passwd /bin/cat; echo again >/dev/stdout
		echo errors >&2; exit 7`
	for _, tt := range []struct {
		name string
		args []string
		code int
	}{
		{"root", []string{"-e", "A=b c", root, "sh", "-c", script}, 7},
		{"a user, a folder", []string{"-u", "alice:wheel", "-w", "/new/folder", root, "sh", "-c", "id; pwd; echo again >/dev/stdout; echo errors >/dev/stderr; exit 9"}, 9},
		{"on a disk", []string{"--entrypoint", "sh", large, "-c", script + "; sha256sum /data"}, 7},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stdout, stderr, code := benchRun(t, append([]string{"--network", "none"}, tt.args...)...)
			if code != tt.code || !strings.Contains(stdout, "again") || stderr != "errors\n" {
				t.Fatalf("in a container: status %d, want %d; output:\n%s\nerrors:\n%s", code, tt.code, stdout, stderr)
			}
			o, e, c := benchRun(t, append([]string{"--network", "none", "--on", "vm-q35"}, tt.args...)...)
			if withoutTimes(o) != withoutTimes(stdout) || e != stderr || c != code {
				t.Errorf("in a machine: status %d, in a container %d; output\n%s\nand\n%s\nerrors\n%s\nand\n%s", c, code, o, stdout, e, stderr)
			}
		})
	}
	// It may be of the same release, but it has booted by itself.
	const booted = "/proc/sys/kernel/random/boot_id"
	host, err := os.ReadFile(booted)
	if err != nil {
		t.Fatal(err)
	}
	inContainer, _, _ := benchRun(t, root, "cat", booted)
	inMachine, stderr, code := benchRun(t, "--on", "vm-q35", root, "cat", booted)
	if inContainer != string(host) || inMachine == string(host) || inMachine == "" || code != 0 {
		t.Errorf("the kernel of the host is %q, of the container %q, of the machine %q (%d, %s)", host, inContainer, inMachine, code, stderr)
	}
}

// TestRunOnLayers: what a layer removes from those below is gone in a machine as
// in a container, and who owns what is the same.
func TestRunOnLayers(t *testing.T) {
	root := machineShell(t)
	busybox, err := os.ReadFile(filepath.Join(root, "bin", "busybox"))
	if err != nil {
		t.Fatal(err)
	}
	layer := func(files ...tar.Header) v1.Layer {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range files {
			content := []byte("of " + h.Name)
			switch {
			case h.Name == "bin/busybox":
				content = busybox
			case h.Typeflag != 0 || strings.Contains(h.Name, ".wh."):
				content = nil
			}
			h.Size, h.ModTime = int64(len(content)), time.Unix(1e9, 0)
			if h.Mode == 0 {
				h.Mode = 0o755
			}
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(content); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return static.NewLayer(b.Bytes(), types.OCIUncompressedLayer)
	}
	data := tar.Header{Name: "data/", Typeflag: tar.TypeDir, Mode: 0o750, Uid: 7, Gid: 8}
	img, err := mutate.AppendLayers(empty.Image,
		layer(tar.Header{Name: "bin/", Typeflag: tar.TypeDir}, tar.Header{Name: "bin/busybox"}, tar.Header{Name: "bin/sh", Typeflag: tar.TypeSymlink, Linkname: "busybox"},
			data, tar.Header{Name: "data/a"}, tar.Header{Name: "data/b"}, tar.Header{Name: "opaque/old"}, tar.Header{Name: "was/folder"}),
		layer(data, tar.Header{Name: "data/.wh.a"}, tar.Header{Name: "opaque/.wh..wh..opq"}, tar.Header{Name: "opaque/new"}, tar.Header{Name: "was"}),
		layer(data, tar.Header{Name: "data/c", Mode: 0o4755, Uid: 1000, Gid: 10}, tar.Header{Name: "data/d", Typeflag: tar.TypeLink, Linkname: "data/c"}, tar.Header{Name: "tmp/", Typeflag: tar.TypeDir, Mode: 0o1777}))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "layout")
	p, err := layout.Write(dir, empty.Index)
	if err == nil {
		err = p.AppendImage(img)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("BENCH_CACHE", cacheFor(t))
	args := []string{dir, "sh", "-c", "PATH=/bin; for f in /bin/* /data /data/* /opaque/* /was /tmp; do busybox stat -c '%n %a %u:%g %h %F' $f; done; busybox cat /was /data/d"}
	stdout, stderr, code := benchRun(t, append([]string{"--network", "none"}, args...)...)
	for _, want := range []string{"/data/c 4755 1000:10 2", "/data/d 4755", "/opaque/new", "of was", "/data 750 7:8"} {
		if !strings.Contains(stdout, want) {
			t.Fatalf("in a container, %d, %s: there is no %q:\n%s", code, stderr, want, stdout)
		}
	}
	for _, hidden := range []string{"/data/a", "/opaque/old"} {
		if strings.Contains(stdout, hidden) {
			t.Fatalf("in a container there is %s", hidden)
		}
	}
	o, e, c := benchRun(t, append([]string{"--network", "none", "--on", "vm-q35"}, args...)...)
	if diff := cmp.Diff(stdout, o); diff != "" || e != stderr || c != code {
		t.Errorf("status %d and %d, errors %q and %q, -container +machine:\n%s", code, c, stderr, e, diff)
	}
}

// TestRunOnDebian: an image of a distribution, which is too large for memory, is the
// same in a machine as in a container, file by file.
func TestRunOnDebian(t *testing.T) {
	needContainers(t)
	needMachines(t)
	machines := cacheFor(t)
	buildRecipes(t, []string{"debian"})
	for _, name := range []string{"kernel", "vmlinux"} {
		if err := os.Symlink(filepath.Join(machines, name), filepath.Join(cacheDir(), name)); err != nil {
			t.Fatal(err)
		}
	}
	const script = `cat /etc/os-release; id; pwd; echo $PATH $HOME; dpkg --audit
		cd / && all="bin sbin lib usr var opt root home etc/passwd etc/alternatives tmp"
		find $all ! -type d -printf '%p %y %m %U:%G %s %l %T@ %n\n' | sort
		find $all -type d -printf '%p %m %U:%G\n' | sort
		find $all -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum`
	args := []string{"debian", "sh", "-c", script}
	stdout, stderr, code := benchRun(t, append([]string{"--network", "none"}, args...)...)
	if code != 0 || stderr != "" || strings.Count(stdout, "\n") < 1000 || !strings.Contains(stdout, "ID=debian\n") {
		t.Fatalf("in a container: status %d, %s\n%s", code, stderr, stdout)
	}
	o, e, c := benchRun(t, append([]string{"--network", "none", "--on", "vm-q35"}, args...)...)
	if diff := cmp.Diff(stdout, o); diff != "" || e != stderr || c != code {
		t.Errorf("status %d, errors %q, -container +machine:\n%s", c, e, diff)
	}
}

// cacheFor is a cache of this test alone, with the kernels of the one that is
// used.
func cacheFor(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"kernel", "vmlinux"} {
		if err := os.Symlink(filepath.Join(cacheDir(), name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// withoutTimes leaves out what differs by a moment: the times of files, and what
// a pipe is called.
func withoutTimes(s string) string {
	var lines []string
	for line := range strings.Lines(s) {
		if f := strings.Fields(line); len(f) > 8 {
			line = strings.Join(append(f[:5:5], f[8:]...), " ") + "\n"
		}
		if strings.HasPrefix(line, "pipe:[") {
			line = "a pipe\n"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "")
}

func TestRunOnFails(t *testing.T) {
	root := machineShell(t)
	for _, tt := range []struct {
		name string
		args []string
		want string
		code int
	}{
		{"not found", []string{root, "nothere"}, "no such program", 127},
		{"not a program", []string{root, "/etc"}, "not a file that this user may execute", 126},
		{"no user", []string{"-u", "nobody", root, "id"}, "user nobody", 125},
		{"no room for a kernel", []string{"-m", "63m", root, "id"}, "63 MiB, is too small", 125},
		{"too little memory", []string{"-m", "70m", root, "id"}, "give it", 125},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stdout, stderr, code := benchRun(t, append([]string{"--on", "vm-q35"}, tt.args...)...)
			if stdout != "" || code != tt.code || !strings.HasPrefix(stderr, "bench: ") || !strings.Contains(stderr, tt.want) {
				t.Errorf("status %d, want %d; output %q; errors:\n%s", code, tt.code, stdout, stderr)
			}
		})
	}
}

// TestRunOnRefuses: a flag that means nothing in a machine is refused, before
// anything is made for it.
func TestRunOnRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, tt := range []struct{ args, want string }{
		{"--on container x", "no such virtual machine"},
		{"--on vm-toaster x", `"vm-q35"`},
		{"--on vm-q35 -v ./made:/made x", "no folder of the host"},
		{"--on vm-q35 --network none -p 80 x", "only a container in the bridge network"},
		{"--on vm-q35 --network host x", "--network host with --on vm-q35: a machine's network is its own kernel's"},
		{"--on vm-q35 --network container:x x", "its own kernel's"},
		{"--on vm-q35 --cap-drop all x", "all capabilities"},
		{"--on vm-q35 --security-opt no-new-privileges x", "the walls are the machine's"},
		{"--on vm-q35 --read-only x", "read-only"},
		{"--on vm-q35 --explain x", "container"},
		{"--on vm-q35 --init x", "has an init"},
		{"--on vm-q35 --pids-limit 5 x", "limits of a machine"},
		{"--on vm-q35 --userns host x", "users of its own"},
		{"--disk x x", "a container has no disks"},
		{"--on vm-q35 --disk missing x", "the disk missing: no such file"},
		{"--on vm-q35 --disk /:rw x", "the disk /: it is a folder"},
	} {
		_, stderr, code := benchRun(t, strings.Fields(tt.args)...)
		if code != exitRun || !strings.Contains(stderr, tt.want) {
			t.Errorf("%s: status %d, %s", tt.args, code, stderr)
		}
	}
	if left, err := os.ReadDir("."); err != nil || len(left) > 0 {
		t.Errorf("made: %v, %v", left, err)
	}
	b := &box{runCommand: &runCommand{On: "vm-q35", CPUs: "1.5"}}
	var err error
	if b.options, err = (&runCommand{Args: []string{"x"}, CPUs: "1.5", Memory: "65537k"}).options(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.machineSize(); err == nil || !strings.Contains(err.Error(), "whole processors") {
		t.Errorf("1.5 processors: %v", err)
	}
	b.resources.CPU = nil
	if memory, cpus, err := b.machineSize(); memory != 65<<20 || cpus != 1 || err != nil {
		t.Errorf("a machine of %d bytes and %d processors, %v", memory, cpus, err)
	}
}

// TestRunOnInput: -i passes the input on, all of it, and its end.
func TestRunOnInput(t *testing.T) {
	root := machineShell(t)
	input := strings.Repeat("0123456789abcdef", 100_000)
	cmd := exec.Command("bench", "run", "-i", "--on", "vm-q35", root, "sh", "-c", "cat; echo end")
	cmd.Stdin = strings.NewReader(input)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if string(out) != input+"end\n" || err != nil {
		t.Errorf("%d bytes came back of %d, %v; %s", len(out), len(input), err, &stderr)
	}
}

// TestRunOnTerminal: a shell in a machine is as one in a container.
func TestRunOnTerminal(t *testing.T) {
	t.Parallel()
	testTerminal(t, "-it", "--on", "vm-q35", machineShell(t))
}

// reported is what a program does until the guest's report that it runs is with bench
// for sure: what is sent to bench earlier is for bench.
const reported = "sleep 1; "

// TestRunOnHangUp: when the user's terminal is gone, the program is told so; and a
// machine whose program does not listen ends all the same.
func TestRunOnHangUp(t *testing.T) {
	t.Parallel()
	root := machineShell(t)
	for _, tt := range []struct {
		name, trap string
		code       int
	}{
		{"listens", "exit 5", 5},
		{"does not listen", "", 128 + 9}, // as its machine, which is killed
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			master, tty := openPTY(t)
			cmd := inTerminal(t, tty, "-it", "--on", "vm-q35", root, "sh", "-c", "trap '"+tt.trap+"' HUP; "+reported+"echo ready; while :; do sleep 0.1; done")
			expect(t, master, "ready")
			if err := errors.Join(tty.Close(), master.Close()); err != nil {
				t.Fatal(err)
			}
			if code := exitCode(t, cmd); code != tt.code {
				t.Errorf("status %d, want %d", code, tt.code)
			}
		})
	}
}

// TestRunOnStubborn: who asks often enough ends a machine that hangs, too, and the
// terminal is afterwards as it was.
func TestRunOnStubborn(t *testing.T) {
	t.Parallel()
	master, tty := openPTY(t)
	before, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	cmd := inTerminal(t, tty, "-it", "--name", "stubborn-in-a-test", "--on", "vm-q35", machineShell(t), "sh", "-c", reported+"echo ready; sleep 1000")
	expect(t, master, "ready")
	dir, err := harness.Named("stubborn-in-a-test")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	qemu, err := strconv.Atoi(string(text))
	if err == nil {
		err = syscall.Kill(qemu, syscall.SIGSTOP)
	}
	for range patience {
		err = errors.Join(err, cmd.Process.Signal(syscall.SIGINT))
		time.Sleep(100 * time.Millisecond) // one that waits and one that comes are one
	}
	if err != nil {
		t.Fatal(err)
	}
	if code := exitCode(t, cmd); code != 128+9 {
		t.Errorf("status %d, want that of a program that is killed, 137", code)
	}
	after, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil || *after != *before {
		t.Errorf("the terminal was %+v, and is %+v, %v", before, after, err)
	}
}

// TestRunOnTerminalAlone: -t without -i shows the program a terminal too.
func TestRunOnTerminalAlone(t *testing.T) {
	t.Parallel()
	root := machineShell(t)
	stdout, stderr, code := benchRun(t, "-t", "--on", "vm-q35", root, "sh", "-c", "tty; tty <&2; exit 4")
	if stdout != "/dev/pts/0\r\n/dev/pts/0\r\n" || stderr != "" || code != 4 {
		t.Errorf("-t without -i: status %d, output %q, errors %q", code, stdout, stderr)
	}
}

// TestRunOnPipe: a program whose output nobody takes any more ends, as in a pipe.
func TestRunOnPipe(t *testing.T) {
	root := machineShell(t)
	cmd := exec.Command("bench", "run", "--on", "vm-q35", root, "sh", "-c", "while echo line; do :; done")
	r, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	expect(t, r, "line")
	r.Close()
	stop := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	defer stop.Stop()
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 128+int(syscall.SIGPIPE) {
		t.Errorf("status %d, want that of SIGPIPE, 141", code)
	}
}

// TestRunOnSignals: a signal reaches the program, which may handle it; nothing is
// left of the machine.
func TestRunOnSignals(t *testing.T) {
	root := machineShell(t)
	cmd, out := started(t, nil, "--on", "vm-q35", root, "sh", "-c", "trap 'echo asked; exit 3' TERM; echo ready; while :; do sleep 0.1; done")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	expect(t, out, "asked")
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		if cmd.ProcessState.ExitCode() != 3 {
			t.Errorf("ended with %v, want status 3", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("does not end")
	}

	// While the machine boots there is no program: the signal ends bench.
	cmd = exec.Command("bench", "run", "--name", "boots-in-a-test", "--on", "vm-q35", root, "sleep", "100")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	id := ""
	waitFor(t, 30*time.Second, func() bool {
		dir, err := harness.Named("boots-in-a-test")
		id = filepath.Base(dir)
		if err == nil {
			_, err = os.Stat(filepath.Join(dir, "pid")) // QEMU's
		}
		return err == nil
	})
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("interrupted while it boots: status %d, want 130", code)
	}
	if processes, rest := of(t, id); len(processes)+len(rest) > 0 {
		t.Errorf("left behind: %v %v", processes, rest)
	}
}
