package vm

import (
	"encoding/binary"
	"errors"
	"os"
)

// A boot sector is the smallest guest that there is: a PC's firmware loads the first
// sector of a disk, 512 bytes, to the address 0x7c00 and jumps there, with the CPU as
// it was in 1978, in 16-bit real mode. The bytes are written by hand (Intel SDM
// volume 2; the 0x66 before an instruction makes its operands 32 bits wide), so that
// no assembler is needed. There is one that does sums, by which an accelerator is
// chosen, and one that gives a sign of life.

const (
	sectorSize    = 512
	sectorAddress = 0x7c00
)

// sector makes a boot sector of code, which is at most 510 bytes.
func sector(code []byte) []byte {
	s := make([]byte, sectorSize)
	copy(s[:sectorSize-2], code)
	// The mark by which the firmware knows that a disk can be booted.
	s[510], s[511] = 0x55, 0xaa
	return s
}

// OutputIOPort is the I/O port of the machine's CPU that is the standard output of a
// boot sector (Config.BootSector). A byte that is written there goes to the host as it
// is: the device behind it (isa-debugcon) has no state and no speed.
const OutputIOPort = 0xe9

// SignalSector is a boot sector that writes text, of at most 400 bytes, to
// [OutputIOPort] and halts for ever.
func SignalSector(text string) []byte {
	text = text[:min(len(text), 400)]
	code := []byte{
		0x31, 0xc0, //                       xor  ax, ax
		0x8e, 0xd8, //                       mov  ds, ax
		0xbe, 0, 0, //                       mov  si, text
		0xb9, 0, 0, //                       mov  cx, its length
		0xba, OutputIOPort, 0, //            mov  dx, OutputIOPort
		0xfc,       //                       cld
		0xf3, 0x6e, //                       rep  outsb
		0xfa,       //                       cli
		0xf4,       //                 halt: hlt
		0xeb, 0xfd, //                       jmp  halt
	}
	binary.LittleEndian.PutUint16(code[5:], uint16(sectorAddress+len(code)))
	binary.LittleEndian.PutUint16(code[8:], uint16(len(text)))
	return sector(append(code, text...))
}

// bootDisk is a disk in memory with a boot sector and room for nothing more than what
// makes it a disk: the BIOS of a PC counts in cylinders, of up to 63 sectors for each
// of its heads, and finds none on one that is smaller.
func bootDisk(sector []byte) (*os.File, error) {
	const size = 1 << 20
	f, err := memfd("boot sector")
	if err != nil {
		return nil, err
	}
	_, err = f.Write(sector)
	if err := errors.Join(err, f.Truncate(size)); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// turns is how often the sector that does sums goes round its loop: enough that the
// emulator, which needs about 1.7 ns for each, takes much longer over it than over the
// firmware before it.
const turns = 400_000_003

// exitPort is where it writes its answer, to a device that ends QEMU with a status
// that is made of it (isa-debug-exit).
const exitPort = 0xf4

// sumSector adds up the numbers from turns down to 1 and tells the outcome, so that
// who gets the right answer knows that the guest has truly run.
func sumSector() []byte {
	code := []byte{0x66, 0xb9} //            mov  ecx, turns
	code = binary.LittleEndian.AppendUint32(code, turns)
	return sector(append(code,
		0x66, 0x31, 0xc0, //                 xor  eax, eax
		0x66, 0x01, 0xc8, //           loop: add  eax, ecx
		0x66, 0x49, //                       dec  ecx
		0x75, 0xf9, //                       jnz  loop
		0xe6, exitPort, //                   out  exitPort, al
		0xf4,       //                 halt: hlt
		0xeb, 0xfd, //                       jmp  halt
	))
}

// sumStatus is the exit status of QEMU when that sector has run to its end:
// isa-debug-exit makes it of the byte written, doubled, plus one.
func sumStatus() int {
	// The sum from 1 to n is n(n+1)/2.
	sum := uint64(turns) * (turns + 1) / 2
	return int(byte(sum)<<1 | 1)
}
