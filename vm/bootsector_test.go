package vm

import (
	"bufio"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// signalMachine is a machine with no operating system.
func signalMachine(t *testing.T, a Accelerator) Config {
	return Config{
		Name: "bench-test", QEMU: qemu(t), Type: "q35", Accelerator: a, CPUs: 1, Memory: 64 << 20,
		BootSector: SignalSector("first-instruction\n"), Dir: t.TempDir() + "/m",
	}
}

func TestSignalSector(t *testing.T) {
	m, lines := start(t, signalMachine(t, TCG))
	if !lines.Scan() || lines.Text() != "first-instruction" {
		t.Fatalf("it says %q: %v", lines.Text(), m.Err())
	}
	begin := time.Now()
	if err := errors.Join(m.Err(), m.Answers(t.Context())); err != nil || time.Since(begin) > 2*time.Second {
		t.Errorf("a machine that is well: %v, after %v", err, time.Since(begin))
	}
	if m.Running(t.Context()) {
		t.Error("a workload is said to run, and there is none")
	}
	if marks := m.Timeline(); len(marks) != 3 || marks[2].Phase != PhaseFirmware {
		t.Errorf("its timeline is %v", marks)
	}
	if _, err := m.Ping(within(t)); err == nil {
		t.Error("it answers")
	}
	if err := unix.Kill(m.PID(), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-m.Done()
	isGuestError(t, m.Err(), "QEMU ended: killed by signal SIGKILL")
}

// TestSectorTooLong: text that does not fit is cut.
func TestSectorTooLong(t *testing.T) {
	s := SignalSector(strings.Repeat("x", 1000))
	if len(s) != sectorSize || s[510] != 0x55 || s[511] != 0xaa {
		t.Errorf("the sector has %d bytes and ends with % x", len(s), s[len(s)-2:])
	}
}

// TestSignalUnderKVM: wherever /dev/kvm opens, a guest is run on it. That it comes to
// its end is not required, since there are hosts on which none does: it must be
// gone afterwards, and all that was of it (which start checks). Where the host's own CPU
// does not do (-cpu host; seen: QEMU aborts on an MSR), a plain one may.
func TestSignalUnderKVM(t *testing.T) {
	kvm, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err, "; run on a host whose CPU virtualizes")
	}
	kvm.Close()
	for _, cpu := range []string{"host", "qemu64"} {
		t.Run(cpu, func(t *testing.T) {
			c := signalMachine(t, KVM)
			c.CPU = cpu
			signalUnderKVM(t, c)
		})
	}
}

func signalUnderKVM(t *testing.T, c Config) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	begin := time.Now()
	m, err := Start(ctx, c)
	if err != nil {
		// It may refuse: then it says why, and has left nothing.
		if _, left := os.Stat(c.Dir); !errors.Is(left, os.ErrNotExist) {
			t.Errorf("its folder is left: %v", left)
		}
		t.Logf("no machine starts under KVM here: %v", err)
		return
	}
	defer stopped(t, m)
	first := make(chan string, 1)
	go func() {
		text, _ := bufio.NewReader(m.Output()).ReadString('\n') // it writes a byte at a time
		first <- text
	}()
	select {
	case text := <-first:
		if text != "first-instruction\n" && m.Err() == nil {
			t.Errorf("it says %q: %v", text, m.Err())
		}
		t.Logf("under KVM it says %q after %v (%v)", text, time.Since(begin).Round(time.Millisecond), m.Err())
	case <-ctx.Done():
		t.Logf("under KVM it says nothing within 10 s: this host's KVM runs no guests (%v)", m.Err())
	}
}
