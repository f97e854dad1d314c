package seccomp

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// String disassembles the program, one instruction a line: its number, the
// instruction, what it means. An instruction that compares gives the numbers of
// those that follow if it is so and if not. "read..brk: ALLOW" says that a
// comparison settles the system calls from read to brk; "*" is one that the
// architecture does not have.
func (f *Filter) String() string {
	var b strings.Builder
	d := disassembler{f: f, reached: make([]state, len(f.Program))}
	if len(f.Program) > 0 {
		d.reached[0] = state{known: true, high: 1<<32 - 1}
	}
	for pc, in := range f.Program {
		line := fmt.Sprintf("%4d  %s", pc, text(in, pc, d.reached[pc].loaded))
		if note := d.note(pc, in); note != "" {
			line = fmt.Sprintf("%-36s; %s", line, note)
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

// text is an instruction. 7:9 is "go to 7 if so, else to 9".
func text(in unix.SockFilter, pc int, loaded string) string {
	k := fmt.Sprintf("%#x", in.K)
	if loaded == "nr" && in.K < x32Bit {
		k = fmt.Sprint(in.K)
	}
	to := fmt.Sprintf("%d:%d", pc+1+int(in.Jt), pc+1+int(in.Jf))
	switch in.Code {
	case opRet:
		return "ret  " + answerText(in.K)
	case opLoad:
		return "ld   " + packetText(in.K)
	case opAnd:
		return fmt.Sprintf("and  %#x", in.K)
	case opJa:
		return fmt.Sprintf("ja   %d", pc+1+int(in.K))
	case opJeq:
		return fmt.Sprintf("jeq  %s  %s", k, to)
	case opJge:
		return fmt.Sprintf("jge  %s  %s", k, to)
	case opJset:
		return fmt.Sprintf("jset %s  %s", k, to)
	}
	return fmt.Sprintf("?    {%#x %d %d %#x}", in.Code, in.Jt, in.Jf, in.K)
}

// packetText names a field of struct seccomp_data.
func packetText(offset uint32) string {
	switch {
	case offset == offsetNr:
		return "nr"
	case offset == offsetArch:
		return "arch"
	case offset < offsetArgs:
		return fmt.Sprint("+", offset)
	}
	half := "low"
	if offset%8 == offsetHigh {
		half = "high"
	}
	return fmt.Sprintf("args[%d].%s", (offset-offsetArgs)/8, half)
}

func answerText(answer uint32) string {
	data := answer & unix.SECCOMP_RET_DATA
	switch answer & unix.SECCOMP_RET_ACTION_FULL {
	case unix.SECCOMP_RET_ALLOW:
		return "ALLOW"
	case unix.SECCOMP_RET_LOG:
		return "LOG"
	case unix.SECCOMP_RET_USER_NOTIF:
		return "NOTIFY"
	case unix.SECCOMP_RET_TRAP:
		return "TRAP"
	case unix.SECCOMP_RET_KILL_THREAD:
		return "KILL_THREAD"
	case unix.SECCOMP_RET_KILL_PROCESS:
		return "KILL_PROCESS"
	case unix.SECCOMP_RET_TRACE:
		return fmt.Sprintf("TRACE(%d)", data)
	}
	if name := unix.ErrnoName(unix.Errno(data)); name != "" {
		return "ERRNO(" + name + ")"
	}
	return fmt.Sprintf("ERRNO(%d)", data)
}

// A disassembler finds what is known of the packet at each instruction, by
// following the program once: all jumps go forward.
type disassembler struct {
	f       *Filter
	reached []state
}

// state is what an instruction knows if it is reached on one path only.
type state struct {
	known     bool
	audit     uint32 // 0: not known yet
	loaded    string // what A holds
	low, high uint32 // where the number is
}

// note explains the instruction at pc and passes on what it finds.
func (d *disassembler) note(pc int, in unix.SockFilter) string {
	s := d.reached[pc]
	yes, no := s, s
	var notes []string
	switch in.Code {
	case opRet:
		return ""
	case opJa:
		d.reach(pc+1+int(in.K), s)
		return ""
	case opLoad:
		s.loaded = packetText(in.K)
		d.reach(pc+1, s)
		return ""
	case opAnd:
		d.reach(pc+1, s)
		return ""
	}
	if s.known && s.loaded == "arch" {
		yes.audit = in.K
		notes = append(notes, d.archText(in.K))
	}
	if s.known && s.loaded == "nr" {
		if in.Code == opJge {
			yes.low, no.high = in.K, in.K-1
		} else {
			yes.low, yes.high = in.K, in.K
		}
		for _, x := range []struct {
			pc int
			state
		}{{pc + 1 + int(in.Jf), no}, {pc + 1 + int(in.Jt), yes}} {
			if to := d.settled(x.pc); to != "" {
				notes = append(notes, d.numbersText(x.state)+": "+to)
			}
		}
		if notes == nil {
			notes = append(notes, d.numberText(s.audit, in.K)+"?")
		}
	}
	d.reach(pc+1+int(in.Jt), yes)
	d.reach(pc+1+int(in.Jf), no)
	return strings.Join(notes, ", ")
}

// reach notes that an instruction is reached with s. Shared ones know nothing.
func (d *disassembler) reach(pc int, s state) {
	if d.reached[pc] != (state{}) && d.reached[pc] != s {
		s = state{loaded: "?"}
	}
	d.reached[pc] = s
}

// settled says where an instruction leads if the number no longer matters.
func (d *disassembler) settled(pc int) string {
	in := d.f.Program[pc]
	switch {
	case in.Code == opJa:
		return d.settled(pc + 1 + int(in.K))
	case in.Code == opRet:
		return answerText(in.K)
	case in.Code == opLoad:
		return fmt.Sprintf("see %d", pc)
	}
	return ""
}

func (d *disassembler) archText(audit uint32) string {
	for _, a := range d.f.abis {
		if a.audit == audit {
			return string(a.arch)
		}
	}
	return "?"
}

// numbersText is a range of numbers by name.
func (d *disassembler) numbersText(s state) string {
	first := d.numberText(s.audit, s.low)
	if s.low == s.high {
		return first
	}
	return first + ".." + d.numberText(s.audit, s.high)
}

// numberText is a number by name.
func (d *disassembler) numberText(audit, nr uint32) string {
	for _, a := range d.f.abis {
		if a.audit != audit || nr < a.base || nr-a.base >= 1024 {
			continue
		}
		for i := range syscalls {
			if int(syscalls[i].nr[a.column]) == int(nr-a.base) {
				if a.base == x32Bit {
					return "x32 " + syscalls[i].name
				}
				return syscalls[i].name
			}
		}
	}
	return "*"
}
