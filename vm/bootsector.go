package vm

import "encoding/binary"

// turns is how often the boot sector goes round its loop: enough that the
// emulator, which needs about 1.7 ns for each, takes much longer over it than
// over the firmware before it.
const turns = 400_000_003

// exitPort is where the boot sector writes its answer, to a device that ends
// QEMU with a status that is made of it (isa-debug-exit).
const exitPort = 0xf4

// bootSector is a guest of a few bytes: code that a PC's firmware loads from the
// first sector of a disk and jumps to, in 16-bit real mode (the 0x66 before an
// instruction makes its operands 32 bits wide; Intel SDM volume 2). It adds up
// the numbers from turns down to 1 and tells the outcome, so that who gets the
// right answer knows that the guest has truly run.
func bootSector() [512]byte {
	code := []byte{0x66, 0xb9} //            mov  ecx, turns
	code = binary.LittleEndian.AppendUint32(code, turns)
	code = append(code,
		0x66, 0x31, 0xc0, //                 xor  eax, eax
		0x66, 0x01, 0xc8, //           loop: add  eax, ecx
		0x66, 0x49, //                       dec  ecx
		0x75, 0xf9, //                       jnz  loop
		0xe6, exitPort, //                   out  exitPort, al
		0xf4,       //                 halt: hlt
		0xeb, 0xfd, //                       jmp  halt
	)
	var s [512]byte
	copy(s[:], code)
	// The mark by which the firmware knows that a disk can be booted.
	s[510], s[511] = 0x55, 0xaa
	return s
}

// bootSectorStatus is the exit status of QEMU when the boot sector has run to
// its end: isa-debug-exit makes it of the byte written, doubled, plus one.
func bootSectorStatus() int {
	// The sum from 1 to n is n(n+1)/2.
	sum := uint64(turns) * (turns + 1) / 2
	return int(byte(sum)<<1 | 1)
}
