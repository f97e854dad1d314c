package images

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// unpackLimited unpacks as a layer is, from a blob and with other limits.
func unpackLimited(ctx context.Context, blob io.Reader, dir string, limits Limits) error {
	p, err := newPipeline(blob)
	if err != nil {
		return err
	}
	defer p.Close()
	u, err := newUnpacker(dir, limits, overlaid)
	if err != nil {
		return err
	}
	return errors.Join(u.layer(ctx, p), u.close())
}

// gzipped compresses.
func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestBombs: what is small and unpacks to far more ends at a limit, which the
// error names, with the entry.
func TestBombs(t *testing.T) {
	limits := Limits{Bytes: 1 << 20, Entries: 100, Depth: 10, Path: 100, Free: 1}
	var many []entry
	var long []tar.Header
	for n := range 101 {
		many = append(many, reg(fmt.Sprintf("f%d", n), 0o644, ""))
	}
	for range 50 {
		long = append(long, tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": strings.Repeat("x", 100_000)}})
	}
	huge := archive(t, reg("huge", 0o644, strings.Repeat("\x00", 2<<20)))
	for _, tt := range []struct {
		name   string
		blob   []byte
		limits func(*Limits)
		want   string
	}{
		{"a large file", gzipped(t, huge), nil, `entry "huge": over the limit of a layer: the size of all files is at most 1048576 bytes`},
		{"large files together", gzipped(t, archive(t, reg("a", 0o644, strings.Repeat("a", 600_000)), reg("b", 0o644, strings.Repeat("b", 600_000)))), nil, `entry "b": over the limit of a layer: the size of all files`},
		{"many files", gzipped(t, archive(t, many...)), nil, `entry "f100": over the limit of a layer: the number of entries is at most 100`},
		{"long headers", gzipped(t, headers(t, long...)), nil, "the size of an archive is at most 1048576 bytes"},
		{"one very long header", gzipped(t, rawEntry('x', "PaxHeaders", strings.Repeat("x", 2<<20))), func(l *Limits) { l.Bytes = 1 << 30 }, "header field too long"},
		{"nested folders", gzipped(t, archive(t, dir(strings.Repeat("d/", 11), 0o755))), nil, `the depth of a path is at most 10 names`},
		{"long paths", gzipped(t, archive(t, reg(strings.Repeat("d", 50)+"/"+strings.Repeat("f", 60), 0o644, ""))), nil, `the length of a path is at most 100 bytes`},
		{"more than is free", gzipped(t, archive(t, reg("f", 0o644, ""))), func(l *Limits) { l.Free = 1 << 60 }, `entry "f": the file system has `},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := limits
			if tt.limits != nil {
				tt.limits(&l)
			}
			into := filepath.Join(t.TempDir(), "layer")
			err := unpackLimited(t.Context(), bytes.NewReader(tt.blob), into, l)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
	// A bomb behind the end of the archive is read for the digest.
	zeros := image(t, append(archive(t), make([]byte, 2<<20)...))
	defer func(l Limits) { DefaultLimits = l }(DefaultLimits)
	DefaultLimits.Bytes = 1 << 20
	if _, err := put(t, open(t, t.TempDir()), "test", zeros).Unpack(t.Context()); err == nil || !strings.Contains(err.Error(), "the size of an archive is at most 1048576 bytes") {
		t.Errorf("behind the end: error %v", err)
	}
}

// TestWithinLimits: what is just as large as it may be is unpacked.
func TestWithinLimits(t *testing.T) {
	b := archive(t, reg("d/d/f", 0o644, strings.Repeat("x", 1<<20)))
	limits := Limits{Bytes: int64(len(b)), Entries: 1, Depth: 3, Path: 5, Free: 1}
	into := filepath.Join(t.TempDir(), "layer")
	if err := unpackLimited(t.Context(), bytes.NewReader(gzipped(t, b)), into, limits); err != nil {
		t.Error(err)
	}
}

// TestUnpackFlat: a layer eight times as large takes no more memory.
func TestUnpackFlat(t *testing.T) {
	allocated := func(size int) uint64 {
		blob := gzipped(t, archive(t, reg("f", 0o644, strings.Repeat("\x00", size))))
		into := filepath.Join(t.TempDir(), "layer")
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := unpackLimited(t.Context(), bytes.NewReader(blob), into, DefaultLimits); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	allocated(1) // what is made once
	small, large := allocated(4<<20), allocated(32<<20)
	if large > small+(1<<20) || large > 8<<20 {
		t.Errorf("%d bytes for 4 MiB, %d for 32 MiB", small, large)
	}
}
