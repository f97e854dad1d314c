package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// conversation is what the probe is asked to do at a terminal.
var conversation = []string{"/probe", "window 24 80", "copy", "window 33 44", "exit 4"}

// converse runs a command at a terminal as a person would: whatever is typed
// comes back twice, from the terminal of the program and from the program; the
// size of the window is the program's, also when it changes.
func converse(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	term := openTerminal(t, cmd)
	term.expect(1, `"Op":"window 24 80","Out":"24 80"`)
	term.send("hello\r")
	term.expect(2, "hello")
	term.send("\x04")
	// ctr asks for the size before it listens for changes (SIGWINCH): one between the
	// two passes it by, so the window is changed until it is seen.
	for end := time.Now().Add(8 * time.Second); !strings.Contains(term.text(), `"Op":"window 33 44"`) && time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		for _, columns := range []uint16{45, 44} {
			if err := unix.IoctlSetWinsize(int(term.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 33, Col: columns}); err != nil {
				t.Fatal(err)
			}
		}
	}
	term.expect(1, `"Op":"window 33 44","Out":"33 44"`)
	if code := term.wait(); code != 4 {
		t.Errorf("%v: code %d, want the program's, 4\n%s", cmd.Args, code, term.text())
	}
}

// A terminal is one that a test sits at.
type terminal struct {
	t      *testing.T
	cmd    *exec.Cmd
	master *os.File
	ended  chan struct{}

	mu   sync.Mutex
	seen bytes.Buffer
}

// openTerminal starts a command at a new terminal, which has 20 seconds.
func openTerminal(t *testing.T, cmd *exec.Cmd) *terminal {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	master := os.NewFile(uintptr(fd), "master")
	if err := errors.Join(unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0), unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80})); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &unix.SysProcAttr{}
	}
	cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty = true, true
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	term := &terminal{t: t, cmd: cmd, master: master, ended: make(chan struct{})}
	late := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
	go func() {
		defer close(term.ended)
		for b := make([]byte, 4096); ; {
			n, err := master.Read(b)
			term.mu.Lock()
			term.seen.Write(b[:n])
			term.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		late.Stop()
		cmd.Process.Kill()
		term.wait()
		master.Close()
	})
	return term
}

func (t *terminal) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seen.String()
}

func (t *terminal) send(s string) {
	t.t.Helper()
	if _, err := t.master.WriteString(s); err != nil {
		t.t.Error(err)
	}
}

// expect waits until the terminal has shown this so many times.
func (t *terminal) expect(times int, s string) {
	t.t.Helper()
	for end := time.Now().Add(10 * time.Second); strings.Count(t.text(), s) < times; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.t.Fatalf("%v: no %q at the terminal:\n%s", t.cmd.Args, s, t.text())
		}
	}
}

func (t *terminal) wait() int {
	if t.cmd.ProcessState == nil {
		t.cmd.Wait()
	}
	t.master.SetReadDeadline(time.Now().Add(5 * time.Second)) // others may have it open
	<-t.ended
	return t.cmd.ProcessState.ExitCode()
}

// TestTerminal: of run and of exec, shown on ours.
func TestTerminal(t *testing.T) {
	b := newBundle(t)
	b.change(func(s *specs.Spec) { s.Process.Args, s.Process.Terminal = conversation, true })
	converse(t, b.command("run", "c"))

	if out, code := b.oci("create", "d"); code != 1 || !strings.Contains(out, "--console-socket is needed") {
		t.Errorf("create of a terminal that nobody takes: code %d, %s", code, out)
	}
	b.change(func(s *specs.Spec) { s.Process.Args, s.Process.Terminal = []string{"/probe", "pause"}, false })
	if out, code := b.oci("create", "--console-socket", "/no/such", "d"); code != 1 || !strings.Contains(out, "has no terminal") {
		t.Errorf("create with a socket for no terminal: code %d, %s", code, out)
	}
	b.must("", "run", "-d", "e")
	converse(t, b.command(append([]string{"exec", "--tty", "e"}, conversation...)...))
}

// TestTerminalRestored: our own terminal is as it was before.
func TestTerminalRestored(t *testing.T) {
	b := newBundle(t, "exit 0")
	b.change(func(s *specs.Spec) { s.Process.Terminal = true })
	cmd := exec.Command("sh", "-c", `before=$(stty -g) && "$0" "$@" && [ "$before" = "$(stty -g)" ]`)
	run := b.command("run", "c")
	cmd.Args, cmd.Dir = append(cmd.Args, run.Args...), run.Dir
	if code := openTerminal(t, cmd).wait(); code != 0 {
		t.Errorf("code %d: the terminal has other settings than before", code)
	}
}
