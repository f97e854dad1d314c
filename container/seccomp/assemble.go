package seccomp

import "golang.org/x/sys/unix"

// An assembler writes a program from its last instruction to its first. Jumps
// only go forward, so whatever an instruction leads to is already there, and
// its distance is known.
type assembler struct {
	backward []unix.SockFilter
	at       []int // the index in backward of each node
	returns  []returned
	outcomes []node // of each outcome, -1 while it has none
}

// A node is a place in the program to go to.
type node int32

type returned struct {
	answer uint32
	node   node
}

// The offsets in struct seccomp_data (linux/seccomp.h). Both machines that this
// package knows have the lower half of an argument first.
const (
	offsetNr   = 0
	offsetArch = 4
	offsetArgs = 16
	offsetHigh = 4
)

const (
	opLoad = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	opAnd  = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	opJa   = unix.BPF_JMP | unix.BPF_JA
	opJeq  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	opJge  = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
	opJset = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
	opRet  = unix.BPF_RET | unix.BPF_K
)

func (a *assembler) emit(i unix.SockFilter) node {
	a.backward = append(a.backward, i)
	a.at = append(a.at, len(a.backward)-1)
	return node(len(a.at) - 1)
}

// skip is how many instructions lie between the next one and n.
func (a *assembler) skip(n node) int { return len(a.backward) - a.at[n] - 1 }

// near brings n, if it is more than limit instructions away, next to the next
// instruction: by a copy, if it is a return, or else by a jump.
func (a *assembler) near(n node, limit int) {
	if a.skip(n) <= limit {
		return
	}
	i := a.backward[a.at[n]]
	if i.Code != opRet {
		i = unix.SockFilter{Code: opJa, K: uint32(a.skip(n))}
	}
	a.at[n] = len(a.backward)
	a.backward = append(a.backward, i)
}

// then is an instruction followed by n.
func (a *assembler) then(code uint16, k uint32, n node) node {
	a.near(n, 0)
	return a.emit(unix.SockFilter{Code: code, K: k})
}

// branch compares A with k. The distances have 8 bits.
func (a *assembler) branch(code uint16, k uint32, yes, no node) node {
	a.near(yes, 254) // one to spare, for no
	a.near(no, 255)
	return a.emit(unix.SockFilter{Code: code, Jt: uint8(a.skip(yes)), Jf: uint8(a.skip(no)), K: k})
}

// ret is the end of the program with an answer.
func (a *assembler) ret(answer uint32) node {
	for _, r := range a.returns {
		if r.answer == answer {
			return r.node
		}
	}
	n := a.emit(unix.SockFilter{Code: opRet, K: answer})
	a.returns = append(a.returns, returned{answer, n})
	return n
}

// foreign is the answer to calls of an architecture that the profile does not
// include: its numbers mean other calls than the profile names.
const foreign = unix.SECCOMP_RET_KILL_THREAD

// assemble writes the program of a profile.
func assemble(o *outcomes) []unix.SockFilter {
	a := &assembler{backward: make([]unix.SockFilter, 0, 512), at: make([]int, 0, 512), outcomes: make([]node, len(o.list))}
	for i := range a.outcomes {
		a.outcomes[i] = -1
	}
	program := a.ret(foreign)
	for end := len(o.abis); end > 0; {
		start := end - 1
		for start > 0 && o.abis[start-1].audit == o.abis[start].audit {
			start--
		}
		tree := a.tree(a.numberSpace(o, o.abis[start:end]))
		program = a.branch(opJeq, o.abis[start].audit, a.then(opLoad, offsetNr, tree), program)
		end = start
	}
	a.then(opLoad, offsetArch, program)

	forward := make([]unix.SockFilter, len(a.backward))
	for i, in := range a.backward {
		forward[len(forward)-1-i] = in
	}
	return forward
}

// numberSpace gives where each number of an audit architecture leads.
func (a *assembler) numberSpace(o *outcomes, windows []*numbers) []span {
	spans := make([]span, 0, 1024)
	for _, n := range windows {
		for nr, outcome := range n.outcomes[:n.last+1] {
			spans = append(spans, span{n.base + uint32(nr), a.outcome(o, outcome)})
		}
		spans = append(spans, span{n.base + uint32(n.last+1), a.ret(unknown(o, n))})
	}
	if first := windows[0]; first.column == columnX86_64 && len(windows) == 1 {
		// Without x32, its numbers are as foreign as another architecture. Those
		// below 0 are no calls; -1 is one that a tracer has taken back
		// (seccomp_filter.rst, "SECCOMP_RET_TRACE").
		spans = append(spans, span{x32Bit, a.ret(foreign)}, span{1 << 31, a.ret(unknown(o, first))})
	}
	return merge(spans)
}

// unknown is the answer to numbers above all that the profile names. A tracer
// or a supervisor knows new system calls itself.
func unknown(o *outcomes, n *numbers) uint32 {
	byDefault := o.list[0].answer
	if n.last < 0 || permissive(byDefault) || byDefault == unix.SECCOMP_RET_USER_NOTIF {
		return byDefault
	}
	return unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
}
