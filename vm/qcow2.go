package vm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
)

// A qcow2 file (QEMU, docs/interop/qcow2.txt) holds a disk in clusters, those alone
// that have been written. Two levels of tables lead from where a cluster is on the
// disk to where it is in the file. What no table has is read from the backing file,
// if the header names one: so a file without any cluster is a copy of a whole disk,
// made in no time, and any number of machines can have one over the same base, which
// none of them writes to.

const (
	qcow2Magic      = "QFI\xfb"
	qcow2HeaderSize = 104 // of version 3, without what was added since
	clusterBits     = 16
	clusterSize     = 1 << clusterBits
	maxL1Bytes      = 32 << 20 // QEMU's own limit: 2 PiB with these clusters
	maxBackingName  = 1023
)

// qcow2Header is what a qcow2 file begins with; all of it is big-endian.
type qcow2Header struct {
	Magic                 [4]byte
	Version               uint32
	BackingFileOffset     uint64
	BackingFileSize       uint32
	ClusterBits           uint32
	Size                  uint64 // of the disk, in bytes
	CryptMethod           uint32
	L1Size                uint32 // entries: of each, a table of the second level hangs
	L1TableOffset         uint64
	RefcountTableOffset   uint64
	RefcountTableClusters uint32
	Snapshots             uint32
	SnapshotsOffset       uint64
	// From here on in version 3 alone.
	IncompatibleFeatures uint64
	CompatibleFeatures   uint64
	AutoclearFeatures    uint64
	RefcountOrder        uint32 // a count of references has 1 << RefcountOrder bits
	HeaderLength         uint32
}

// externalData is the incompatible feature of a file whose clusters are in another.
const externalData = 1 << 2

// backingFormat is the type of the header extension that says what format the backing
// file is in, so that nobody has to look.
const backingFormat = 0xe2792aca

// qcow2Size is the size in bytes of the disk in a qcow2 file, given its beginning.
func qcow2Size(begin []byte) (int64, error) {
	var h qcow2Header
	full := make([]byte, qcow2HeaderSize)
	copy(full, begin)
	if _, err := binary.Decode(full, binary.BigEndian, &h); err != nil {
		return 0, err
	}
	const l2Bytes = clusterSize / 8 * clusterSize
	switch {
	case len(begin) < 72 || h.Version == 3 && len(begin) < qcow2HeaderSize:
		return 0, errors.New("it begins as a qcow2 file, and ends within its header")
	case h.Version != 2 && h.Version != 3:
		return 0, fmt.Errorf("it is a qcow2 file of version %d, and there are 2 and 3", h.Version)
	case h.BackingFileOffset != 0, h.Version == 3 && h.IncompatibleFeatures&externalData != 0:
		return 0, errors.New("it is a qcow2 file that names another file, for what it does not hold itself, and would show that to the machine: qemu-img convert -O qcow2 makes one that holds all")
	case h.CryptMethod != 0:
		return 0, errors.New("it is encrypted")
	case h.Size == 0 || h.Size > maxL1Bytes/8*l2Bytes:
		return 0, fmt.Errorf("it is a qcow2 file of a disk of %d bytes", h.Size)
	}
	return int64(h.Size), nil
}

// Overlay writes a qcow2 file to path, which must not exist: a disk that is what base
// is, and keeps to itself what is written to it. The base is a path as it will be
// opened, by whoever opens the overlay; it must not change from then on.
func Overlay(path, base string) (Disk, error) {
	d, size, err := OpenDisk(base)
	if err != nil {
		return Disk{}, err
	}
	content, err := overlay(d, size)
	if err != nil {
		return Disk{}, fmt.Errorf("an overlay of the disk %s: %w", base, err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return Disk{}, err
	}
	_, err = f.Write(content.head)
	if err == nil {
		err = f.Truncate(content.size) // the rest is zeros
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return Disk{}, errors.Join(err, os.Remove(path))
	}
	return Disk{Path: path, Format: Qcow2}, nil
}

// sparse is the content of a file: its beginning, and zeros up to its size.
type sparse struct {
	head []byte
	size int64
}

// overlay is an overlay that nothing has been written to. These are its clusters:
//
//	0      the header, its extensions, and the name of the backing file
//	1      the table of the reference counts: where the blocks of counts are
//	2      the one block that there is: how often each of these clusters is used, once
//	3...   the first level of tables, empty
func overlay(base Disk, size int64) (sparse, error) {
	const tableAt, blockAt, l1At = 1, 2, 3
	if len(base.Path) > maxBackingName {
		return sparse{}, fmt.Errorf("its path has %d bytes, and qcow2 has room for %d", len(base.Path), maxBackingName)
	}
	const sector = 512 // QEMU sees whole ones
	size = (size + sector - 1) / sector * sector
	const perEntry = clusterSize / 8 * clusterSize // bytes of the disk
	entries := (size + perEntry - 1) / perEntry
	if entries*8 > maxL1Bytes {
		return sparse{}, fmt.Errorf("%d bytes are more than QEMU can open", size)
	}
	clusters := l1At + (entries*8+clusterSize-1)/clusterSize

	var extensions bytes.Buffer
	put := func(values ...any) {
		for _, v := range values {
			binary.Write(&extensions, binary.BigEndian, v) // to memory: it cannot fail
		}
	}
	format := []byte(base.format())
	put(uint32(backingFormat), uint32(len(format)), format, make([]byte, -len(format)&7))
	put(uint32(0), uint32(0)) // the end of the extensions

	head := make([]byte, l1At*clusterSize)
	at := qcow2HeaderSize + extensions.Len()
	if _, err := binary.Encode(head, binary.BigEndian, qcow2Header{
		Magic: [4]byte([]byte(qcow2Magic)), Version: 3, HeaderLength: qcow2HeaderSize,
		BackingFileOffset: uint64(at), BackingFileSize: uint32(len(base.Path)),
		ClusterBits: clusterBits, Size: uint64(size),
		L1Size: uint32(entries), L1TableOffset: l1At << clusterBits,
		RefcountTableOffset: tableAt << clusterBits, RefcountTableClusters: 1, RefcountOrder: 4,
	}); err != nil {
		return sparse{}, err
	}
	copy(head[qcow2HeaderSize:], extensions.Bytes())
	copy(head[at:], base.Path)
	binary.BigEndian.PutUint64(head[tableAt<<clusterBits:], blockAt<<clusterBits)
	for i := range clusters {
		binary.BigEndian.PutUint16(head[blockAt<<clusterBits+2*i:], 1)
	}
	return sparse{head, clusters << clusterBits}, nil
}
