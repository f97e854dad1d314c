package seccomp

import (
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// actions gives the answer of a filter for each action of a profile
// (linux/seccomp.h, SECCOMP_RET_*).
var actions = map[specs.LinuxSeccompAction]uint32{
	specs.ActKill:        unix.SECCOMP_RET_KILL_THREAD,
	specs.ActKillThread:  unix.SECCOMP_RET_KILL_THREAD,
	specs.ActKillProcess: unix.SECCOMP_RET_KILL_PROCESS,
	specs.ActTrap:        unix.SECCOMP_RET_TRAP,
	specs.ActErrno:       unix.SECCOMP_RET_ERRNO,
	specs.ActTrace:       unix.SECCOMP_RET_TRACE,
	specs.ActAllow:       unix.SECCOMP_RET_ALLOW,
	specs.ActLog:         unix.SECCOMP_RET_LOG,
	specs.ActNotify:      unix.SECCOMP_RET_USER_NOTIF,
}

// flags are those of seccomp(2).
var flags = map[specs.LinuxSeccompFlag]uint{
	"SECCOMP_FILTER_FLAG_TSYNC":            unix.SECCOMP_FILTER_FLAG_TSYNC, // specs-go has no name for it
	specs.LinuxSeccompFlagLog:              unix.SECCOMP_FILTER_FLAG_LOG,
	specs.LinuxSeccompFlagSpecAllow:        unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW,
	specs.LinuxSeccompFlagWaitKillableRecv: unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
}

// knownArchs are all that the specification allows.
var knownArchs = strings.Fields(`X86 X86_64 X32 ARM AARCH64 MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32 PPC
	PPC64 PPC64LE S390 S390X PARISC PARISC64 RISCV64 LOONGARCH64 M68K SH SHEB`)

// The largest data that go with an answer: the kernel cuts an errno to
// MAX_ERRNO (linux/err.h), and a tracer's message has 16 bits.
const (
	maxErrno = 4095
	maxTrace = unix.SECCOMP_RET_DATA
)

// answer is the 32-bit answer of an action. The fields are where the action and
// its errno stand in the configuration, for errors.
func answer(action specs.LinuxSeccompAction, errno *uint, field, errnoField string) (uint32, error) {
	ret, ok := actions[action]
	switch {
	case action == "":
		return 0, fmt.Errorf("%s is missing", field)
	case !ok:
		return 0, fmt.Errorf("%s: %q is unknown", field, action)
	case ret != unix.SECCOMP_RET_ERRNO && ret != unix.SECCOMP_RET_TRACE:
		if errno != nil {
			return 0, fmt.Errorf("%s: %s takes no errno", errnoField, action)
		}
		return ret, nil
	case errno == nil:
		return ret | uint32(unix.EPERM), nil
	}
	limit := uint(maxTrace)
	if ret == unix.SECCOMP_RET_ERRNO {
		limit = maxErrno
	}
	if *errno > limit {
		return 0, fmt.Errorf("%s: %d is above %d", errnoField, *errno, limit)
	}
	return ret | uint32(*errno), nil
}

// permissive tells whether an answer lets a call go on, perhaps. A tracer knows
// new system calls itself.
func permissive(answer uint32) bool {
	switch answer & unix.SECCOMP_RET_ACTION_FULL {
	case unix.SECCOMP_RET_ALLOW, unix.SECCOMP_RET_LOG, unix.SECCOMP_RET_TRACE:
		return true
	}
	return false
}

// included gives those ABIs of a host that a profile includes.
func included(s *specs.LinuxSeccomp, host []abi) ([]abi, error) {
	listed := map[specs.Arch]bool{host[0].arch: true}
	for i, arch := range s.Architectures {
		name, ok := strings.CutPrefix(string(arch), "SCMP_ARCH_")
		if !ok || !slices.Contains(knownArchs, name) {
			return nil, fmt.Errorf(".architectures[%d]: %q is unknown", i, arch)
		}
		listed[arch] = true
	}
	var abis []abi
	for _, a := range host {
		if listed[a.arch] {
			abis = append(abis, a)
		}
	}
	return abis, nil
}

// An operator compares an argument, masked, with a value.
type operator uint8

const (
	equal operator = iota
	notEqual
	less
	lessEqual
	greaterEqual
	greater
	maskedEqual // in a profile; a condition that is equal, and has a mask
)

var operators = map[specs.LinuxSeccompOperator]operator{
	specs.OpEqualTo:      equal,
	specs.OpNotEqual:     notEqual,
	specs.OpLessThan:     less,
	specs.OpLessEqual:    lessEqual,
	specs.OpGreaterEqual: greaterEqual,
	specs.OpGreaterThan:  greater,
	specs.OpMaskedEqual:  maskedEqual,
}

// A condition on an argument of a system call.
type condition struct {
	arg         uint8
	op          operator
	mask, value uint64 // value has no bit that mask has not
}

// holds tells whether the condition holds for an argument, masked.
func (c condition) holds(arg uint64) bool {
	switch c.op {
	case notEqual:
		return arg != c.value
	case less:
		return arg < c.value
	case lessEqual:
		return arg <= c.value
	case greaterEqual:
		return arg >= c.value
	case greater:
		return arg > c.value
	default:
		return arg == c.value
	}
}

// narrow is the condition on the lower half of the argument.
func (c condition) narrow() condition {
	c.mask &= 0xffffffff
	c.value &= 0xffffffff
	return c
}

// conditions reads the args of a rule. apart: two of them are on the same
// argument, which makes each a rule of its own (runc, libcontainer/seccomp,
// matchCall).
func conditions(args []specs.LinuxSeccompArg) (all []condition, apart bool, err error) {
	var seen [6]bool
	for i, a := range args {
		op, ok := operators[a.Op]
		switch {
		case a.Index > 5:
			return nil, false, fmt.Errorf(".args[%d].index: %d is above 5", i, a.Index)
		case a.Op == "":
			return nil, false, fmt.Errorf(".args[%d].op is missing", i)
		case !ok:
			return nil, false, fmt.Errorf(".args[%d].op: %q is unknown", i, a.Op)
		}
		c := condition{arg: uint8(a.Index), op: op, mask: ^uint64(0), value: a.Value}
		if op == maskedEqual {
			c.op, c.mask, c.value = equal, a.Value, a.ValueTwo&a.Value
		}
		all = append(all, c)
		apart = apart || seen[a.Index]
		seen[a.Index] = true
	}
	return all, apart, nil
}

// checkListener checks where the descriptor that answers notifications is
// sent; without SCMP_ACT_NOTIFY it is ignored.
func checkListener(s *specs.LinuxSeccomp, notify bool) error {
	const longest = len(unix.RawSockaddrUnix{}.Path) - 1
	switch {
	case s.ListenerPath == "" && s.ListenerMetadata != "":
		return fmt.Errorf(".listenerMetadata is set and listenerPath is not")
	case !notify:
		return nil
	case s.ListenerPath == "":
		return fmt.Errorf(".listenerPath is missing: SCMP_ACT_NOTIFY needs a socket to send the descriptor to")
	case len(s.ListenerPath) > longest:
		return fmt.Errorf(".listenerPath: longer than the %d bytes of a socket's address (unix(7))", longest)
	case strings.ContainsRune(s.ListenerPath, 0):
		return fmt.Errorf(".listenerPath: %q holds a NUL", s.ListenerPath)
	}
	return nil
}
