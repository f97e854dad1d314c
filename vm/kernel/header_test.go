package kernel

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestHeader(t *testing.T) {
	b := bzImage("6.1.0-56-cloud-amd64", []byte("payload"))
	h, err := readHeader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if h.release != "6.1.0-56-cloud-amd64" {
		t.Errorf("release %q", h.release)
	}
	if got := string(b[h.payloadOffset:][:h.payloadLength]); got != "payload" {
		t.Errorf("payload %q", got)
	}
}

func TestHeaderBad(t *testing.T) {
	good := bzImage("6.1.0", make([]byte, 100))
	for _, c := range []struct {
		name, want string
		b          []byte
	}{
		{"empty", "not a Linux bzImage", nil},
		{"text", "not a Linux bzImage", []byte(strings.Repeat("not a kernel ", 100))},
		{"for arm64", "it is an Image for arm64", arm64Image("6.1.0-arm64", 2048)},
		{"for arm64, packed", "it is an Image for arm64", zboot("zstd22", make([]byte, 2048))},
		{"ELF", "unpacked already", append(vmlinux(), make([]byte, 1000)...)},
		{"boot sector", "not a Linux bzImage", changed(good, func(b []byte) { copy(b[magicAt:], "none") })},
		{"old protocol", "boot protocol 2.02 is too old", changed(good, func(b []byte) { b[protocolAt] = 2 })},
		{"zImage", "zImage", changed(good, func(b []byte) { b[loadFlagsAt] = 0 })},
		{"cut off", "cut off", good[:len(good)-1]},
		{"cut off in the setup code", "cut off", good[:0x301]},
		{"payload beyond everything", "cut off", changed(good, func(b []byte) { le.PutUint32(b[payloadOffsetAt:], 0xffffffff) })},
		{"no version", "no version text", changed(good, func(b []byte) { le.PutUint16(b[kernelVersionAt:], 0) })},
		{"version outside", "no version text", changed(good, func(b []byte) { le.PutUint16(b[kernelVersionAt:], 0xffff) })},
		{"version with a path", "bad version text", bzImage("../../etc", nil)},
		{"version is a folder", "bad version text", bzImage("..", nil)},
		{"version without an end", "bad version text", changed(good, func(b []byte) {
			for i := range b[0x300:] {
				b[0x300+i] = 'x'
			}
		})},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := readHeader(bytes.NewReader(c.b), int64(len(c.b)))
			wantError(t, err, c.want)
		})
	}
}

func TestOpenImageBad(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o644); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		dir:                           "not a regular file",
		fifo:                          "not a regular file", // and no waiting for a writer
		filepath.Join(dir, "nothing"): "no such file",
	} {
		_, err := readImage(path, "amd64")
		wantError(t, err, want)
		wantError(t, err, path)
	}
}

func TestOpenImageUnreadable(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root can read any file; run this test as another user")
	}
	path := filepath.Join(t.TempDir(), "vmlinuz-6.1.0")
	if err := os.WriteFile(path, bzImage("6.1.0", nil), 0); err != nil {
		t.Fatal(err)
	}
	_, err := readImage(path, "amd64")
	wantError(t, err, "sudo chmod a+r "+path)
	if !errors.Is(err, os.ErrPermission) {
		t.Errorf("%v does not match os.ErrPermission", err)
	}
}

func FuzzHeader(f *testing.F) {
	good := bzImage("6.1.0-56-cloud-amd64", []byte("payload"))
	f.Add(good)
	f.Add(good[:0x301])
	f.Add(bzImage("..", nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := readHeader(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		_ = b[h.payloadOffset:][:h.payloadLength] // is inside
		if filepath.Base(h.release) != h.release || h.release == ".." {
			t.Errorf("release %q is not the name of a file", h.release)
		}
	})
}
