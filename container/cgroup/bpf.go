package cgroup

import (
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Version 2 has no list of devices. Instead, on every use of a device the
// kernel runs the BPF programs that are attached to the group and to those above
// it, and each has to return 1 (BPF_PROG_TYPE_CGROUP_DEVICE, bpf(2),
// cgroup-v2.rst, "Device controller"). This compiles the list of rules to such a
// program, instruction by instruction: it is small enough to be read whole.
//
// The program is called with r1 pointing to a struct bpf_cgroup_dev_ctx: three
// 32-bit words, the first with the type below and the access above.

// instruction is struct bpf_insn (Documentation/bpf/standardization/instruction-set.rst).
type instruction struct {
	op       byte
	dst, src byte
	off      int16
	imm      int32
}

// Operations: a class, an operation and whether the operand is a register.
const (
	load32   = unix.BPF_LDX | unix.BPF_MEM | unix.BPF_W   // dst = *(u32 *)(src + off)
	moveReg  = unix.BPF_ALU | unix.BPF_MOV | unix.BPF_X   // dst = src, 32 bits
	moveImm  = unix.BPF_ALU64 | unix.BPF_MOV | unix.BPF_K // dst = imm
	andImm   = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K   // dst &= imm, 32 bits
	shiftImm = unix.BPF_ALU | unix.BPF_RSH | unix.BPF_K   // dst >>= imm, 32 bits
	jumpNe   = unix.BPF_JMP | unix.BPF_JNE | unix.BPF_K   // if dst != imm goto off
	jumpEq   = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K   // if dst == imm goto off
	exit     = unix.BPF_JMP | unix.BPF_EXIT               // return r0
)

// What is in the registers while the program runs.
const (
	result   = 0 // r0
	argument = 1 // r1
	kindReg  = 2 // r2: the type
	left     = 3 // r3: the kinds of access that are asked for, and not yet allowed
	majorReg = 4
	minorReg = 5
)

// compileDevices goes through the rules from the last to the first. One that
// matches the device decides on those kinds of access that it speaks of: if it
// denies, and one of them is left, that is the end; if it allows, they are no
// longer left, and when none is, that is the end too. What no rule speaks of is
// denied.
func compileDevices(rules []rule) []instruction {
	p := []instruction{
		{op: load32, dst: kindReg, src: argument, off: 0},
		{op: moveReg, dst: left, src: kindReg},
		{op: andImm, dst: kindReg, imm: 0xffff},
		{op: shiftImm, dst: left, imm: 16},
		{op: load32, dst: majorReg, src: argument, off: 4},
		{op: load32, dst: minorReg, src: argument, off: 8},
	}
	for i := len(rules) - 1; i >= 0; i-- {
		r := rules[i]
		if r.all() { // the verifier refuses instructions that are never reached
			return append(p, instruction{op: moveImm, dst: result, imm: bit(r.allow)}, instruction{op: exit})
		}
		var next []int // jumps to the next rule
		jump := func(op, reg byte, imm int64) {
			next = append(next, len(p))
			p = append(p, instruction{op: op, dst: reg, imm: int32(imm)})
		}
		if r.kind != anyType {
			jump(jumpNe, kindReg, int64(r.kind))
		}
		if r.major != anyNumber {
			jump(jumpNe, majorReg, r.major)
		}
		if r.minor != anyNumber {
			jump(jumpNe, minorReg, r.minor)
		}
		switch {
		case r.allow && r.access == anyAccess:
		case r.allow:
			p = append(p, instruction{op: andImm, dst: left, imm: int32(anyAccess &^ r.access)})
			jump(jumpNe, left, 0)
		default:
			p = append(p, instruction{op: moveReg, dst: result, src: left}, instruction{op: andImm, dst: result, imm: int32(r.access)})
			jump(jumpEq, result, 0)
		}
		p = append(p, instruction{op: moveImm, dst: result, imm: bit(r.allow)}, instruction{op: exit})
		for _, at := range next {
			p[at].off = int16(len(p) - at - 1)
		}
	}
	return append(p, instruction{op: moveImm, dst: result, imm: 0}, instruction{op: exit})
}

func bit(on bool) int32 {
	if on {
		return 1
	}
	return 0
}

// assemble gives the program as the kernel takes it.
func assemble(p []instruction) []byte {
	var b []byte
	for _, i := range p {
		b = append(b, i.op, i.src<<4|i.dst)
		b = binary.NativeEndian.AppendUint16(b, uint16(i.off))
		b = binary.NativeEndian.AppendUint32(b, uint32(i.imm))
	}
	return b
}

// disassemble is for people, and tests: what the kernel's verifier would print.
func disassemble(p []instruction) string {
	var b strings.Builder
	for at, i := range p {
		to := at + 1 + int(i.off)
		fmt.Fprintf(&b, "%3d: ", at)
		switch i.op {
		case load32:
			fmt.Fprintf(&b, "r%d = *(u32 *)(r%d +%d)", i.dst, i.src, i.off)
		case moveReg:
			fmt.Fprintf(&b, "w%d = w%d", i.dst, i.src)
		case moveImm:
			fmt.Fprintf(&b, "r%d = %d", i.dst, i.imm)
		case andImm:
			fmt.Fprintf(&b, "w%d &= %#x", i.dst, i.imm)
		case shiftImm:
			fmt.Fprintf(&b, "w%d >>= %d", i.dst, i.imm)
		case jumpNe:
			fmt.Fprintf(&b, "if r%d != %d goto %d", i.dst, i.imm, to)
		case jumpEq:
			fmt.Fprintf(&b, "if r%d == %d goto %d", i.dst, i.imm, to)
		case exit:
			b.WriteString("exit")
		default:
			fmt.Fprintf(&b, "%+v", i)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
