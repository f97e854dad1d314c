package kernel

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var le = binary.LittleEndian

// bzImage puts a payload behind a setup header and a little setup code.
func bzImage(release string, payload []byte) []byte {
	const sectors, gap = 2, 16
	b := make([]byte, (sectors+1)*sector+gap)
	b[setupSectsAt] = sectors
	le.PutUint16(b[bootFlagAt:], 0xaa55)
	copy(b[magicAt:], "HdrS")
	le.PutUint16(b[protocolAt:], 0x20f)
	le.PutUint16(b[kernelVersionAt:], 0x300-0x200)
	b[loadFlagsAt] = 1
	copy(b[0x300:], release+" (builder@host) #1 SMP\x00")
	le.PutUint32(b[payloadOffsetAt:], gap)
	le.PutUint32(b[payloadLengthAt:], uint32(len(payload)))
	return append(b, payload...)
}

// arm64Image is a header, and memory of at least size bytes with the banner in it.
func arm64Image(release string, size int) []byte {
	b := make([]byte, arm64HeaderLen)
	copy(b[arm64MagicAt:], arm64Magic)
	b = append(b, "Linux version %s\x00Linux version "+release+" (builder@host) #1 SMP\x00"...)
	return append(b, make([]byte, max(0, size-len(b)))...)
}

// zboot is an EFI program that unpacks a payload, of which only the header is there.
func zboot(compression string, payload []byte) []byte {
	b := make([]byte, 512)
	copy(b, "MZ\x00\x00"+zbootMagic)
	le.PutUint32(b[zbootOffsetAt:], uint32(len(b)))
	le.PutUint32(b[zbootSizeAt:], uint32(len(payload)))
	copy(b[24:], compression)
	return append(append(b, payload...), 0, 0, 0, 0)
}

// note is an ELF note.
func note(owner string, typ uint32, content ...byte) []byte {
	b := le.AppendUint32(nil, uint32(len(owner)+1))
	b = le.AppendUint32(b, uint32(len(content)))
	b = le.AppendUint32(b, typ)
	for _, part := range [][]byte{append([]byte(owner), 0), content} {
		b = append(b, part...)
		b = append(b, make([]byte, -len(b)&3)...)
	}
	return b
}

// vmlinux is an ELF file with notes in its one segment.
func vmlinux(notes ...[]byte) []byte {
	b := elfHeader(2) // ET_EXEC
	content := slices.Concat(notes...)
	le.PutUint64(b[32:], 64) // the program headers follow
	le.PutUint16(b[56:], 1)
	b = le.AppendUint32(b, 4) // PT_NOTE
	b = le.AppendUint32(b, 0)
	for _, v := range []int{64 + 56, 0, 0, len(content), len(content), 4} {
		b = le.AppendUint64(b, uint64(v))
	}
	return append(b, content...)
}

// ko is a module, whose .modinfo holds the given entries.
func ko(entries ...string) []byte {
	modinfo := strings.Join(entries, "\x00") + "\x00"
	const names = "\x00.modinfo\x00.shstrtab\x00"
	b := elfHeader(1) // ET_REL
	at := len(b)
	b = append(b, modinfo+names...)
	b = append(b, make([]byte, -len(b)&7)...)
	le.PutUint64(b[40:], uint64(len(b)))
	le.PutUint16(b[60:], 3)
	le.PutUint16(b[62:], 2)
	b = append(b, make([]byte, 64)...)
	for _, s := range []struct{ name, typ, at, size int }{
		{1, 1, at, len(modinfo)},               // PROGBITS
		{10, 3, at + len(modinfo), len(names)}, // STRTAB
	} {
		b = le.AppendUint32(b, uint32(s.name))
		b = le.AppendUint32(b, uint32(s.typ))
		for _, v := range []int{0, 0, s.at, s.size, 0, 1, 0} {
			b = le.AppendUint64(b, uint64(v))
		}
	}
	return b
}

func elfHeader(typ uint16) []byte {
	b := make([]byte, 64)
	copy(b, "\x7fELF\x02\x01\x01") // 64 bits, little-endian
	le.PutUint16(b[16:], typ)
	le.PutUint16(b[18:], 62) // x86-64
	le.PutUint32(b[20:], 1)
	le.PutUint16(b[52:], 64)
	le.PutUint16(b[54:], 56)
	le.PutUint16(b[58:], 64)
	return b
}

// files writes files by path below root.
func files(t testing.TB, root string, content map[string][]byte) {
	t.Helper()
	for name, b := range content {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// calls is like machine code in what the x86 filter of xz looks at: opcodes of
// calls, at all distances, before operands near and far.
func calls(size int) []byte {
	var b []byte
	for x := uint32(1); len(b) < size; {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b = append(b, [16]byte{0xe8, 0xe9, 0xe8, 0, 0, 0, 0xff, 0xff, 0xfe, 1, 2, 0x48, 0x89, 0xe5, 0x80, 0x7f}[x>>13&15])
	}
	return b[:size]
}

// wantError fails unless err says want.
func wantError(t testing.TB, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error: %v\nwant one that says: %s", err, want)
	}
}

// changed is a copy of b that f changes.
func changed(b []byte, f func(b []byte)) []byte {
	b = bytes.Clone(b)
	f(b)
	return b
}
