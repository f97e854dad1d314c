package initramfs

import (
	"bytes"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// read is an entry as the reader sees it.
type read struct {
	Name     string
	Mode     uint32
	UID, GID uint32
	MTime    uint32
	Rdev     [2]uint32
	Content  string
	ino      uint32
}

// readArchive reads an archive by the letter of buffer-format.rst. It shares
// nothing with the Writer.
func readArchive(b []byte) ([]read, error) {
	r := bytes.NewReader(b)
	take := func(n int) (string, error) {
		if n > r.Len() {
			return "", io.ErrUnexpectedEOF
		}
		p := make([]byte, n)
		io.ReadFull(r, p)
		if at := len(b) - r.Len(); at%4 != 0 {
			if _, err := r.Seek(int64(4-at%4), io.SeekCurrent); err != nil || r.Len() == 0 && at > len(b) {
				return "", io.ErrUnexpectedEOF
			}
		}
		return string(p), nil
	}
	var all []read
	for {
		// Header and name are padded together.
		at := len(b) - r.Len()
		if at+110 > len(b) {
			return nil, io.ErrUnexpectedEOF
		}
		head := string(b[at : at+110])
		if head[:6] != "070701" {
			return nil, fmt.Errorf("magic %q at %d", head[:6], at)
		}
		var f [13]uint32
		for i := range f {
			v, err := strconv.ParseUint(head[6+8*i:][:8], 16, 32)
			if err != nil {
				return nil, err
			}
			f[i] = uint32(v)
		}
		text, err := take(110 + int(f[11]))
		if err != nil {
			return nil, err
		}
		name, ended := strings.CutSuffix(text[110:], "\x00")
		if !ended {
			return nil, fmt.Errorf("name %q has no end", name)
		}
		content, err := take(int(f[6]))
		if err != nil {
			return nil, err
		}
		if name == "TRAILER!!!" {
			if rest := b[len(b)-r.Len():]; len(b)%512 != 0 || len(bytes.Trim(rest, "\x00")) > 0 {
				return nil, fmt.Errorf("padding %q", rest)
			}
			return all, nil
		}
		if f[4] != 1 || f[7] != 0 || f[8] != 0 || f[12] != 0 {
			return nil, fmt.Errorf("%s: links, device or check: %v", name, f)
		}
		all = append(all, read{name, f[1], f[2], f[3], f[5], [2]uint32{f[9], f[10]}, content, f[0]})
	}
}

// unpacker does to a file system in memory what init/initramfs.c does to the
// real one, and fails where that skips an entry.
type unpacker map[string]read

func unpack(entries []read) (unpacker, error) {
	u := make(unpacker)
	inodes := make(map[uint32]bool)
	for _, e := range entries {
		if inodes[e.ino] || e.ino == 0 {
			return nil, fmt.Errorf("%s: inode number %d again", e.Name, e.ino)
		}
		inodes[e.ino] = true
		for p := path.Dir(e.Name); p != "."; p = path.Dir(p) {
			if parent, ok := u[p]; !ok || parent.Mode&unix.S_IFMT != unix.S_IFDIR {
				return nil, fmt.Errorf("%s: nothing to put it in", e.Name)
			}
		}
		if old, ok := u[e.Name]; ok {
			replaced := old.Mode&unix.S_IFMT != e.Mode&unix.S_IFMT
			if replaced && old.Mode&unix.S_IFMT == unix.S_IFDIR {
				for name := range u {
					if strings.HasPrefix(name, e.Name+"/") {
						return nil, fmt.Errorf("%s: rmdir: not empty", e.Name)
					}
				}
			}
			if !replaced && old.Rdev != e.Rdev {
				return nil, fmt.Errorf("%s: mknod: exists", e.Name)
			}
		}
		e.ino = 0
		u[e.Name] = e
	}
	return u, nil
}

// mustRead reads what the test wrote.
func mustRead(t testing.TB, b []byte) []read {
	t.Helper()
	entries, err := readArchive(b)
	if err != nil {
		t.Fatalf("reading the archive: %v", err)
	}
	return entries
}
