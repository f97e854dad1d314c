package vm

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// A Disk is one of a machine's: a file of the host, or one of its block devices.
//
// QEMU can look for itself what format a file is in, and must not: a guest that may
// write to a raw disk can write there the header of another format, which names any
// file of the host as what the disk is based on; whoever then looks shows the guest
// that file (qemu-img(1), "Security"). So it is told the format, always.
type Disk struct {
	Path     string // absolute: what begins with a word and a colon, QEMU takes for a protocol
	Format   string // Raw (or "") or Qcow2
	ReadOnly bool
}

// The formats of disks.
const (
	Raw   = "raw"   // byte for byte what the machine sees
	Qcow2 = "qcow2" // QEMU's own, which holds what was written, and may lie over another disk
)

func (d Disk) format() string { return cmp.Or(d.Format, Raw) }

// access is a part of the option -drive.
func (d Disk) access() string {
	if d.ReadOnly {
		return ",readonly=on"
	}
	return ""
}

func (d Disk) check() error {
	switch {
	case !filepath.IsAbs(d.Path):
		return fmt.Errorf("%q: not an absolute path", d.Path)
	case d.format() != Raw && d.format() != Qcow2:
		return fmt.Errorf("%s: the format %q is none of %q", d.Path, d.Format, []string{Raw, Qcow2})
	}
	return nil
}

// foreign are the beginnings of formats that QEMU knows too, and that are not raw.
var foreign = []struct{ magic, name string }{
	{"KDMV", "VMDK"}, {"vhdxfile", "VHDX"}, {"conectix", "VHD"}, {"QED\x00", "QED"}, {"<<< ", "VDI"},
}

// OpenDisk finds out what format a file is in by what it begins with, and how many
// bytes the machine will see. A qcow2 file that names other files of the host is
// refused: it is data, and it does not say what its reader may see.
func OpenDisk(path string) (d Disk, size int64, err error) {
	d = Disk{Format: Raw}
	fail := func(err error) (Disk, int64, error) {
		return Disk{}, 0, fmt.Errorf("the disk %s: %w", path, err)
	}
	if d.Path, err = filepath.Abs(path); err != nil {
		return fail(err)
	}
	// Before it is opened: a pipe would wait for a writer.
	switch st, err := os.Stat(path); {
	case err != nil:
		return fail(errors.Unwrap(err))
	case st.IsDir():
		return fail(errors.New("it is a folder; a disk is a file, or a block device"))
	case !st.Mode().IsRegular() && st.Mode()&(os.ModeDevice|os.ModeCharDevice) != os.ModeDevice:
		return fail(errors.New("it is neither a file nor a block device"))
	}
	f, err := os.Open(path)
	if err != nil {
		return fail(errors.Unwrap(err))
	}
	defer f.Close()
	if size, err = f.Seek(0, io.SeekEnd); err != nil { // a device has no other size
		return fail(err)
	}
	if size == 0 {
		return fail(errors.New("it is empty, and so no disk; truncate -s 1G makes one of it"))
	}
	begin := make([]byte, qcow2HeaderSize)
	if n, err := f.ReadAt(begin, 0); err != nil && err != io.EOF {
		return fail(err)
	} else {
		begin = begin[:n]
	}
	for _, f := range foreign {
		if bytes.HasPrefix(begin, []byte(f.magic)) {
			return fail(fmt.Errorf("it is in the format %s, and a machine here has raw and qcow2 disks: qemu-img convert -O qcow2 makes one of it", f.name))
		}
	}
	if bytes.HasPrefix(begin, []byte(qcow2Magic)) {
		d.Format = Qcow2
		if size, err = qcow2Size(begin); err != nil {
			return fail(err)
		}
	}
	return d, size, nil
}
