package vm

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/cgroup/cgrouptest"
	"vmctr/vm/kernel"
)

// wantKind checks what an error is, and that it says texts.
func wantKind(t *testing.T, err error, kind Kind, texts ...string) {
	t.Helper()
	g, ok := errors.AsType[*GuestError](err)
	if !ok {
		t.Fatalf("%v is not a *GuestError", err)
	}
	if g.Kind != kind {
		t.Errorf("it is of the kind %q, want %q", g.Kind, kind)
	}
	for _, want := range texts {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q:\n%v", want, err)
		}
	}
}

// A machine may fail in ways that no test can bring about with a real QEMU: so
// another plays it, this program, which then speaks as QEMU does.

// aScenario is what QEMU plays; the machine's PID 1 has not reported.
type aScenario struct {
	Console string   // is printed
	Stderr  string   // likewise, by QEMU
	Reports []string // of PID 1
	Events  []string // of QEMU
	Status  string   // answers query-status; "mute" does not
	Signal  int      // ends it
	Exit    int      // likewise, with -1 for staying
	Early   bool     // all of this comes before the greeting
	Kernel  int64    // is a bzImage that needs memory up to so many MiB; 0 for no file at all
}

const fakeScenario = "VM_TEST_SCENARIO"

// TestMain becomes QEMU if the environment says so.
func TestMain(m *testing.M) {
	if s := os.Getenv(fakeScenario); s != "" {
		playQEMU(s)
	}
	os.Exit(m.Run())
}

// playQEMU does not return. Its descriptors are those of Config.descriptors.
func playQEMU(scenario string) {
	var s aScenario
	if err := json.Unmarshal([]byte(scenario), &s); err != nil {
		panic(err)
	}
	say := func(f *os.File, text string) { f.WriteString(text) }
	act := func(conn net.Conn) {
		say(os.NewFile(4, "console"), s.Console)
		say(os.Stderr, s.Stderr)
		control := os.NewFile(5, "control")
		for _, r := range s.Reports {
			say(control, r+"\n")
		}
		for _, e := range s.Events {
			fmt.Fprintln(conn, e)
		}
		if s.Signal != 0 {
			// Go handles faults; QEMU has what the kernel does by default. (A struct
			// kernel_sigaction of zeros is SIG_DFL.)
			var byDefault [4]uint64
			unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s.Signal), uintptr(unsafe.Pointer(&byDefault)), 0, 8, 0, 0)
			unix.Kill(os.Getpid(), unix.Signal(s.Signal))
			time.Sleep(time.Hour)
		}
		if s.Exit >= 0 {
			os.Exit(s.Exit)
		}
	}
	if s.Early {
		act(nil)
	}
	l, err := net.FileListener(os.NewFile(3, "qmp"))
	if err != nil {
		panic(err)
	}
	conn, err := l.Accept()
	if err != nil {
		panic(err)
	}
	fmt.Fprintln(conn, `{"QMP": {"version": {"qemu": {"micro": 0, "minor": 0, "major": 9}, "package": ""}, "capabilities": []}}`)
	commands := json.NewDecoder(conn)
	for {
		var c struct{ Execute string }
		if err := commands.Decode(&c); err != nil {
			os.Exit(0)
		}
		switch {
		case c.Execute == "query-status" && s.Status == "mute":
		case c.Execute == "query-status":
			fmt.Fprintf(conn, `{"return": {"status": %q, "running": true}}`+"\n", s.Status)
		case c.Execute == "quit":
			os.Exit(0)
		default:
			fmt.Fprintln(conn, `{"return": {}}`)
		}
		if c.Execute == "cont" {
			act(conn)
		}
	}
}

// played is a machine whose QEMU plays a scenario.
func played(t *testing.T, s aScenario) Config {
	t.Helper()
	script, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c := sample()
	c.QEMU, c.Accelerator, c.Dir = filepath.Join(dir, "qemu"), TCG, filepath.Join(dir, "m")
	c.Kernel, c.Initramfs = filepath.Join(dir, "kernel"), filepath.Join(dir, "initramfs")
	if s.Kernel > 0 {
		image := make([]byte, 1<<10)
		copy(image[0x202:], "HdrS")
		binary.LittleEndian.PutUint16(image[0x206:], 0x20f)
		binary.LittleEndian.PutUint32(image[0x260:], uint32(s.Kernel<<20))
		if err := errors.Join(os.WriteFile(c.Kernel, image, 0o600), os.WriteFile(c.Initramfs, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	quoted := "'" + strings.ReplaceAll(string(script), "'", `'\''`) + "'"
	program := fmt.Sprintf("#!/bin/sh\n%s=%s GORACE=atexit_sleep_ms=0 exec %s\n", fakeScenario, quoted, self)
	if err := os.WriteFile(c.QEMU, []byte(program), 0o755); err != nil {
		t.Fatal(err)
	}
	return c
}

func shutdown(reason string) string {
	return fmt.Sprintf(`{"timestamp": {"seconds": 1, "microseconds": 0}, "event": "SHUTDOWN", "data": {"guest": true, "reason": %q}}`, reason)
}

const (
	panicked     = `{"timestamp": {"seconds": 1, "microseconds": 0}, "event": "GUEST_PANICKED", "data": {"action": "pause"}}`
	panicText    = "[    1.3] Kernel panic - not syncing: Fatal exception\r\n[    1.4] CPU: 0\r\n"
	runningPhase = `{"event":"phase","phase":"running","at":1,"now":2}`
	killedText   = "[   9.1] Out of memory: Killed process 1 (eater) total-vm:100kB\r\n"
)

// TestFailures: every end of a machine is known for what it is.
func TestFailures(t *testing.T) {
	for _, tt := range []struct {
		name  string
		s     aScenario
		kind  Kind
		texts []string
	}{
		{"panic, and pvpanic", aScenario{Console: panicText, Events: []string{panicked, shutdown("guest-panic")}}, Panic,
			[]string{"the guest's kernel has panicked: not syncing: Fatal exception; the end of its console:\n[    1.3] Kernel panic"}},
		{"panic, and QEMU stays", aScenario{Events: []string{panicked}, Exit: -1}, Panic, []string{"has panicked"}},
		{"panic without the driver", aScenario{Console: panicText, Events: []string{shutdown("guest-reset")}}, Panic, []string{"Fatal exception"}},
		{"panic that is far up", aScenario{Console: panicText + strings.Repeat("[    1.5] more\r\n", 1000), Events: []string{shutdown("guest-reset")}}, Panic,
			[]string{"not syncing: Fatal exception"}},
		{"triple fault", aScenario{Console: "[    0.1] hello\r\n", Events: []string{shutdown("guest-reset")}}, TripleFault, []string{"triple fault", "hello"}},
		{"restart", aScenario{Console: "[    0.1] reboot: Restarting system\r\n", Events: []string{shutdown("guest-reset")}}, Off, []string{"restarted itself"}},
		{"switched off", aScenario{Events: []string{shutdown("guest-shutdown")}}, Off, []string{"switched off (guest-shutdown)"}},
		{"told to end", aScenario{Events: []string{shutdown("host-signal")}}, Killed, []string{"SIGTERM"}},
		{"no word", aScenario{}, Off, []string{"QEMU ended by itself"}},
		{"killed", aScenario{Signal: int(unix.SIGKILL)}, Killed, []string{"QEMU ended: killed by signal SIGKILL", "dmesg"}},
		{"crash", aScenario{Signal: int(unix.SIGSEGV), Stderr: "2026-11-24T18:57:32.941834Z qemu: oh\n"}, Crash, []string{"killed by signal SIGSEGV: qemu: oh"}},
		{"sandbox", aScenario{Signal: int(unix.SIGSYS)}, Crash, []string{"its sandbox forbids"}},
		{"error", aScenario{Exit: 1, Stderr: "qemu: a device broke\n"}, Crash, []string{"QEMU ended: exit status 1: qemu: a device broke"}},
		{"PID 1 fails", aScenario{Reports: []string{`{"event":"error","error":"no disk"}`}}, Init, []string{"the guest's PID 1 has failed: no disk"}},
		{"garbage for a report", aScenario{Reports: []string{"\x01\x02"}}, Init, []string{"not JSON"}},
		{"workload ends", aScenario{Reports: []string{runningPhase, `{"event":"exited","code":3}`}}, Ended, []string{"it ended by itself: exit status 3"}},
		{"workload eats all", aScenario{Console: killedText, Reports: []string{runningPhase, `{"event":"exited","signal":9}`}}, OutOfMemory,
			[]string{"Killed process 1 (eater)", "killed by signal SIGKILL", "256 MiB", "give it more"}},
		{"another was eaten", aScenario{Console: killedText, Reports: []string{runningPhase, `{"event":"exited","code":0}`}}, Ended, nil},
		{"a container within eats all", aScenario{Console: "Memory cgroup out of memory: Killed process 7 (x)\n", Reports: []string{`{"event":"exited","signal":9}`}}, Ended, nil},
		{"panic for memory", aScenario{Console: "Kernel panic - not syncing: System is deadlocked on memory\n", Events: []string{shutdown("guest-reset")}}, OutOfMemory,
			[]string{"deadlocked on memory", "256 MiB"}},
		{"initramfs cut off", aScenario{Console: "Initramfs unpacking failed: write error\n" + panicText, Events: []string{panicked}}, OutOfMemory, []string{"256 MiB"}},
		{"internal error", aScenario{Status: "internal-error", Exit: -1, Stderr: "KVM internal error. Suberror: 1\n"}, Stopped, []string{"Suberror: 1"}},
		{"disk full", aScenario{Status: "io-error", Exit: -1}, Stopped, []string{"disk"}},
		{"paused", aScenario{Status: "paused", Exit: -1}, Stopped, []string{"(paused)"}},
		{"hang", aScenario{Status: "running", Exit: -1, Reports: []string{`{"event":"phase","phase":"modules","at":1,"now":2}`}}, Hang,
			[]string{`not ready (it hangs, or is slow): the last phase that its PID 1 has reported is "modules"; the machine runs, and its CPU halts`}},
		{"a kernel that does not fit goes round in circles", aScenario{Status: "running", Exit: -1, Kernel: 512}, TooSmall, []string{"256 MiB, is too small: its kernel needs the first 512 MiB"}},
		{"a kernel that does not fit resets the CPU", aScenario{Kernel: 512, Events: []string{shutdown("guest-reset")}}, TooSmall, []string{"is too small", "triple fault"}},
		{"a kernel that does not fit, and says something else", aScenario{Kernel: 512, Console: panicText, Events: []string{panicked}}, Panic, []string{"Fatal exception"}},
		{"QEMU hangs", aScenario{Status: "mute", Exit: -1}, Hang, []string{"nothing was heard of its PID 1; QEMU does not answer either"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m, _ := start(t, played(t, tt.s))
			if tt.s.Exit >= 0 {
				select {
				case <-m.Done():
				case <-within(t).Done():
					t.Fatal("it does not end")
				}
			} else if tt.s.Events != nil {
				if _, err := m.monitor.Wait(within(t), "GUEST_PANICKED"); err != nil {
					t.Fatal(err)
				}
			} else if tt.s.Reports != nil {
				wait(t, m.control, len(tt.s.Reports))
			}
			wantKind(t, m.Err(), tt.kind, tt.texts...)
		})
	}
}

// TestDoesNotStart: a QEMU that refuses is told from one that is killed.
func TestDoesNotStart(t *testing.T) {
	ctx := within(t)
	_, err := Start(ctx, played(t, aScenario{Early: true, Exit: 1, Stderr: "2026-11-24T18:57:32.941834Z qemu: -m 1E: no such memory\n"}))
	refused, ok := errors.AsType[*RefusedError](err)
	if !ok || refused.Status.Code != 1 || refused.Said != "qemu: -m 1E: no such memory" {
		t.Errorf("QEMU refuses: %v", err)
	}
	_, err = Start(ctx, played(t, aScenario{Early: true, Signal: int(unix.SIGABRT), Stderr: "assertion failed\n"}))
	wantKind(t, err, Crash, "SIGABRT", "assertion failed")
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = Start(short, played(t, aScenario{Early: true, Signal: int(unix.SIGSTOP)}))
	if err == nil || !strings.Contains(err.Error(), "QMP greeting") || !strings.Contains(err.Error(), "stopped by a signal") {
		t.Errorf("QEMU is stopped: %v", err)
	}
}

// TestAnswers: a machine whose workload runs may hang all the same.
func TestAnswers(t *testing.T) {
	m, _ := start(t, played(t, aScenario{Status: "running", Exit: -1, Reports: []string{runningPhase}}))
	if !m.Running(within(t)) {
		t.Fatal(m.Err())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	wantKind(t, m.Answers(ctx), Hang, "PID 1 did not answer for 1", "its CPU halts")
}

// TestHalts: a machine that QEMU stops while its workload runs.
func TestHalts(t *testing.T) {
	stop := `{"timestamp": {"seconds": 1, "microseconds": 0}, "event": "STOP"}`
	m, _ := start(t, played(t, aScenario{Status: "internal-error", Exit: -1, Reports: []string{runningPhase}, Events: []string{stop}}))
	wantKind(t, m.Halts(within(t)), Stopped, "internal-error")
	well, _ := start(t, played(t, aScenario{Status: "running", Exit: -1, Reports: []string{runningPhase}}))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := well.Halts(ctx); err != nil {
		t.Errorf("a machine that runs: %v", err)
	}
	ended, _ := start(t, played(t, aScenario{Events: []string{shutdown("guest-shutdown")}}))
	if err := ended.Halts(within(t)); err != nil {
		t.Errorf("a machine that ends: %v", err)
	}
}

// TestFits: what a kernel needs is computed from its file.
func TestFits(t *testing.T) {
	c := machineOf(t, "./testdata/fail", "", "spin")
	end, err := kernel.Footprint(c.Kernel)
	if err != nil || end < 16<<20 || end > 256<<20 {
		t.Fatalf("a kernel that needs memory up to %d MiB (%v)", end>>20, err)
	}
	if err := c.Fits(); err != nil {
		t.Errorf("in %d MiB: %v", c.Memory>>20, err)
	}
	c.Memory = end >> 20 << 20
	small, ok := errors.AsType[*TooSmallError](c.Fits())
	if !ok || small.Kernel != end || !strings.Contains(small.Error(), "or more") {
		t.Errorf("in %d MiB: %v", c.Memory>>20, c.Fits())
	}
	elf := c.Kernel
	c.Kernel = c.Initramfs // no kernel: nothing is known
	if err := c.Fits(); err != nil {
		t.Error(err)
	}
	// QEMU starts it all the same, and says nothing.
	c.Kernel, c.Memory = elf, 48<<20
	m, _ := start(t, c)
	waitFor(t, m)
	wantKind(t, m.Err(), TooSmall, "48 MiB, is too small", "triple fault")
}

func waitFor(t *testing.T, m *Machine) {
	t.Helper()
	select {
	case <-m.Done():
	case <-within(t).Done():
		t.Fatalf("it does not end: %v", m.Err())
	}
}

// TestGuestMemory: a program that wants all the memory of its machine.
func TestGuestMemory(t *testing.T) {
	c := machineOf(t, "./testdata/fail", "", "eat")
	c.Memory = 128 << 20
	m, _ := start(t, c)
	waitFor(t, m)
	wantKind(t, m.Err(), OutOfMemory, "Out of memory: Killed process", "(program)", "SIGKILL", "128 MiB")
}

// TestReset: a CPU that resets itself, of which no kernel says a word.
func TestReset(t *testing.T) {
	c := machineOf(t, "./testdata/fail", "./testdata/fail")
	c.Cmdline = "reboot=t -- reset"
	m, _ := start(t, c)
	waitFor(t, m)
	wantKind(t, m.Err(), TripleFault, "about to reset")
}

// TestSpin: a guest that goes round a loop, in a QEMU that is then stopped, and at
// last killed by a fault.
func TestSpin(t *testing.T) {
	c := machineOf(t, "./testdata/fail", "./testdata/fail")
	c.Cmdline = "-- spin"
	m, _ := start(t, c)
	for ctx := within(t); !strings.Contains(m.printed(), "about to spin"); time.Sleep(10 * time.Millisecond) {
		if ctx.Err() != nil {
			t.Fatal(m.Err())
		}
	}
	wantKind(t, m.Err(), Hang, "nothing was heard of its PID 1; the machine runs, and its CPU is busy", "about to spin")
	if err := unix.Kill(m.PID(), unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	wantKind(t, m.Err(), Hang, fmt.Sprintf("QEMU is stopped by a signal (kill -CONT %d", m.PID()))
	if err := errors.Join(unix.Kill(m.PID(), unix.SIGCONT), unix.Kill(m.PID(), unix.SIGSEGV)); err != nil {
		t.Fatal(err)
	}
	waitFor(t, m)
	wantKind(t, m.Err(), Crash, "QEMU ended: killed by signal SIGSEGV")
}

// TestHostMemory: a QEMU in a control group that has no room for its guest's RAM.
func TestHostMemory(t *testing.T) {
	if os.Geteuid() != 0 {
		if slices.Contains(strings.Split(os.Getenv("BENCH_REQUIRE"), ","), "root") {
			t.Fatal("BENCH_REQUIRE holds root, and this is not root")
		}
		t.Skip("makes a control group: run as root (sudo scripts/test)")
	}
	c := machineOf(t, "./testdata/fail", "./testdata/fail")
	c.Cmdline = "-- spin"
	c.Cgroup = cgrouptest.Group(t) + "/small"
	m, _ := start(t, c)
	limit := int64(96 << 20) // more than it has now, less than its guest will want
	if err := m.Cgroup().Update(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, m)
	wantKind(t, m.Err(), HostOutOfMemory, "killed by signal SIGKILL (over its memory limit)", "the memory limit of its cgroup is 96 MiB", "256 MiB")
}
