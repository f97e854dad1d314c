package images

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func writer(t testing.TB, s *Store) *Writer {
	t.Helper()
	w, err := s.Writer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

func descriptor(content string) v1.Descriptor {
	sum := sha256.Sum256([]byte(content))
	return v1.Descriptor{MediaType: types.OCILayer, Size: int64(len(content)), Digest: hashOf(sum[:])}
}

// source gives content from an offset on, and notes the offsets.
type source struct {
	content string
	fail    int // this many bytes come, then an error; 0 for none
	asked   []int64
}

var errCut = errors.New("the connection was cut")

func (s *source) fetch(_ context.Context, offset int64) (io.ReadCloser, error) {
	s.asked = append(s.asked, offset)
	var r io.Reader = strings.NewReader(s.content[offset:])
	if s.fail > 0 {
		r = io.MultiReader(io.LimitReader(r, int64(s.fail)), iotest.ErrReader(errCut))
	}
	return io.NopCloser(r), nil
}

func blob(t testing.TB, s *Store, h v1.Hash) string {
	t.Helper()
	f, err := s.Blob(h)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestIngestResumes: what came before an error is not asked for again, not even
// by another process.
func TestIngestResumes(t *testing.T) {
	dir := t.TempDir()
	content := strings.Repeat("0123456789", 10_000)
	d := descriptor(content)
	src := &source{content: content, fail: 30_000}
	for range 2 {
		if err := writer(t, open(t, dir)).Ingest(t.Context(), d, src.fetch); !errors.Is(err, errCut) {
			t.Fatal(err)
		}
		if open(t, dir).Has(d.Digest) {
			t.Fatal("half a blob has the name of a whole one")
		}
	}
	src.fail = 0
	s := open(t, dir)
	if err := writer(t, s).Ingest(t.Context(), d, src.fetch); err != nil {
		t.Fatal(err)
	}
	if got := blob(t, s, d.Digest); got != content {
		t.Errorf("%d bytes, other than those that were given", len(got))
	}
	if err := writer(t, s).Ingest(t.Context(), d, src.fetch); err != nil {
		t.Error(err)
	}
	if len(src.asked) != 3 || src.asked[0] != 0 || src.asked[1] != 30_000 || src.asked[2] != 60_000 {
		t.Errorf("it was asked for what begins at %v", src.asked)
	}
	if left := names(t, dir, "ingest"); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestIngestRefuses(t *testing.T) {
	content := "what it is"
	good := descriptor(content)
	for _, tt := range []struct {
		name string
		d    v1.Descriptor
		come string
		want string
		kept bool // what came, for another try
	}{
		{"other content", good, "what it ain", "by its descriptor, and more came", false},
		{"other content of the same size", good, "what it as", "has the digest sha256:", false},
		{"too much", good, content + "!", "has 10 bytes by its descriptor, and more came", false},
		{"without end", good, strings.Repeat(content, 1000), "and more came", false},
		{"too little", good, content[:5], "and only 5 came", true},
		{"a size that is wrong", v1.Descriptor{Size: 3, Digest: good.Digest}, content, "and more came", false},
		{"no size, other content", v1.Descriptor{Size: -1, Digest: good.Digest}, "what", "has the digest sha256:", false},
		{"another algorithm", v1.Descriptor{Digest: v1.Hash{Algorithm: "sha512", Hex: good.Digest.Hex}}, content, "a SHA-256 is expected", false},
		{"a path", v1.Descriptor{Digest: v1.Hash{Algorithm: "sha256", Hex: "../../../etc/passwd"}}, content, "a SHA-256 is expected", false},
		{"a short one", v1.Descriptor{Digest: v1.Hash{Algorithm: "sha256", Hex: "ab"}}, content, "a SHA-256 is expected", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			err := writer(t, s).Ingest(t.Context(), tt.d, (&source{content: tt.come}).fetch)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if s.Has(tt.d.Digest) || s.Has(good.Digest) {
				t.Error("it is in the store")
			}
			if left := names(t, dir, "ingest"); (len(left) > 0) != tt.kept {
				t.Errorf("left: %q", left)
			}
		})
	}
}

// TestIngestAfterDamage: what an earlier try left and is not the begin of the
// blob is found out, and does not stand in the way of the next try.
func TestIngestAfterDamage(t *testing.T) {
	dir := t.TempDir()
	s, content := open(t, dir), "what it is"
	d := descriptor(content)
	for _, left := range []string{"xxxx", strings.Repeat("x", 10), strings.Repeat("x", 11)} {
		if err := os.WriteFile(filepath.Join(dir, "ingest", d.Digest.Hex), []byte(left), 0o600); err != nil {
			t.Fatal(err)
		}
		src := &source{content: content}
		if err := writer(t, s).Ingest(t.Context(), d, src.fetch); err == nil {
			t.Errorf("with %q before it was taken", left)
		}
		if err := writer(t, s).Ingest(t.Context(), d, src.fetch); err != nil {
			t.Error(err)
		}
		if got := blob(t, s, d.Digest); got != content {
			t.Errorf("%q", got)
		}
		if err := s.Discard(d.Digest); err != nil {
			t.Fatal(err)
		}
	}
}

// TestIngestOnce: of several that want one blob at once, one fetches it.
func TestIngestOnce(t *testing.T) {
	dir := t.TempDir()
	content := strings.Repeat("x", 1<<20)
	d := descriptor(content)
	var fetched atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			err := writer(t, open(t, dir)).Ingest(t.Context(), d, func(context.Context, int64) (io.ReadCloser, error) {
				fetched.Add(1)
				time.Sleep(20 * time.Millisecond)
				return io.NopCloser(strings.NewReader(content)), nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := fetched.Load(); n != 1 {
		t.Errorf("fetched %d times", n)
	}
}

// TestIngestWaits no longer than it may for another that does not come to an end.
func TestIngestWaits(t *testing.T) {
	dir := t.TempDir()
	d := descriptor("x")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := writer(t, open(t, dir)).Ingest(t.Context(), d, func(context.Context, int64) (io.ReadCloser, error) {
		err := writer(t, open(t, dir)).Ingest(ctx, d, nil)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "another process") {
			t.Errorf("the other one: %v", err)
		}
		return io.NopCloser(strings.NewReader("x")), nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestAdd(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	w := writer(t, s)
	for range 2 { // the second is there already
		d, err := w.Add(t.Context(), types.OCILayer, strings.NewReader("content"))
		if err != nil {
			t.Fatal(err)
		}
		if want := descriptor("content"); d.Digest != want.Digest || d.Size != want.Size || d.MediaType != types.OCILayer {
			t.Errorf("%+v", d)
		}
		if got := blob(t, s, d.Digest); got != "content" {
			t.Errorf("%q", got)
		}
	}
	if _, err := w.Add(t.Context(), types.OCILayer, io.MultiReader(bytes.NewReader(make([]byte, 100)), iotest.ErrReader(errCut))); !errors.Is(err, errCut) {
		t.Error(err)
	}
	if left := names(t, dir, "ingest"); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}
