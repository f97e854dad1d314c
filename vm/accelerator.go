package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/container/step"
)

// An Accelerator is who runs the guest's instructions.
type Accelerator string

// The accelerators of QEMU on Linux.
const (
	// KVM lets the CPU run them: its virtualization extensions keep the guest
	// in, and trap what only a host may do.
	KVM Accelerator = "kvm"
	// TCG, the Tiny Code Generator, translates them to the host's, block by
	// block: an emulator.
	TCG Accelerator = "tcg"
)

// A Choice is an accelerator, and the evidence for it.
type Choice struct {
	Accelerator Accelerator
	// Reason is why it is not KVM, and Fix what would change that; both empty
	// for KVM.
	Reason, Fix string
	// What the boot sector took under each, from the start of QEMU to its end;
	// 0 where it was not run, or did not end.
	KVM, TCG time.Duration
	// Earlier is when that was found out, if not now ([ChooseOnce]).
	Earlier time.Time `json:"-"`
}

func (c Choice) String() string {
	var earlier string
	if !c.Earlier.IsZero() {
		earlier = "; found out at " + c.Earlier.Format(time.DateTime)
	}
	if c.Accelerator == KVM {
		return fmt.Sprintf("kvm: a boot sector ran in %v, and takes the emulator %v%s", c.KVM.Round(time.Millisecond), c.TCG.Round(time.Millisecond), earlier)
	}
	return fmt.Sprintf("%s, an emulator: %s%s", c.Accelerator, c.Reason, earlier)
}

// Choose finds out which accelerator this host's machines run on, by running
// one: a boot sector that does sums, once under each. KVM is chosen if it ends
// sooner than the emulator does. That /dev/kvm can be opened, and even that it
// makes a machine, proves nothing: seen are hosts, themselves virtual, where
// the guest then hangs, or crawls. An error is one of QEMU itself, or of ctx.
//
// The choice is made once in the life of a process, for each QEMU.
func Choose(ctx context.Context, qemu string) (Choice, error) {
	chosen.Lock()
	defer chosen.Unlock()
	if c, ok := chosen.by[qemu]; ok {
		return c, nil
	}
	c, err := choose(ctx, qemu)
	if err == nil {
		chosen.by[qemu] = c
	}
	return c, err
}

var chosen = struct {
	sync.Mutex
	by map[string]Choice
}{by: map[string]Choice{}}

func choose(ctx context.Context, qemu string) (Choice, error) {
	hostTSC() // now, so that no start pays for it
	kvm, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		c := Choice{Accelerator: TCG}
		c.Reason, c.Fix = noKVM(err)
		return c, nil
	}
	kvm.Close()
	return compare(ctx, qemu)
}

// compare runs the boot sector under both accelerators.
func compare(ctx context.Context, qemu string) (c Choice, err error) {
	c.Accelerator = TCG
	// Were the emulator to hang too, the deadline says so.
	if c.TCG, err = boot(ctx, qemu, TCG, time.Minute); err != nil {
		return c, fmt.Errorf("running a boot sector under TCG: %w", err)
	}
	// It has to be faster, so it need not be given longer. A little more tells
	// one that is slow from one that hangs.
	took, err := boot(ctx, qemu, KVM, max(2*c.TCG, time.Second))
	switch {
	case ctx.Err() != nil:
		return c, context.Cause(ctx)
	case err != nil:
		c.Reason = fmt.Sprintf("/dev/kvm opens but runs no guest: %v; the emulator took %v", err, c.TCG.Round(time.Millisecond))
		c.Fix = "this host's KVM is not hardware virtualization; use a host whose CPU virtualizes (bare metal, or a virtual machine with nested virtualization)"
	case took >= c.TCG:
		c.KVM = took
		c.Reason = fmt.Sprintf("/dev/kvm runs guests, but slower than the emulator: %v against %v for a boot sector", took.Round(time.Millisecond), c.TCG.Round(time.Millisecond))
		c.Fix = "this host's KVM is not hardware virtualization; use a host whose CPU virtualizes"
	default:
		c.Accelerator, c.KVM = KVM, took
	}
	return c, nil
}

// noKVM explains why /dev/kvm does not open.
func noKVM(err error) (reason, fix string) {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
		return "there is no /dev/kvm", "enable virtualization (VT-x, AMD-V) in the firmware's setup and load the module: modprobe kvm_intel, or kvm_amd; in a virtual machine, enable nested virtualization on its host"
	case errors.Is(err, fs.ErrPermission):
		return "this user may not open /dev/kvm", "run as root, or join the group kvm"
	}
	return fmt.Sprintf("/dev/kvm does not open: %v", err), ""
}

// boot runs the boot sector on a PC with nothing but a disk.
func boot(ctx context.Context, qemu string, a Accelerator, deadline time.Duration) (time.Duration, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, deadline, fmt.Errorf("a boot sector did not end within %v", deadline.Round(time.Millisecond)))
	defer cancel()
	disk, err := bootDisk(sumSector())
	if err != nil {
		return 0, err
	}
	defer disk.Close()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, qemu,
		"-name", "boot-sector", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-machine", "pc,accel="+string(a), "-m", "16M",
		"-device", fmt.Sprintf("isa-debug-exit,iobase=%#x,iosize=1", exitPort),
		"-drive", "if=ide,format=raw,file=/proc/self/fd/3")
	cmd.ExtraFiles, cmd.Stderr = []*os.File{disk}, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = 10 * time.Second
	begin := time.Now()
	// PR_SET_PDEATHSIG follows the thread that forks, not its process.
	step.OnParentThread(func() { err = cmd.Start() })
	if err != nil {
		return 0, fmt.Errorf("starting %s: %w", qemu, err)
	}
	err = cmd.Wait()
	took := time.Since(begin)
	switch exit, failed := errors.AsType[*exec.ExitError](err); {
	case ctx.Err() != nil:
		return 0, context.Cause(ctx)
	case failed && exit.ExitCode() == sumStatus():
		return took, nil
	case err == nil:
		err = errors.New("QEMU ended before the boot sector did")
	}
	return 0, fmt.Errorf("%w: %s", err, lastLine(stderr.String()))
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// memfd is a file in memory (memfd_create(2)), which goes with its last
// descriptor.
func memfd(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}
