package kernel

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// Fields of the setup header (boot.rst) that say where a bzImage unpacks itself.
const (
	prefAddressAt = 0x258 // 8 bytes: where it would like to be
	initSizeAt    = 0x260 // 4 bytes: what it needs from there on until it runs
	footprintEnd  = 0x264
)

// Footprint is the physical address up to which a kernel needs memory when it starts:
// the end of its last segment, of an ELF file, or of the room in which a bzImage
// unpacks itself. With less it overwrites what is not there, and says nothing.
func Footprint(path string) (end int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if end, err = footprint(f); err != nil {
		return 0, fmt.Errorf("kernel %s: %w", path, err)
	}
	return end, nil
}

func footprint(f io.ReaderAt) (end int64, err error) {
	var h [footprintEnd]byte
	if _, err := f.ReadAt(h[:], 0); err != nil {
		return 0, err
	}
	le := binary.LittleEndian
	switch {
	case string(h[:len(elf.ELFMAG)]) == elf.ELFMAG:
		file, err := elf.NewFile(f)
		if err != nil {
			return 0, err
		}
		for _, p := range file.Progs {
			if p.Type == elf.PT_LOAD {
				end = max(end, int64(p.Paddr+p.Memsz))
			}
		}
	case string(h[magicAt:magicAt+4]) == "HdrS" && le.Uint16(h[protocolAt:]) >= 0x20a:
		end = int64(le.Uint64(h[prefAddressAt:])) + int64(le.Uint32(h[initSizeAt:]))
	default:
		return 0, errors.ErrUnsupported
	}
	if end <= 0 || end > 1<<40 {
		return 0, fmt.Errorf("it claims to need memory up to %#x", end)
	}
	return end, nil
}
