package seccomp

import (
	"encoding/binary"
)

// SeccompData is what a filter sees: struct seccomp_data of linux/seccomp.h.
type SeccompData struct {
	Nr   int32
	Arch uint32 // AUDIT_ARCH_*
	IP   uint64
	Args [6]uint64
}

// Run interprets the filter as the kernel does, and gives its answer
// (SECCOMP_RET_*). It knows the instructions that [Compile] makes; for others
// it panics.
func (f *Filter) Run(data SeccompData) uint32 {
	answer, _ := f.run(data)
	return answer
}

// run also gives the number of instructions on the way.
func (f *Filter) run(data SeccompData) (answer uint32, steps int) {
	var packet [64]byte
	if _, err := binary.Encode(packet[:], binary.LittleEndian, data); err != nil {
		panic(err)
	}
	var a uint32
	for pc := 0; ; pc++ {
		steps++
		in := f.Program[pc]
		yes := false
		switch in.Code {
		case opRet:
			return in.K, steps
		case opLoad:
			a = binary.LittleEndian.Uint32(packet[in.K:])
			continue
		case opAnd:
			a &= in.K
			continue
		case opJa:
			pc += int(in.K)
			continue
		case opJeq:
			yes = a == in.K
		case opJge:
			yes = a >= in.K
		case opJset:
			yes = a&in.K != 0
		default:
			panic("seccomp: unknown instruction " + text(in, pc, ""))
		}
		if yes {
			pc += int(in.Jt)
		} else {
			pc += int(in.Jf)
		}
	}
}
