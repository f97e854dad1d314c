package seccomp

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A Filter is a compiled profile, for the second and third argument of
// seccomp(SECCOMP_SET_MODE_FILTER, Flags, &{len(Program), Program}).
type Filter struct {
	Program []unix.SockFilter
	// Flags are SECCOMP_FILTER_FLAG_*. If Notify is set, they hold NEW_LISTENER.
	Flags uint
	// Notify: the call returns a descriptor on which a supervisor gets the
	// calls that the profile wants to have decided (SCMP_ACT_NOTIFY,
	// seccomp_unotify(2)). It goes to the profile's listenerPath.
	Notify bool
	// Unknown are names of system calls that no architecture has, in order.
	// Rules for them have no effect.
	Unknown []string

	abis []abi // for String
}

// Compile compiles a profile for the kernels that this program runs on. It
// reads and writes nothing but memory. Errors name the field of the
// configuration.
func Compile(s *specs.LinuxSeccomp) (*Filter, error) {
	if host == nil {
		return nil, fmt.Errorf("linux.seccomp: no system call table for %s", runtime.GOARCH)
	}
	return compile(s, host)
}

func compile(s *specs.LinuxSeccomp, host []abi) (*Filter, error) {
	if s == nil {
		return nil, errors.New("linux.seccomp is missing")
	}
	f := &Filter{}
	o, err := f.resolve(s, host)
	if err == nil {
		err = checkListener(s, f.Notify)
	}
	if err == nil {
		f.Flags, err = kernelFlags(s, f.Notify)
	}
	if err != nil {
		return nil, fmt.Errorf("linux.seccomp%w", err)
	}
	if f.Program = assemble(o); len(f.Program) > unix.BPF_MAXINSNS {
		return nil, fmt.Errorf("linux.seccomp: the filter has %d instructions, and the kernel takes %d (bpf_common.h, BPF_MAXINSNS)", len(f.Program), unix.BPF_MAXINSNS)
	}
	return f, nil
}

// resolve finds the outcome of each number. Its errors begin with the name of a
// field of linux.seccomp.
func (f *Filter) resolve(s *specs.LinuxSeccomp, host []abi) (*outcomes, error) {
	byDefault, err := answer(s.DefaultAction, s.DefaultErrnoRet, ".defaultAction", ".defaultErrnoRet")
	if err != nil {
		return nil, err
	}
	f.Notify = byDefault == unix.SECCOMP_RET_USER_NOTIF
	if f.abis, err = included(s, host); err != nil {
		return nil, err
	}
	o := newOutcomes(byDefault, f.abis)
	for i := range s.Syscalls {
		if err := f.resolveRule(o, &s.Syscalls[i]); err != nil {
			return nil, fmt.Errorf(".syscalls[%d]%w", i, err)
		}
	}
	o.multiplex()
	return o, nil
}

func (f *Filter) resolveRule(o *outcomes, r *specs.LinuxSyscall) error {
	ret, err := answer(r.Action, r.ErrnoRet, ".action", ".errnoRet")
	if err != nil {
		return err
	}
	f.Notify = f.Notify || ret == unix.SECCOMP_RET_USER_NOTIF
	conditions, apart, err := conditions(r.Args)
	if err != nil {
		return err
	}
	if len(r.Names) == 0 {
		return errors.New(".names is empty")
	}
	o.rows = o.rows[:0]
	place := -1
	for i, name := range r.Names {
		if name == "" {
			return fmt.Errorf(".names[%d] is empty", i)
		}
		var row *systemCall
		if place, row = lookupAfter(place, name); row != nil {
			o.rows = append(o.rows, row)
		} else {
			f.Unknown = append(f.Unknown, name)
		}
	}
	o.named()
	if ret == o.list[0].answer {
		return nil
	}
	if !apart {
		o.rule(ret, conditions)
		return nil
	}
	for i := range conditions {
		o.rule(ret, conditions[i:i+1])
	}
	return nil
}

// kernelFlags gives the flags of seccomp(2).
func kernelFlags(s *specs.LinuxSeccomp, notify bool) (uint, error) {
	var all uint
	for i, name := range s.Flags {
		flag, ok := flags[name]
		if !ok {
			return 0, fmt.Errorf(".flags[%d]: %q is unknown", i, name)
		}
		all |= flag
	}
	if !notify {
		// Without a listener the kernel refuses it, and it has no meaning.
		return all &^ unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, nil
	}
	all |= unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	if all&unix.SECCOMP_FILTER_FLAG_TSYNC != 0 {
		// Both flags have a positive result: a descriptor, or a thread that
		// could not be synchronized. This one makes the latter an errno.
		all |= unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH
	}
	return all, nil
}
