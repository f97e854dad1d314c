package vm

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/container"
	"vmctr/vm/guest/wire"
)

// A Kind is what has become of a guest, or of the QEMU that it is in.
type Kind string

// The kinds of failure, by what they are known by.
const (
	Panic           Kind = "kernel panic"        // its kernel has given up, and says why on the console, or through the device pvpanic
	TripleFault     Kind = "triple fault"        // the CPU has reset itself, at a fault in the handler of a fault: no kernel had a say
	OutOfMemory     Kind = "guest out of memory" // its kernel says on the console that there is none left
	TooSmall        Kind = "too little RAM"      // it said nothing, and kernel and initramfs do not fit
	Hang            Kind = "hang"                // it runs, and does not get ready, or does not answer
	Stopped         Kind = "stopped"             // QEMU has stopped it: KVM, or a disk, cannot go on
	Off             Kind = "switched off"        // it was switched off, or has restarted itself
	Init            Kind = "PID 1 failed"        // PID 1 of the guest reports why it gives up
	Ended           Kind = "workload ended"      // and with it the machine, as it should
	HostOutOfMemory Kind = "host out of memory"  // the host's kernel has killed QEMU for its memory
	Killed          Kind = "QEMU killed"         // somebody has, by a signal
	Crash           Kind = "QEMU crash"          // a fault of its own, or a status that is an error's
)

// A GuestError is a failure of a guest, or of the QEMU that it is in, as
// opposed to one of those who start it.
type GuestError struct {
	Kind    Kind
	Err     error
	Console string      // the end of what it printed
	Signal  unix.Signal // that ended QEMU, 0 if none did
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

// A RefusedError is QEMU's, which did not start as it was told to.
type RefusedError struct {
	Status container.Status
	Said   string // on its standard error
	Err    error  // what it left undone
}

func (e *RefusedError) Error() string {
	text := fmt.Sprintf("QEMU did not start: %v", e.Status)
	if e.Said == "" {
		return fmt.Sprintf("%s, and it said nothing (%v)", text, e.Err)
	}
	text += ": " + e.Said
	if strings.Contains(e.Said, "Cannot allocate memory") {
		text += "; give the guest less RAM, or the host more"
	}
	return text
}

func (e *RefusedError) Unwrap() error { return e.Err }

// Err says why the machine is not what it should be: it has ended by itself, or
// its workload has, or it has not come so far that the workload runs. It is nil
// for a machine that is well, and a [*GuestError] or a [*NotExecutedError] otherwise.
// It may take some seconds to find out.
func (m *Machine) Err() error {
	m.settle()
	if r, ok := m.control.find(func(r wire.Report) bool { return r.Event == wire.EventError }); ok {
		if r.Errno != 0 {
			return &NotExecutedError{unix.Errno(r.Errno), r.Error}
		}
		return m.guestError(Init, "the guest's PID 1 has failed: %s", r.Error)
	}
	if status, ok := m.Exited(); ok {
		if killed := outOfMemory(m.printed()); killed != "" && status.ExitCode() != 0 {
			return m.noMemory(fmt.Sprintf("%s; the workload ended: %v", killed, status))
		}
		return m.guestError(Ended, "it ended by itself: %v", status)
	}
	select {
	case <-m.process.Done():
		return m.howQEMUEnded()
	default:
	}
	if m.had("GUEST_PANICKED") {
		return m.gaveUp(Panic, "the guest's kernel has panicked")
	}
	if _, ok := m.control.find(isRunning); !ok && m.cfg.BootSector == nil {
		kind, doing := m.doing()
		if small := m.cfg.Fits(); small != nil && m.printed() == "" {
			return m.guestError(TooSmall, "the guest does not get ready: %w; %s", small, doing)
		}
		return m.guestError(kind, "the guest is not ready (it hangs, or is slow): %s; %s", m.progress(), doing)
	}
	return nil
}

// Answers asks PID 1 of a guest that is Running whether it is there. An error is what
// Err says, or that it hangs: it did not answer until ctx ended, or for 10 s.
func (m *Machine) Answers(ctx context.Context) error {
	if m.cfg.BootSector != nil {
		return m.Err() // there is nobody to ask
	}
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	begin := time.Now()
	_, failed := m.Ping(ctx)
	if err := m.Err(); failed == nil || err != nil {
		return err
	}
	waited := time.Since(begin)
	kind, doing := m.doing()
	return m.guestError(kind, "the guest hangs: its PID 1 did not answer for %v; %s", waited.Round(time.Millisecond), doing)
}

// Halts waits until QEMU has stopped the machine for a reason that it does not get over
// by itself: an accelerator or a disk that cannot go on. It returns nil when the machine
// ends first, or ctx does.
func (m *Machine) Halts(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 1<<62) // longer than any machine: qmp has a short one
	defer cancel()
	if _, err := m.monitor.Wait(ctx, "STOP"); err != nil {
		return nil
	}
	if status, err := m.status(); err != nil || status != "internal-error" && status != "io-error" {
		return nil
	}
	kind, doing := m.doing()
	return m.guestError(kind, "%s", doing)
}

// progress says how far a start has come.
func (m *Machine) progress() string {
	if r, ok := m.control.find(func(r wire.Report) bool { return r.Event == wire.EventPhase }); ok {
		return fmt.Sprintf("the last phase that its PID 1 has reported is %q", r.Phase)
	}
	return "nothing was heard of its PID 1"
}

// doing tells what a machine is doing that is still there: hanging, unless QEMU says
// that it has stopped it.
func (m *Machine) doing() (Kind, string) {
	work := watch(m.process.PID())
	if work.stopped {
		return Hang, m.stopped()
	}
	switch status, err := m.status(); {
	case err != nil && watch(m.process.PID()).stopped: // just now
		return Hang, m.stopped()
	case err != nil:
		return Hang, fmt.Sprintf("QEMU does not answer either (%v)", err)
	case status == "internal-error":
		return Stopped, "QEMU has stopped the machine: the accelerator cannot go on (internal-error): " + cmp.Or(m.said(), "it says no more")
	case status == "io-error":
		return Stopped, "QEMU has stopped the machine: a disk cannot be read or written (io-error)"
	case status != "running":
		return Stopped, fmt.Sprintf("QEMU has stopped the machine (%s)", status)
	}
	return Hang, "the machine runs, and " + work.String()
}

func (m *Machine) stopped() string {
	return fmt.Sprintf("QEMU is stopped by a signal (kill -CONT %d lets it go on)", m.process.PID())
}

// status is the machine's, by QEMU's own account: "running", "internal-error"
// (qapi/run-state.json, RunState).
func (m *Machine) status() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var s struct{ Status string }
	err := m.query(ctx, "query-status", nil, &s)
	return s.Status, err
}

// howQEMUEnded is why QEMU is no more.
func (m *Machine) howQEMUEnded() error {
	select { // its last events are still to be read
	case <-m.monitor.Done():
	case <-time.After(time.Second):
	}
	status := m.process.Status()
	if status.Signal != 0 || status.Code != 0 {
		return m.died(status)
	}
	if m.had("GUEST_PANICKED") {
		return m.gaveUp(Panic, "the guest's kernel has panicked")
	}
	for _, e := range m.monitor.Events() {
		switch reason, _ := e.Data["reason"].(string); {
		case e.Name == "SHUTDOWN" && reason == "guest-reset":
			if strings.Contains(m.printed(), "reboot: Restarting system") {
				return m.guestError(Off, "the guest has restarted itself, which ends its machine")
			}
			// After a panic its kernel was told to do so. One that comes early, QEMU has no
			// driver to be told by.
			return m.gaveUp(TripleFault, "the guest's CPU has reset itself (a triple fault), and its kernel says nothing of a panic")
		case e.Name == "SHUTDOWN" && reason == "host-signal":
			return m.guestError(Killed, "QEMU was told to end by a signal (SIGTERM, SIGINT or SIGHUP)")
		case e.Name == "SHUTDOWN":
			return m.guestError(Off, "the machine was switched off (%s)", reason)
		}
	}
	return m.guestError(Off, "QEMU ended by itself")
}

// died tells of a QEMU that has ended as it should not.
func (m *Machine) died(status container.Status) *GuestError {
	text := fmt.Sprintf("QEMU ended: %v", status)
	if said := m.said(); said != "" {
		text += ": " + said
	}
	kind := Crash
	switch {
	case status.OutOfMemory:
		kind = HostOutOfMemory
		text += "; " + m.limit()
	case status.Signal == unix.SIGKILL:
		kind = Killed
		text += ": by somebody, or by the host's kernel when it was short of memory (dmesg says so then)"
	case status.Signal == unix.SIGSYS:
		text += ": it made a system call that its sandbox forbids"
	}
	err := m.guestError(kind, "%s", text)
	err.Signal = status.Signal
	return err
}

// limit is what a QEMU was allowed that was killed for its memory.
func (m *Machine) limit() string {
	const needs = "it needs its guest's RAM, %d MiB, and some 100 MiB of its own (an emulator more)"
	text := fmt.Sprintf(needs, m.cfg.Memory>>20)
	if g := m.process.Cgroup(); g != nil {
		if s, err := g.Stats(); err == nil && s.Memory.Limit != nil && *s.Memory.Limit < 1<<50 {
			return fmt.Sprintf("the memory limit of its cgroup is %d MiB: %s", *s.Memory.Limit>>20, text)
		}
	}
	return "its own cgroup has no limit, so the host, or a cgroup above, has run out of memory: " + text
}

// gaveUp tells of a guest whose kernel has ended it: for the reason that is on the
// console. Without one, it is what kind and text say.
func (m *Machine) gaveUp(kind Kind, text string) error {
	printed := m.printed()
	reason, panicked := panicReason(printed)
	short := outOfMemory(printed)
	switch {
	case panicked && short != "":
		return m.noMemory("the guest's kernel has panicked: " + reason)
	case panicked:
		return m.guestError(Panic, "the guest's kernel has panicked: %s", reason)
	}
	if small := m.cfg.Fits(); small != nil && printed == "" {
		return m.guestError(TooSmall, "%w (%s)", small, text)
	}
	return m.guestError(kind, "%s", text)
}

// panicReason is what a kernel has panicked for: panic() in kernel/panic.c prints
// that first, before much else.
func panicReason(console string) (reason string, ok bool) {
	_, after, ok := strings.Cut(console, "Kernel panic - ")
	reason, _, _ = strings.Cut(after, "\n")
	return strings.TrimSpace(reason), ok
}

// outOfMemory finds what a kernel, or a PID 1 in Go, says on the console when there is
// no memory: mm/oom_kill.c ("Memory cgroup out of memory" is another matter), and
// init/initramfs.c, whose write fails. All are errors, which quiet does not silence.
func outOfMemory(console string) string {
	for line := range strings.Lines(console) {
		for _, sign := range []string{
			"Out of memory: Killed process", "Out of memory: Kill process", "Out of memory and no killable processes",
			"System is deadlocked on memory", "Out of memory: compulsory panic_on_oom",
			"Initramfs unpacking failed: write error", "fatal error: runtime: out of memory", "fatal error: runtime: cannot allocate memory",
		} {
			if at := strings.Index(line, sign); at >= 0 {
				return "the guest's kernel says: " + strings.TrimSpace(line[at:])
			}
		}
	}
	return ""
}

func (m *Machine) noMemory(text string) error {
	return m.guestError(OutOfMemory, "%s: the guest's RAM, %d MiB, is not enough; give it more", text, m.cfg.Memory>>20)
}

// had tells whether QEMU has had an event.
func (m *Machine) had(event string) bool {
	for _, e := range m.monitor.Events() {
		if e.Name == event {
			return true
		}
	}
	return false
}

func (m *Machine) guestError(kind Kind, format string, args ...any) *GuestError {
	return &GuestError{Kind: kind, Err: fmt.Errorf(format, args...), Console: tail(m.console, consoleShown)}
}

// explain adds to the error of a start what QEMU has to say.
func (m *Machine) explain(err error) error {
	if m.process == nil {
		return err
	}
	// When QEMU refuses its command line, its end follows at once.
	select {
	case <-m.process.Done():
	case <-time.After(time.Second):
		if watch(m.process.PID()).stopped {
			return fmt.Errorf("%w; %s", err, m.stopped())
		}
		return err
	}
	status := m.process.Status()
	if status.Signal != 0 {
		died := m.died(status) // it did not refuse: somebody, or a fault, has killed it
		died.Err = fmt.Errorf("%w (%w)", died.Err, err)
		return died
	}
	return &RefusedError{status, m.said(), err}
}

// said is what QEMU has printed, without the times that -msg adds.
func (m *Machine) said() string {
	var b strings.Builder
	for line := range strings.Lines(tail(m.stderr, consoleShown)) {
		first, rest, _ := strings.Cut(line, " ")
		if _, err := time.Parse(time.RFC3339Nano, first); err == nil {
			line = rest
		}
		b.WriteString(line)
	}
	return b.String()
}

// How much of a console is read, and how much is shown.
const (
	consoleRead  = 1 << 20
	consoleShown = 4 << 10
)

// printed is what the guest's kernel has printed, as far as it is read.
func (m *Machine) printed() string { return tail(m.console, consoleRead) }

// tail is the end of a file in memory, as text for people.
func tail(f *os.File, most int64) string {
	if f == nil {
		return ""
	}
	st, err := f.Stat()
	if err != nil {
		return ""
	}
	b := make([]byte, min(st.Size(), most))
	n, _ := f.ReadAt(b, st.Size()-int64(len(b)))
	return strings.TrimSpace(strings.ReplaceAll(strings.ToValidUTF8(string(b[:n]), "?"), "\r", ""))
}
