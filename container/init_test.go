package container

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/container/rootfs"
)

func needInit(t *testing.T) {
	t.Helper()
	needRoot(t)
	if runtime.GOARCH != "amd64" {
		t.Skipf("the init is not written for %s yet", runtime.GOARCH)
	}
}

// withInit is tryBox with an init.
func withInit(t *testing.T, l *rootfs.Layers, ops ...string) (*box, error) {
	t.Helper()
	b, err := boxOf(t, Config{Spec: sample(ops...), Layers: l, Init: true})
	if err == nil {
		t.Cleanup(func() {
			if err := b.Remove(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	return b, err
}

// TestInitExecutable: the file is a well-formed one of less than a page, which
// nobody can write.
func TestInitExecutable(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("amd64 only")
	}
	b := executable(firstCode())
	f, err := elf.NewFile(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if f.Type != elf.ET_EXEC || f.Machine != elf.EM_X86_64 || len(f.Progs) != 2 || f.Progs[0].Flags != elf.PF_R|elf.PF_X || f.Progs[1].Flags != elf.PF_R|elf.PF_W {
		t.Errorf("%+v, %+v", f.FileHeader, f.Progs)
	}
	if f.Entry != f.Progs[0].Vaddr+64+2*56 || len(b) > 4096 || len(b) < 400 {
		t.Errorf("entry %#x, %d bytes", f.Entry, len(b))
	}
	fd, err := firstFile()
	if err != nil {
		t.Fatal(err)
	}
	if w, err := unix.Open("/proc/self/fd/"+strconv.Itoa(fd), unix.O_RDWR|unix.O_CLOEXEC, 0); err == nil {
		if n, err := unix.Write(w, []byte("x")); err == nil {
			t.Errorf("%d bytes were written to it", n)
		}
		unix.Close(w)
	}
}

// TestInit: the program is not PID 1, and its end is the container's.
func TestInit(t *testing.T) {
	needInit(t)
	l := layersOf(t)
	for _, tt := range []struct {
		op   string
		sig  syscall.Signal
		want Status
	}{
		{"exit 0", 0, Status{}}, {"exit 42", 0, Status{Code: 42}}, {"exit 255", 0, Status{Code: 255}},
		{"raise 9", 0, Status{Code: 137}},
		{"term", unix.SIGTERM, Status{Code: 7}}, // its handler's
		{"pause", unix.SIGTERM, Status{Code: 143}},
		{"pause", unix.SIGHUP, Status{Code: 129}},
		{"pause", unix.SIGKILL, Status{Signal: unix.SIGKILL}},
	} {
		b, err := withInit(t, l, tt.op)
		if err != nil {
			t.Fatal(err)
		}
		if tt.sig != 0 {
			b.ready(t)
			if err := b.Signal(tt.sig); err != nil {
				t.Fatal(err)
			}
		}
		out, stderr, st := b.end(t)
		if st != tt.want {
			t.Errorf("%s, signal %d: %v, want %v; %s%s", tt.op, tt.sig, st, tt.want, out, stderr)
		}
	}
	b, err := withInit(t, l, "who", "fds", "cat /proc/1/comm", "cat /proc/1/cmdline", "ls /proc/1/fd", "cat /proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	out, _, _ := b.end(t)
	for _, want := range []string{"pid=2 uid=0 gid=0", `"0 1 2"`, `"init\n"`, `init\u0000`, "SigBlk:\\t0000000000000000"} {
		if !strings.Contains(out, want) {
			t.Errorf("%s lacks %s", out, want)
		}
	}
}

// TestInitReaps: of orphans no zombies stay.
func TestInitReaps(t *testing.T) {
	needInit(t)
	b, err := withInit(t, layersOf(t), "orphans 20", "children 1", "exit 3")
	if err != nil {
		t.Fatal(err)
	}
	out, _, st := b.end(t)
	if st.Code != 3 || !strings.Contains(out, `"Op":"children 1","Out":"1"`) { // the program itself
		t.Errorf("%v: %s", st, out)
	}
}

// TestInitMemory: it has next to none.
func TestInitMemory(t *testing.T) {
	needInit(t)
	b, err := withInit(t, layersOf(t), "pause")
	if err != nil {
		t.Fatal(err)
	}
	b.ready(t)
	rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", b.PID()))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(rollup)) {
		if f := strings.Fields(line); f[0] == "Pss:" {
			if kib, err := strconv.Atoi(f[1]); err != nil || kib > 40 {
				t.Errorf("the init has %s KiB", f[1])
			}
			t.Logf("the init has %s KiB", f[1])
		}
	}
}

// TestInitCannotStart: that there is no such program is told as without an init,
// and nothing is left.
func TestInitCannotStart(t *testing.T) {
	needInit(t)
	l, dir, dev := layersOf(t, layer(t, map[string]string{"text": "no program"})), t.TempDir(), null(t)
	firstFile()
	before := footprintOf(t, dir)
	for _, tt := range []struct {
		args  []string
		env   string
		errno syscall.Errno
		words string
	}{
		{[]string{"/no/program"}, "PATH=/", unix.ENOENT, "no such program"},
		{[]string{"program"}, "PATH=/a:/b", unix.ENOENT, "tried: /a/program, /b/program"},
		{[]string{"text"}, "PATH=/:/b", unix.ENOEXEC, "this CPU"},
		{[]string{"/proc"}, "PATH=/", unix.EACCES, "may execute"},
	} {
		s := sample()
		s.Process.Args, s.Process.Env = tt.args, []string{tt.env}
		_, err := Start(t.Context(), Config{Spec: s, Layers: l, Dir: filepath.Join(dir, "c"), Stdin: dev, Stdout: dev, Stderr: dev, Init: true})
		if !errors.Is(err, tt.errno) || !strings.Contains(err.Error(), tt.words) {
			t.Errorf("%q: %v", tt.args, err)
		}
		before.check(t, dir, tt.args[0])
	}
	// And so when it is created first.
	s := sample()
	s.Process.Args = []string{"/text"}
	root := t.TempDir()
	h, err := Create(t.Context(), root, Config{ID: "init", Spec: s, Layers: l, Dir: filepath.Join(dir, "c"), Stdin: dev, Stdout: dev, Stderr: dev, Init: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Start(t.Context()); !errors.Is(err, unix.ENOEXEC) {
		t.Errorf("created and started: %v", err)
	}
	if err := h.Delete(t.Context(), true); err != nil {
		t.Error(err)
	}
}

// TestInitLifecycle: a created container with an init starts, and what waits to
// be started holds none of its maker's descriptors.
func TestInitLifecycle(t *testing.T) {
	needInit(t)
	dev := null(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	h, err := Create(t.Context(), filepath.Join(t.TempDir(), "state"), Config{ID: "init", Spec: sample("who", "pause"), Layers: layersOf(t), Dir: filepath.Join(t.TempDir(), "c"), Stdin: dev, Stdout: w, Stderr: dev, Init: true})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Delete(context.Background(), true)
	w.Close()
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", h.Pid))
	if err != nil || len(fds) != 6 { // 0, 1, 2, start, failed, init
		t.Errorf("it holds %v, %v", fds, err)
	}
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.SetReadDeadline(time.Now().Add(10 * time.Second))
	line := make([]byte, 200)
	n, err := r.Read(line)
	if err != nil || !strings.Contains(string(line[:n]), "pid=2 ") {
		t.Errorf("%s, %v", line[:n], err)
	}
}

// TestInitTerminal: what is typed to end a program ends it, once: the program is
// in the foreground, and the init is not.
func TestInitTerminal(t *testing.T) {
	needInit(t)
	ours, theirs, err := socketPair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	s, dev := sample("who", "pause"), null(t)
	s.Process.Terminal = true
	c, err := Start(t.Context(), Config{Spec: s, Layers: layersOf(t), Dir: filepath.Join(t.TempDir(), "c"), Stdin: dev, Stdout: dev, Stderr: dev, Console: theirs, Init: true})
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Remove(context.Background())
	master, err := receive(int(ours.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	var out []byte
	for b := make([]byte, 512); !bytes.Contains(out, []byte("ready\r\n")); {
		n, err := master.Read(b)
		if err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		out = append(out, b[:n]...)
	}
	if _, err := master.Write([]byte{3}); err != nil { // ^C
		t.Fatal(err)
	}
	select {
	case <-c.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on")
	}
	if st := c.Status(); st.Code != 130 {
		t.Errorf("it ended with %v; %s", st, out)
	}
}
