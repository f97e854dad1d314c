package erofs

import (
	"encoding/binary"
	"hash/crc32"
	"strings"

	"golang.org/x/sys/unix"
)

// The sizes of the format (fs/erofs/erofs_fs.h). All numbers are little-endian.
const (
	blockBits   = 12
	blockSize   = 1 << blockBits
	superOffset = 1024 // of the superblock in block 0: before it is room for a boot loader
	superSize   = 128
	inodeSize   = 64 // of the extended form; the compact one, 32 bytes, has no time of its own
	slotBits    = 5  // an inode's number counts slots of 32 bytes
	slotSize    = 1 << slotBits
	direntSize  = 12
	xattrHeader = 12 // before the extended attributes of an inode
	xattrEntry  = 4  // before the name of each

	magic = 0xE0F5E1E2

	// Features that a reader may ignore: the superblock has a checksum, and the
	// time of an inode is that of its last modification.
	compatChecksum = 1 << 0
	compatMtime    = 1 << 1

	// i_format: bit 0 is set for the extended form, bits 1 to 3 say how the
	// content lies.
	formatExtended = 1
	flatPlain      = 0
	flatInline     = 2
)

// superblock is block 0. uuid is set, and the checksum computed, last.
func (l *layout) superblock(uuid [16]byte) []byte {
	b := make([]byte, blockSize)
	s := b[superOffset:]
	le := binary.LittleEndian
	le.PutUint32(s[0:], magic)
	le.PutUint32(s[8:], compatChecksum|compatMtime)
	s[12] = blockBits
	le.PutUint16(s[14:], uint16(l.root.nid))
	le.PutUint64(s[16:], uint64(len(l.inodes)))
	le.PutUint32(s[36:], uint32(l.blocks))
	// The first blocks of inodes (40) and of shared attributes (44) are 0:
	// numbers count from the begin of the disk, and no attributes are shared.
	copy(s[48:], uuid[:])
	// What a reader must know (80) is 0: nothing is compressed or chunked.
	// CRC-32C as the kernel computes it, without the inversion at the end.
	le.PutUint32(s[4:], ^crc32.Checksum(s, crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// encode appends the inode and its extended attributes, but not its tail.
func (n *inode) encode(b []byte) []byte {
	format := uint16(formatExtended | flatPlain<<1)
	if n.inline > 0 {
		format = formatExtended | flatInline<<1
	}
	where := uint32(n.block)
	if n.isDevice() {
		where = newEncodeDev(n.rdev)
	}
	le := binary.LittleEndian
	b = le.AppendUint16(b, format)
	b = le.AppendUint16(b, n.xattrCount())
	b = le.AppendUint16(b, uint16(n.mode))
	b = le.AppendUint16(b, 0)
	b = le.AppendUint64(b, uint64(n.size))
	b = le.AppendUint32(b, where)
	b = le.AppendUint32(b, n.serial) // for a stat(2) of 32 bits
	b = le.AppendUint32(b, n.uid)
	b = le.AppendUint32(b, n.gid)
	b = le.AppendUint64(b, uint64(n.mtime.Sec))
	b = le.AppendUint32(b, uint32(n.mtime.Nsec))
	b = le.AppendUint32(b, n.links)
	b = append(b, make([]byte, 16)...)
	if len(n.xattrs) == 0 {
		return b
	}
	b = append(b, make([]byte, xattrHeader)...) // no filter of names, none shared
	for _, x := range n.xattrs {
		b = append(b, byte(len(x.name)), x.prefix)
		b = le.AppendUint16(b, uint16(len(x.value)))
		b = append(b, x.name...)
		b = append(b, x.value...)
		b = append(b, make([]byte, pad(len(x.name)+len(x.value), 4))...)
	}
	return b
}

// xattrSize is how many bytes the extended attributes take.
func (n *inode) xattrSize() int {
	if len(n.xattrs) == 0 {
		return 0
	}
	size := xattrHeader
	for _, x := range n.xattrs {
		size += align(xattrEntry+len(x.name)+len(x.value), 4)
	}
	return size
}

// xattrCount is that size as an inode says it: in fours, where the header counts
// as one.
func (n *inode) xattrCount() uint16 {
	if len(n.xattrs) == 0 {
		return 0
	}
	return uint16((n.xattrSize()-xattrHeader)/4 + 1)
}

// newEncodeDev is how Linux writes the number of a device in 32 bits
// (include/linux/kdev_t.h, new_encode_dev).
func newEncodeDev(rdev uint64) uint32 {
	major, minor := unix.Major(rdev), unix.Minor(rdev)
	return minor&0xff | major<<8 | minor&^0xff<<12
}

// xattrPrefixes are the begins of names that are written as a number.
var xattrPrefixes = []struct {
	name  string
	index byte
}{
	{"system.posix_acl_access", 2}, {"system.posix_acl_default", 3},
	{"user.", 1}, {"trusted.", 4}, {"security.", 6},
}

// splitXattr splits a name in its prefix's number and the rest.
func splitXattr(name string) (index byte, rest string, ok bool) {
	for _, p := range xattrPrefixes {
		if rest, ok := strings.CutPrefix(name, p.name); ok && (rest == "") != strings.HasSuffix(p.name, ".") {
			return p.index, rest, true
		}
	}
	return 0, "", false
}

// fileTypes are the types in a folder's entries.
var fileTypes = map[uint32]byte{
	unix.S_IFREG: 1, unix.S_IFDIR: 2, unix.S_IFCHR: 3, unix.S_IFBLK: 4, unix.S_IFIFO: 5, unix.S_IFSOCK: 6, unix.S_IFLNK: 7,
}

// content is what a folder holds: blocks of entries, each followed by their
// names. The last block ends with its last name.
func (n *inode) content() []byte {
	b := make([]byte, 0, n.size)
	for _, entries := range n.dirBlocks() {
		b = append(b, make([]byte, pad(len(b), blockSize))...)
		at := len(entries) * direntSize
		for _, e := range entries {
			b = binary.LittleEndian.AppendUint64(b, uint64(e.inode.nid))
			b = binary.LittleEndian.AppendUint16(b, uint16(at))
			b = append(b, fileTypes[e.inode.mode&unix.S_IFMT], 0)
			at += len(e.name)
		}
		for _, e := range entries {
			b = append(b, e.name...)
		}
	}
	return b
}

// dirBlocks are a folder's entries, as they share blocks.
func (n *inode) dirBlocks() (blocks [][]entry) {
	begin, used := 0, 0
	for i, e := range n.entries {
		if need := direntSize + len(e.name); used+need > blockSize {
			blocks = append(blocks, n.entries[begin:i])
			begin, used = i, need
		} else {
			used += need
		}
	}
	return append(blocks, n.entries[begin:])
}

// dirSize is how many bytes a folder's content has.
func (n *inode) dirSize() (size int64) {
	blocks := n.dirBlocks()
	for _, e := range blocks[len(blocks)-1] {
		size += direntSize + int64(len(e.name))
	}
	return size + int64(len(blocks)-1)*blockSize
}

func align(n, to int) int { return n + pad(n, to) }

// pad is how much is missing to a multiple of to.
func pad(n, to int) int { return (to - n%to) % to }
