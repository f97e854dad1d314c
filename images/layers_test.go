package images

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sys/unix"
)

// blobImage is an image of layers whose blobs are these, with those diff IDs.
func blobImage(t *testing.T, blobs [][]byte, ids ...v1.Hash) v1.Image {
	t.Helper()
	img := empty.Image
	for _, b := range blobs {
		var err error
		// Their media type is wrong for some, which must not matter.
		if img, err = mutate.AppendLayers(img, static.NewLayer(b, types.OCILayer)); err != nil {
			t.Fatal(err)
		}
	}
	return withDiffIDs(t, img, ids...)
}

// TestUnpackCompressions: a layer is the same in whatever way its blob is
// compressed, and whatever its media type says of that.
func TestUnpackCompressions(t *testing.T) {
	a := archive(t, reg("f", 0o644, strings.Repeat("content ", 100_000)))
	id := hashOfBytes(a)
	for name, blob := range map[string][]byte{"tar": a, "gzip": gzipped(t, a), "zstd": zstandard(t, a)} {
		i := put(t, open(t, t.TempDir()), "test", blobImage(t, [][]byte{blob}, id))
		dirs, err := i.Unpack(t.Context())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := tree(t, dirs[0])["f"]; len(got) != len("-rw-r--r-- ")+800_000 {
			t.Errorf("%s: f has %d bytes", name, len(got))
		}
		if size, err := i.Size(t.Context()); size != int64(len(a)) || err != nil {
			t.Errorf("%s: size %d, %v, want %d", name, size, err, len(a))
		}
	}
}

// TestUnpackTwice: a layer that is twice in an image is unpacked once.
func TestUnpackTwice(t *testing.T) {
	a := archive(t, reg("f", 0o644, ""))
	dir := t.TempDir()
	dirs, err := put(t, open(t, dir), "test", image(t, a, a, a)).Unpack(t.Context())
	if err != nil || len(dirs) != 3 || dirs[0] != dirs[2] || len(names(t, dir, "layers")) != 1 {
		t.Errorf("%v, %v", dirs, err)
	}
}

// TestUnpackDamaged: a blob that was damaged in the store gives an error, and
// leaves nothing; the layers beside it are there, and when it is whole again so
// are all.
func TestUnpackDamaged(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	i := put(t, s, "test", image(t, archive(t, reg("a", 0o644, "a")), archive(t, reg("b", 0o644, strings.Repeat("b", 100_000))), archive(t, reg("c", 0o644, "c"))))
	m, err := i.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	blob := s.blobPath(m.Layers[1].Digest)
	good, err := os.ReadFile(blob)
	if err != nil {
		t.Fatal(err)
	}
	other := gzipped(t, archive(t, reg("b", 0o644, "another")))
	damaged := slices.Clone(good)
	damaged[len(damaged)/2] ^= 0x55
	for _, tt := range []struct {
		name, want string
		blob       []byte
	}{{"cut off", "unexpected EOF", good[:len(good)/2]}, {"empty", "its content has the digest", nil}, {"damaged", "", damaged}, {"another", "its content has the digest sha256:", other}} {
		if err := os.WriteFile(blob, tt.blob, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := i.Unpack(t.Context())
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "image test: layer "+i.DiffIDs()[1]) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
		if _, err := i.Rootfs(t.Context()); err == nil || !strings.Contains(err.Error(), i.DiffIDs()[1]) {
			t.Errorf("%s: Rootfs: error %v", tt.name, err)
		}
		if got := append(names(t, dir, "layers"), names(t, dir, "rootfs")...); len(got) != 2 {
			t.Errorf("%s: there is %v", tt.name, got)
		}
	}
	if err := os.WriteFile(blob, good, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := i.Unpack(t.Context()); err != nil {
		t.Error(err)
	}
	if got := names(t, dir, "layers"); len(got) != 3 {
		t.Errorf("layers/ has %v", got)
	}
}

// TestUnpackedOnceByMany: of many that want a layer one unpacks it, and the
// others wait for that. How often its blob is read tells.
func TestUnpackedOnceByMany(t *testing.T) {
	dir := t.TempDir()
	i := put(t, open(t, dir), "test", image(t, archive(t, reg("f", 0o644, strings.Repeat("f", 1<<20)))))
	var all sync.WaitGroup
	var mu sync.Mutex
	inodes := map[uint64]bool{}
	for range 8 {
		all.Go(func() {
			s, err := Open(dir)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			mine := &Image{Name: i.Name, Digest: i.Digest, Config: i.Config, img: i.img, store: s}
			dirs, err := mine.Unpack(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			var st unix.Stat_t
			if err := unix.Stat(filepath.Join(dirs[0], "f"), &st); err != nil {
				t.Error(err)
			}
			mu.Lock()
			inodes[st.Ino] = true
			mu.Unlock()
		})
	}
	all.Wait()
	if len(inodes) != 1 {
		t.Errorf("it was made %d times", len(inodes))
	}
}

// TestUnpackWaits: while another has the layer, one waits, as long as ctx lasts
// and no longer; when the other is gone without having made it, one makes it.
func TestUnpackWaits(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	i := put(t, s, "test", image(t, archive(t, reg("f", 0o644, "f"))))
	other := &claim{path: s.path("layers", i.Config.RootFS.DiffIDs[0].Hex)}
	if err := other.take(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other.part(), "half"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := i.Unpack(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "waiting for another process") {
		t.Errorf("error %v", err)
	}
	if got := names(t, other.part()); len(got) != 1 {
		t.Errorf("the other's folder has %v", got)
	}
	done := make(chan error)
	go func() { _, err := i.Unpack(t.Context()); done <- err }()
	time.Sleep(20 * time.Millisecond)
	if err := other.f.Close(); err != nil { // as if it was killed
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(map[string]string{".": "drwxr-xr-x", "f": "-rw-r--r-- f"}, tree(t, other.path)); diff != "" {
		t.Error(diff)
	}
}

// TestLayersInUse: prune leaves what a store uses that is open, and takes it when
// that is closed.
func TestLayersInUse(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	i := put(t, s, "test", image(t, archive(t, reg("f", 0o644, "f"))))
	for range 3 { // also as often as one likes
		if _, err := i.Unpack(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := i.Rootfs(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(s.held) != 2 {
		t.Errorf("it holds %d folders, want two", len(s.held))
	}
	if err := s.Remove("test"); err != nil {
		t.Fatal(err)
	}
	other := open(t, dir)
	if p, err := other.Prune(t.Context(), false); err != nil || p.InUse != 2 || p.Layers != 0 {
		t.Errorf("in use: %+v, %v", p, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if p, err := other.Prune(t.Context(), false); err != nil || p.InUse != 0 || p.Layers != 2 {
		t.Errorf("not in use: %+v, %v", p, err)
	}
	if got := append(names(t, dir, "layers"), names(t, dir, "rootfs")...); len(got) != 0 {
		t.Errorf("there is %v", got)
	}
}

// TestPruneMeanwhile: while some unpack, and others prune all that has no name,
// who has unpacked has whole layers until the store is closed.
func TestPruneMeanwhile(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	i := put(t, s, "test", image(t, archive(t, reg("f", 0o644, "f")), archive(t, reg("g", 0o644, "g"))))
	config := *i.Config
	ctx, cancel := context.WithCancel(t.Context())
	var pruning sync.WaitGroup
	pruning.Go(func() {
		for ctx.Err() == nil {
			// As prune does with what nothing names.
			for _, name := range names(t, dir, "layers") {
				if _, _, err := discard(s.path("layers", name), false); err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Error(err)
				}
			}
		}
	})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 10 {
				s, err := Open(dir)
				if err != nil {
					t.Error(err)
					return
				}
				mine := &Image{Name: i.Name, Digest: i.Digest, Config: &config, img: i.img, store: s}
				dirs, err := mine.Unpack(t.Context())
				if err != nil && strings.Contains(err.Error(), "was pruned as soon as it was there") {
					s.Close()
					continue
				}
				if err != nil {
					t.Error(err)
					s.Close()
					return
				}
				for n, name := range []string{"f", "g"} {
					if got := tree(t, dirs[n])[name]; got != "-rw-r--r-- "+name {
						t.Errorf("%s is %q", name, got)
					}
				}
				s.Close()
			}
		})
	}
	all.Wait()
	cancel()
	pruning.Wait()
}

// TestRootfsWhiteouts: in a merged tree what a layer removes is gone, and what it
// has itself stays, whatever the order of the entries.
func TestRootfsWhiteouts(t *testing.T) {
	low := archive(t, dir("d", 0o755), reg("d/a", 0o644, "a"), reg("d/b", 0o644, "b"), reg("d/x/y/z", 0o644, "z"), reg("f", 0o644, "f"), symlink("l", "d"))
	for _, tt := range []struct {
		name string
		high []entry
		want map[string]string // without d, l and f, if they are as they were
	}{
		{"a file", []entry{reg(".wh.f", 0o644, ""), reg("d/.wh.a", 0o644, "")}, map[string]string{"d/b": "-rw-r--r-- b", "d/x": "drwxr-xr-x", "d/x/y": "drwxr-xr-x", "d/x/y/z": "-rw-r--r-- z", "f": ""}},
		{"a folder", []entry{reg(".wh.d", 0o644, "")}, map[string]string{"d": ""}},
		{"a folder that comes again", []entry{reg(".wh.d", 0o644, ""), reg("d/new", 0o644, "new")}, map[string]string{"d/new": "-rw-r--r-- new"}},
		{"a folder that came again", []entry{reg("d/new", 0o644, "new"), reg("d/x/new", 0o644, "new"), reg(".wh.d", 0o644, "")}, map[string]string{"d/new": "-rw-r--r-- new", "d/x": "drwxr-xr-x", "d/x/new": "-rw-r--r-- new"}},
		{"opaque", []entry{reg("d/x/new", 0o644, "new"), reg("d/.wh..wh..opq", 0o644, "")}, map[string]string{"d/x": "drwxr-xr-x", "d/x/new": "-rw-r--r-- new"}},
		{"a link, and not what it leads to", []entry{reg(".wh.l", 0o644, "")}, map[string]string{"d/a": "-rw-r--r-- a", "d/b": "-rw-r--r-- b", "d/x": "drwxr-xr-x", "d/x/y": "drwxr-xr-x", "d/x/y/z": "-rw-r--r-- z", "l": ""}},
		{"through a link", []entry{reg("l/.wh.a", 0o644, ""), reg("l/.wh.x", 0o644, "")}, map[string]string{"d/b": "-rw-r--r-- b"}},
		{"the whole image", []entry{reg(".wh..wh..opq", 0o644, ""), reg("new", 0o644, "")}, map[string]string{"d": "", "f": "", "l": "", "new": "-rw-r--r-- "}},
		{"of what is not there", []entry{reg("no/.wh.a", 0o644, ""), reg("f/.wh.a", 0o644, ""), reg(".wh.no", 0o644, ""), reg("d/.wh.x", 0o644, ""), reg("d/.wh.a", 0o644, ""), reg("d/.wh.b", 0o644, "")}, map[string]string{}},
		{"hard link to a lower layer", []entry{link("h", "d/a"), reg(".wh.d", 0o644, "")}, map[string]string{"d": "", "h": "-rw-r--r-- a"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root, err := put(t, open(t, t.TempDir()), "test", image(t, low, archive(t, tt.high...))).Rootfs(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]string{".": "drwxr-xr-x", "d": "drwxr-xr-x", "f": "-rw-r--r-- f", "l": "-> d"}
			for name, is := range tt.want {
				want[name] = is
				if is == "" {
					delete(want, name)
				}
			}
			if diff := cmp.Diff(want, tree(t, root)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestNoRoot runs the tests of unpacking as an ordinary user, with an umask that
// is not the usual one.
func TestNoRoot(t *testing.T) {
	needRoot(t)
	// Not t.TempDir: no other user can enter that.
	dir, err := os.MkdirTemp("", "bench-noroot-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	const nobody = 65534
	home, program := filepath.Join(dir, "home"), filepath.Join(dir, "test")
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(home, 0o700), os.Chown(home, nobody, nobody), os.WriteFile(program, self, 0o755)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", `umask 077; exec "$0" "$@"`, program, "-test.v", "-test.run", "^(Test(Unpack|Rootfs|Bombs|Interrupted|Refused|Concurrent|Layers|Prune).*|FuzzUnpack)$")
	cmd.Dir = home
	cmd.Env = []string{"TMPDIR=" + home, "HOME=" + home}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestUnpackRecordsOwners")) {
		t.Errorf("%v\n%s", err, out)
	}
}
