package vm

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/vm/guest/wire"
)

// A GuestError is a failure of a guest, or of the QEMU that it is in, as
// opposed to one of those who start it.
type GuestError struct {
	Err     error
	Console string // the end of what it printed
}

func (e *GuestError) Error() string {
	if e.Console == "" {
		return e.Err.Error()
	}
	return fmt.Sprintf("%v; the end of its console:\n%s", e.Err, e.Console)
}

func (e *GuestError) Unwrap() error { return e.Err }

// A NotExecutedError is that of a program that the guest could not execute, by no
// fault of the machine's: the image has no such program, or not one for its CPU.
type NotExecutedError struct {
	Errno unix.Errno // of execve(2)
	Text  string
}

func (e *NotExecutedError) Error() string { return e.Text }
func (e *NotExecutedError) Unwrap() error { return e.Errno }

// Err says why the machine is not what it should be: it has ended by itself, or
// its workload has, or it has not come so far that the workload runs. It is nil
// for a machine that is well, and a [*GuestError] otherwise.
func (m *Machine) Err() error {
	m.settle()
	reported := func(event string) (wire.Report, bool) {
		return m.control.find(func(r wire.Report) bool { return r.Event == event })
	}
	if r, ok := reported(wire.EventError); ok {
		if r.Errno != 0 {
			return &NotExecutedError{unix.Errno(r.Errno), r.Error}
		}
		return m.guestError(fmt.Errorf("the guest's PID 1 has failed: %s", r.Error))
	}
	if status, ok := m.Exited(); ok {
		return m.guestError(fmt.Errorf("it ended by itself: %v", status))
	}
	select {
	case <-m.process.Done():
		return m.guestError(m.howQEMUEnded())
	default:
	}
	for _, e := range m.monitor.Events() {
		if e.Name == "GUEST_PANICKED" {
			return m.guestError(m.panicked())
		}
	}
	if _, ok := m.control.find(isRunning); !ok && m.cfg.BootSector == nil {
		return m.guestError(fmt.Errorf("the guest is not ready: %s", m.progress()))
	}
	return nil
}

// progress says how far a start has come.
func (m *Machine) progress() string {
	if r, ok := m.control.find(func(r wire.Report) bool { return r.Event == wire.EventPhase }); ok {
		return fmt.Sprintf("the last phase that its PID 1 has reported is %q", r.Phase)
	}
	return "nothing was heard of its PID 1"
}

// howQEMUEnded is why QEMU is no more.
func (m *Machine) howQEMUEnded() error {
	select { // its last events are still to be read
	case <-m.monitor.Done():
	case <-time.After(time.Second):
	}
	status := m.process.Status()
	if status.Signal != 0 || status.Code != 0 {
		text := fmt.Sprintf("QEMU ended: %v", status)
		if said := m.said(); said != "" {
			text += ": " + said
		}
		return errors.New(text)
	}
	for _, e := range m.monitor.Events() {
		switch reason, _ := e.Data["reason"].(string); {
		case e.Name == "GUEST_PANICKED":
			return m.panicked()
		case e.Name == "SHUTDOWN" && reason == "guest-reset":
			// Its kernel was told to do so after a panic, and does it for
			// nothing else. One that comes early, QEMU has no driver to be told by.
			return m.panicked()
		case e.Name == "SHUTDOWN":
			return fmt.Errorf("the machine was switched off (%s)", reason)
		}
	}
	return errors.New("QEMU ended by itself")
}

// panicked gives the kernel's own reason, which it prints first, before much else.
func (m *Machine) panicked() error {
	for line := range strings.Lines(tail(m.console)) {
		if _, reason, ok := strings.Cut(line, "Kernel panic - "); ok {
			return fmt.Errorf("the guest's kernel has panicked: %s", strings.TrimSpace(reason))
		}
	}
	return errors.New("the guest has reset itself, as its kernel does after a panic")
}

func (m *Machine) guestError(err error) error { return &GuestError{err, tail(m.console)} }

// explain adds to the error of a start what QEMU has to say.
func (m *Machine) explain(err error) error {
	if m.process == nil {
		return err
	}
	// When QEMU refuses its command line, its end follows at once.
	select {
	case <-m.process.Done():
	case <-time.After(time.Second):
		return err
	}
	status := m.process.Status()
	err = fmt.Errorf("QEMU ended: %v: %s (%w)", status, cmp.Or(m.said(), "it said nothing"), err)
	if status.Signal != 0 {
		return m.guestError(err) // it did not refuse: somebody, or a fault, has killed it
	}
	return err
}

// said is what QEMU has printed, without the times that -msg adds.
func (m *Machine) said() string {
	var b strings.Builder
	for line := range strings.Lines(tail(m.stderr)) {
		first, rest, _ := strings.Cut(line, " ")
		if _, err := time.Parse(time.RFC3339Nano, first); err == nil {
			line = rest
		}
		b.WriteString(line)
	}
	return b.String()
}

// tail is the end of a file in memory, as text for people.
func tail(f *os.File) string {
	if f == nil {
		return ""
	}
	const most = 4 << 10
	st, err := f.Stat()
	if err != nil {
		return ""
	}
	b := make([]byte, min(st.Size(), most))
	n, _ := f.ReadAt(b, st.Size()-int64(len(b)))
	return strings.TrimSpace(strings.ReplaceAll(strings.ToValidUTF8(string(b[:n]), "?"), "\r", ""))
}
