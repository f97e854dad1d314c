package erofs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// required tells whether BENCH_REQUIRE turns a skip for want of what into a
// failure.
func required(what string) bool {
	return slices.Contains(strings.Split(os.Getenv("BENCH_REQUIRE"), ","), what)
}

// writeDisk writes dir as a disk, twice, and gives the path.
func writeDisk(t *testing.T, dir string) string {
	t.Helper()
	var first []byte
	path := filepath.Join(t.TempDir(), "disk.erofs")
	for range 2 {
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := Write(t.Context(), f, dir); err != nil {
			t.Fatal(err)
		}
		f.Close()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if first != nil && !bytes.Equal(first, b) {
			t.Error("the same tree has given two disks")
		}
		first = b
	}
	return path
}

// fsck has the file system's own tools look at a disk, where they are installed.
func fsck(t *testing.T, disk string) {
	t.Helper()
	tool, err := exec.LookPath("fsck.erofs")
	if err != nil {
		t.Log("not checked by fsck.erofs, which is not installed: apt-get install erofs-utils")
		return
	}
	if out, err := exec.Command(tool, disk).CombinedOutput(); err != nil {
		t.Errorf("fsck.erofs: %v\n%s", err, out)
	}
}

// mounted shows a disk to the kernel, through a loop device, or skips.
func mounted(t *testing.T, disk string) string {
	t.Helper()
	fail := t.Skip
	if required("root") && supported(t) {
		fail = t.Fatal
	}
	if os.Geteuid() != 0 {
		fail("only root mounts: sudo scripts/test")
	}
	if !supported(t) {
		fail("this kernel has no EROFS (modprobe erofs)")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "erofs", "-o", "loop,ro", disk, dir).CombinedOutput(); err != nil {
		fail("no loop device: ", err, string(out))
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func supported(t *testing.T) bool {
	b, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(b), "\terofs\n")
}

// listing is all that can be seen of a tree, a line for each file.
func listing(t *testing.T, root string) []string {
	t.Helper()
	first := map[uint64]string{} // the first name of each inode
	var lines []string
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		line := fmt.Sprintf("%q %o %d:%d links %d at %d.%09d", name, st.Mode, st.Uid, st.Gid, st.Nlink, st.Mtim.Sec, st.Mtim.Nsec)
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
			line = strings.Replace(line, fmt.Sprintf("links %d", st.Nlink), "", 1) // what it counts is the file system's
		case unix.S_IFREG:
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %d bytes %x", st.Size, sha256.Sum256(b))
		case unix.S_IFLNK:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			line += " -> " + target
		case unix.S_IFCHR, unix.S_IFBLK:
			line += fmt.Sprintf(" device %d, %d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
		}
		if st.Nlink > 1 && st.Mode&unix.S_IFMT != unix.S_IFDIR {
			if first[st.Ino] == "" {
				first[st.Ino] = name
			}
			line += " the same as " + first[st.Ino]
		}
		n := &inode{path: path}
		if err := n.readXattrs(); err != nil {
			return err
		}
		for _, x := range n.xattrs {
			line += fmt.Sprintf(" [%d %s=%x]", x.prefix, x.name, sha256.Sum256([]byte(x.value)))
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// TestMounted: what the kernel shows of a disk is what the folder was.
func TestMounted(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			dir := t.TempDir()
			randomTree(t, rand.New(rand.NewPCG(seed, 0)), dir)
			disk := writeDisk(t, dir)
			fsck(t, disk)
			if diff := cmp.Diff(listing(t, dir), listing(t, mounted(t, disk))); diff != "" {
				t.Errorf("-folder +disk:\n%s", diff)
			}
		})
	}
}

// randomTree fills dir with files of all types: above all with those whose size
// is near where the layout changes.
func randomTree(t *testing.T, r *rand.Rand, dir string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	root := os.Geteuid() == 0
	folders, files := []string{dir}, []string{}
	sizes := []int{0, 1, 31, 4000, 4031, 4032, 4033, 4095, 4096, 4097, 8191, 8192, 12288 + 4032, 100_000}
	letters := []rune("!-.~aZ0 \n,é\xff")
	for i := range 700 {
		name := make([]rune, 1+r.IntN(12))
		for j := range name {
			name[j] = letters[r.IntN(len(letters))]
		}
		base := fmt.Sprintf("%s%d", string(name), i)
		if r.IntN(40) == 0 {
			base += strings.Repeat("x", 255-len(base))
		}
		// The first folder gets most, so that it has many blocks.
		path := filepath.Join(folders[r.IntN(1+r.IntN(len(folders)))], base)
		switch kind := r.IntN(12); {
		case kind == 0:
			must(os.Mkdir(path, 0o755))
			folders = append(folders, path)
		case kind == 1:
			must(os.Symlink(strings.Repeat("t/", 1+r.IntN(2000)), path))
		case kind == 2:
			must(unix.Mkfifo(path, 0o600))
		case kind == 3 && root:
			must(unix.Mknod(path, unix.S_IFBLK|0o600, int(unix.Mkdev(uint32(r.IntN(1<<12)), uint32(r.IntN(1<<20))))))
		case kind == 4: // a whiteout
			must(unix.Mknod(path, unix.S_IFCHR, 0))
		case kind == 5 && len(files) > 0:
			must(os.Link(files[r.IntN(len(files))], path))
		default:
			b := make([]byte, sizes[r.IntN(len(sizes))])
			for i := range b {
				b[i] = byte(r.Uint32())
			}
			must(os.WriteFile(path, b, os.FileMode(r.IntN(0o1000))|0o400))
			files = append(files, path)
			if root {
				must(os.Lchown(path, r.IntN(1<<17), r.IntN(1<<17)))
				must(unix.Chmod(path, uint32(0o400|r.IntN(0o10000))))
			}
		}
	}
	for _, p := range slices.Concat(files, folders) {
		for _, name := range []string{"user.a", "user.bb.c", "trusted.overlay.opaque", "security.x"} {
			if r.IntN(4) == 0 && (root || strings.HasPrefix(name, "user.")) {
				err := unix.Lsetxattr(p, name, make([]byte, r.IntN(40)), 0)
				if err != nil && !errors.Is(err, unix.ENOTSUP) {
					must(err)
				}
			}
		}
		if r.IntN(40) == 0 {
			// More than a block; where a file system has less room there are none.
			unix.Lsetxattr(p, "user.large", bytes.Repeat([]byte("l"), 3000+r.IntN(20000)), 0)
		}
	}
	for _, p := range slices.Concat(files, folders) {
		must(unix.UtimesNanoAt(unix.AT_FDCWD, p, []unix.Timespec{{}, {Sec: r.Int64N(1<<33) - 1<<10, Nsec: r.Int64N(1e9)}}, unix.AT_SYMLINK_NOFOLLOW))
	}
}

// TestGolden: the bytes of a small disk.
func TestGolden(t *testing.T) {
	dir := t.TempDir()
	for _, err := range []error{
		os.WriteFile(dir+"/-before-dot", []byte("hello"), 0o644),
		os.WriteFile(dir+"/full", bytes.Repeat([]byte("block\n\n\n"), blockSize/8), 0o600),
		os.Mkdir(dir+"/sub", 0o755),
		os.Symlink("../full", dir+"/sub/link"),
		os.Link(dir+"/full", dir+"/sub/again"),
		unix.Mknod(dir+"/sub/gone", unix.S_IFCHR, 0),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	tree, err := readTree(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range tree.inodes { // what depends on who makes the folder, and where and when
		n.mode = n.mode&unix.S_IFMT | 0o644
		n.uid, n.gid, n.mtime = uint32(100*i), uint32(70_000), unix.Timespec{Sec: 1e9, Nsec: int64(i)}
		n.xattrs = nil
		if n.is(unix.S_IFDIR) {
			n.mode = unix.S_IFDIR | 0o755
			n.xattrs = []xattr{{4, "overlay.opaque", "y"}}
		}
	}
	path := filepath.Join(t.TempDir(), "disk")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := tree.write(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	fsck(t, path)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got := dump(b)
	const golden = "testdata/small.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("-want +got (go test -update writes it anew):\n%s", diff)
	}
}

var update = flag.Bool("update", false, "write testdata/small.golden anew")

// dump is hexdump -C: a line like the one before is left out.
func dump(b []byte) string {
	var out strings.Builder
	last := ""
	for line := range strings.Lines(hex.Dump(b)) {
		if rest := line[8:]; rest != last {
			out.WriteString(line)
			last = rest
		}
	}
	return out.String()
}

// TestOwner: owners that could not be given are on the disk.
func TestOwner(t *testing.T) {
	dir := t.TempDir()
	sub := filepath.Join(dir, "sub")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	set := func(name, value string) {
		t.Helper()
		if err := unix.Lsetxattr(sub, name, []byte(value), 0); errors.Is(err, unix.ENOTSUP) {
			t.Skip("the file system of ", dir, " has no extended attributes: set TMPDIR to one that has")
		} else if err != nil {
			t.Fatal(err)
		}
	}
	set(OwnerAttribute, "12:4000000000")
	set("user.overlay.opaque", "y")
	tree, err := readTree(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	n := tree.inodes[1]
	if n.uid != 12 || n.gid != 4_000_000_000 {
		t.Errorf("owner %d:%d", n.uid, n.gid)
	}
	if want := []xattr{{4, "overlay.opaque", "y"}}; !slices.Equal(n.xattrs, want) {
		t.Errorf("attributes %q, want %q", n.xattrs, want)
	}
	for _, bad := range []string{"", "1", "1:", "a:b", "1:2:3", "-1:2", "1:4294967296"} {
		set(OwnerAttribute, bad)
		if _, err := readTree(t.Context(), dir); err == nil || !strings.Contains(err.Error(), OwnerAttribute) {
			t.Errorf("the owner %q: %v", bad, err)
		}
	}
}

func TestFails(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, make([]byte, 10_000), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		dir  string
		want error
	}{
		{"no folder", t.Context(), dir + "/nowhere", fs.ErrNotExist},
		{"a file", t.Context(), file, unix.ENOTDIR},
		{"cancelled", ctx, dir, context.Canceled},
	} {
		if err := Write(tt.ctx, out, tt.dir); !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.dir) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	tree, err := readTree(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 5000); err != nil {
		t.Fatal(err)
	}
	if err := tree.write(t.Context(), out); err == nil || !strings.Contains(err.Error(), "shorter than its 10000 bytes") {
		t.Errorf("a file that shrinks: %v", err)
	}
	if b, err := os.ReadFile(out.Name()); err != nil || len(b) > superOffset && bytes.Contains(b[superOffset:superOffset+4], []byte{0xe2}) {
		t.Errorf("what a failure leaves has a superblock (%v)", err)
	}
}
