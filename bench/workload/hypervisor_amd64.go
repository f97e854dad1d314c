package main

import "strings"

// hypervisor asks the CPU: leaf 1 says in ECX bit 31 that a hypervisor runs
// it, and leaf 0x40000000 gives its name in EBX, ECX, EDX (Intel SDM leaves
// that range to hypervisors; Linux, arch/x86/include/asm/cpufeatures.h).
func hypervisor() (bool, string) {
	_, _, ecx, _ := cpuid(1)
	if ecx&(1<<31) == 0 {
		return false, ""
	}
	_, b, c, d := cpuid(0x4000_0000)
	var name []byte
	for _, r := range []uint32{b, c, d} {
		name = append(name, byte(r), byte(r>>8), byte(r>>16), byte(r>>24))
	}
	return true, strings.Trim(string(name), "\x00 ")
}

func cpuid(leaf uint32) (eax, ebx, ecx, edx uint32)
