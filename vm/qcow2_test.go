package vm

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// sparseFile makes a file of a size, with a beginning.
func sparseFile(t *testing.T, name string, size int64, begin string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(begin), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	return path
}

// header is the beginning of a qcow2 file, changed.
func header(t testing.TB, mutate func(*qcow2Header)) string {
	t.Helper()
	h := qcow2Header{Magic: [4]byte([]byte(qcow2Magic)), Version: 3, ClusterBits: 16, Size: 1 << 20, HeaderLength: 104, RefcountOrder: 4}
	mutate(&h)
	var b bytes.Buffer
	if err := binary.Write(&b, binary.BigEndian, h); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestOpenDisk(t *testing.T) {
	plain := header(t, func(*qcow2Header) {})
	for _, tt := range []struct {
		name, begin string
		size        int64 // of the file
		format      string
		seen        int64 // of the disk
		err         string
	}{
		{"raw", "", 1000, Raw, 1000, ""},
		{"qcow2", plain, 1 << 16, Qcow2, 1 << 20, ""},
		{"version 2", header(t, func(h *qcow2Header) { h.Version, h.IncompatibleFeatures = 2, ^uint64(0) }), 72, Qcow2, 1 << 20, ""},
		{"short", plain[:100], 100, "", 0, "ends within its header"},
		{"version 4", header(t, func(h *qcow2Header) { h.Version = 4 }), 1 << 16, "", 0, "of version 4"},
		{"backing file", header(t, func(h *qcow2Header) { h.BackingFileOffset = 200 }), 1 << 16, "", 0, "names another file"},
		{"data file", header(t, func(h *qcow2Header) { h.IncompatibleFeatures = externalData }), 1 << 16, "", 0, "names another file"},
		{"encrypted", header(t, func(h *qcow2Header) { h.CryptMethod = 2 }), 1 << 16, "", 0, "encrypted"},
		{"no size", header(t, func(h *qcow2Header) { h.Size = 0 }), 1 << 16, "", 0, "of a disk of 0 bytes"},
		{"huge", header(t, func(h *qcow2Header) { h.Size = 1 << 63 }), 1 << 16, "", 0, "of a disk of 9223372036854775808 bytes"},
		{"empty", "", 0, "", 0, "it is empty"},
		{"VMDK", "KDMV\x01", 1 << 16, "", 0, "in the format VMDK"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := sparseFile(t, "disk", tt.size, tt.begin)
			d, size, err := OpenDisk(path)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), "the disk "+path) || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("%v, want %q", err, tt.err)
				}
				return
			}
			if want := (Disk{Path: path, Format: tt.format}); d != want || size != tt.seen || err != nil {
				t.Errorf("%+v of %d bytes, want %+v of %d (%v)", d, size, want, tt.seen, err)
			}
		})
	}
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{dir: "it is a folder", fifo: "neither a file nor a block device", os.DevNull: "neither", dir + "/missing": "no such file"} {
		if _, _, err := OpenDisk(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

// TestOverlay has QEMU's own program check overlays of disks of many sizes.
func TestOverlay(t *testing.T) {
	for _, tt := range []struct {
		name string
		size int64
		seen int64
	}{
		{"a byte", 1, 512},
		{"a sector more", 512<<20 + 512, 512<<20 + 512}, // two entries of the first level
		{"a terabyte", 1 << 40, 1 << 40},
		{"more than a cluster of the first level", 4<<40 + 1, 4<<40 + 512},
	} {
		t.Run(tt.name, func(t *testing.T) {
			base := sparseFile(t, "with, comma: and colon", tt.size, "base")
			path := filepath.Join(t.TempDir(), "overlay")
			d, err := Overlay(path, base)
			if want := (Disk{Path: path, Format: Qcow2}); d != want || err != nil {
				t.Fatalf("%+v, want %+v (%v)", d, want, err)
			}
			if _, err := Overlay(path, base); err == nil {
				t.Error("written over another")
			}
			if st, err := os.Stat(path); err != nil || st.Size()%clusterSize != 0 {
				t.Errorf("%v", err)
			}
			if _, _, err := OpenDisk(path); err == nil || !strings.Contains(err.Error(), "names another file") {
				t.Errorf("an overlay passes for a disk of its own: %v", err)
			}
			checkByQEMU(t, path, base, Raw, tt.seen)
		})
	}
	t.Run("over qcow2", func(t *testing.T) {
		// A disk of zeros, which is based on nothing.
		c, err := overlay(Disk{Path: "/base"}, 3<<30)
		if err != nil {
			t.Fatal(err)
		}
		copy(c.head[8:], make([]byte, 8)) // the place of the name of a backing file
		base := sparseFile(t, "base", c.size, string(c.head))
		path := filepath.Join(t.TempDir(), "overlay")
		if _, err := Overlay(path, base); err != nil {
			t.Fatal(err)
		}
		checkByQEMU(t, path, base, Qcow2, 3<<30)
	})
	if _, err := overlay(Disk{Path: "/" + strings.Repeat("a", 1023)}, 512); err == nil || !strings.Contains(err.Error(), "room for 1023") {
		t.Errorf("a path of 1024 bytes: %v", err)
	}
	if _, err := overlay(Disk{Path: "/a"}, 1<<51+512); err == nil || !strings.Contains(err.Error(), "more than QEMU can open") {
		t.Errorf("more than 2 PiB: %v", err)
	}
	if c, err := overlay(Disk{Path: "/a"}, 1<<51); err != nil || c.size != (3+512)<<clusterBits {
		t.Errorf("2 PiB: %d bytes, %v", c.size, err)
	}
}

// checkByQEMU skips the rest of a test where qemu-img is not installed.
func checkByQEMU(t *testing.T, path, base, format string, size int64) {
	t.Helper()
	img, err := exec.LookPath("qemu-img")
	if err != nil {
		if slices.Contains(strings.Split(os.Getenv("BENCH_REQUIRE"), ","), "qemu") {
			t.Fatal(err)
		}
		t.Skip("qemu-img, which checks the overlay, is not installed; sudo scripts/test installs it")
	}
	if out, err := exec.Command(img, "check", "-f", "qcow2", path).CombinedOutput(); err != nil {
		t.Errorf("qemu-img check: %v\n%s", err, out)
	}
	out, err := exec.Command(img, "info", "--output=json", "-f", "qcow2", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	var info struct {
		Size    int64  `json:"virtual-size"`
		Backing string `json:"full-backing-filename"`
		Format  string `json:"backing-filename-format"`
	}
	if err := json.Unmarshal(out, &info); err != nil {
		t.Fatal(err)
	}
	if info.Size != size || info.Backing != base || info.Format != format {
		t.Errorf("qemu-img sees %+v, want %d bytes over %s, %s", info, size, base, format)
	}
}

// FuzzQcow2Size: whatever a file begins with, its size is one that QEMU could have.
func FuzzQcow2Size(f *testing.F) {
	f.Add([]byte(header(f, func(*qcow2Header) {})))
	f.Add([]byte(header(f, func(h *qcow2Header) { h.Version = 2 }))[:72])
	f.Fuzz(func(t *testing.T, begin []byte) {
		size, err := qcow2Size(begin)
		if err != nil {
			return
		}
		if _, err := overlay(Disk{Path: "/base", Format: Qcow2}, size); err != nil || size <= 0 {
			t.Errorf("a disk of %d bytes, of which there is no overlay: %v", size, err)
		}
	})
}
