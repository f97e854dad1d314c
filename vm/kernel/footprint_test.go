package kernel

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// anELF is an ELF file of segments alone.
func anELF(t *testing.T, segments ...elf.Prog64) []byte {
	t.Helper()
	h := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: uint16(len(segments)), Shentsize: 64}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	var b bytes.Buffer
	for _, v := range []any{h, segments, make([]byte, 1024)} {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func TestFootprint(t *testing.T) {
	bzImage := make([]byte, 1024)
	copy(bzImage[magicAt:], "HdrS")
	binary.LittleEndian.PutUint16(bzImage[protocolAt:], 0x20f)
	binary.LittleEndian.PutUint64(bzImage[prefAddressAt:], 16<<20)
	binary.LittleEndian.PutUint32(bzImage[initSizeAt:], 51<<20)
	old := bytes.Clone(bzImage)
	binary.LittleEndian.PutUint16(old[protocolAt:], 0x209) // has no init_size
	liar := bytes.Clone(bzImage)
	binary.LittleEndian.PutUint64(liar[prefAddressAt:], 1<<63)
	load := func(at, size uint64) elf.Prog64 {
		return elf.Prog64{Type: uint32(elf.PT_LOAD), Paddr: at, Memsz: size}
	}
	for _, tt := range []struct {
		name    string
		content []byte
		want    int64 // 0 for an error
	}{
		{"bzImage", bzImage, 67 << 20},
		{"an old bzImage", old, 0},
		{"a bzImage beyond all memory", liar, 0},
		{"ELF", anELF(t, load(48<<20, 14<<20), load(16<<20, 24<<20), elf.Prog64{Type: uint32(elf.PT_NOTE), Paddr: 99 << 20, Memsz: 8}), 62 << 20},
		{"ELF without segments", anELF(t), 0},
		{"an ELF that claims all memory", anELF(t, load(1<<63, 1<<62)), 0},
		{"no kernel", make([]byte, 4096), 0},
		{"nothing", nil, 0},
	} {
		path := filepath.Join(t.TempDir(), "kernel")
		if err := os.WriteFile(path, tt.content, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Footprint(path)
		if got != tt.want || (err == nil) != (tt.want != 0) {
			t.Errorf("%s: %d MiB, %v", tt.name, got>>20, err)
		}
		if tt.name == "no kernel" && !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func FuzzFootprint(f *testing.F) {
	f.Add(anELF(&testing.T{}, elf.Prog64{Type: uint32(elf.PT_LOAD), Memsz: 1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if end, err := footprint(bytes.NewReader(b)); err == nil && end <= 0 {
			t.Errorf("needs memory up to %d", end)
		}
	})
}
