package images

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/zstd"
)

func zstandard(t testing.TB, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(b, nil)
}

// TestPipeline: what comes out is what went in, with its digest, however it was
// compressed and however it is read.
func TestPipeline(t *testing.T) {
	random := make([]byte, 3*chunkSize*chunks+17)
	rand.NewChaCha8([32]byte{}).Read(random)
	for _, content := range [][]byte{nil, []byte("x"), random[:chunkSize], random[:chunkSize+1], random, bytes.Repeat([]byte("text "), 1<<20)} {
		for name, blob := range map[string][]byte{"tar": content, "gzip": gzipped(t, content), "zstd": zstandard(t, content), "gzip in parts": append(gzipped(t, content[:len(content)/2]), gzipped(t, content[len(content)/2:])...)} {
			p, err := newPipeline(iotest.HalfReader(bytes.NewReader(blob)))
			if err != nil {
				t.Fatal(name, err)
			}
			got, err := io.ReadAll(iotest.HalfReader(p))
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s: %d bytes, %v, want %d", name, len(got), err, len(content))
			}
			if want := hashOfBytes(content); p.digestOf() != want {
				t.Errorf("%s: digest %s, want %s", name, p.digestOf(), want)
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestPipelineBroken: an error comes where it is, after what was before it.
func TestPipelineBroken(t *testing.T) {
	content := make([]byte, 5*chunkSize)
	rand.NewChaCha8([32]byte{}).Read(content)
	damaged := func(b []byte) []byte { b[len(b)-6] ^= 1; return b } // the checksum of gzip and zstd is at the end
	for _, tt := range []struct {
		name string
		blob io.Reader
		want string
	}{
		{"gzip cut off", bytes.NewReader(gzipped(t, content)[:4*chunkSize]), "decompressing (gzip): unexpected EOF"},
		{"gzip cut off in its header", strings.NewReader("\x1f\x8b\x08"), "decompressing (gzip): "},
		{"gzip damaged", bytes.NewReader(damaged(gzipped(t, content))), "decompressing (gzip): gzip: invalid checksum"},
		{"gzip and rubbish", bytes.NewReader(append(gzipped(t, content), "rubbish rubbish"...)), "decompressing (gzip): gzip: invalid header"},
		{"zstd cut off", bytes.NewReader(zstandard(t, content)[:4*chunkSize]), "decompressing (zstd): unexpected EOF"},
		{"zstd damaged", bytes.NewReader(damaged(zstandard(t, content))), "decompressing (zstd): "},
		{"zstd that looks back too far", strings.NewReader("\x28\xb5\x2f\xfd\x00\xa0\x00\x00\x00"), "decompressing (zstd): window size exceeded"},
		{"bzip2", strings.NewReader("BZh91AY&SY"), "it is compressed with bzip2"},
		{"xz", strings.NewReader("\xfd7zXZ\x00\x00\x04"), "it is compressed with xz"},
		{"the disk fails", io.MultiReader(bytes.NewReader(content), iotest.ErrReader(errors.New("the disk fails"))), "the disk fails"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := newPipeline(tt.blob)
			if err == nil {
				_, err = io.Copy(io.Discard, p)
				p.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// TestPipelineLeft: one that is not read to its end has goroutines that end.
func TestPipelineLeft(t *testing.T) {
	for _, read := range []int64{0, 1, chunkSize + 1} {
		p, err := newPipeline(io.LimitReader(rand.NewChaCha8([32]byte{}), 100*chunkSize))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, p, read); err != nil {
			t.Fatal(err)
		}
		p.Close() // hangs if one does not
		if err := p.Close(); err != nil {
			t.Error("a second time:", err)
		}
	}
}

func hashOfBytes(b []byte) v1.Hash { sum := sha256.Sum256(b); return hashOf(sum[:]) }
