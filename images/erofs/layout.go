package erofs

import (
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

// layout is a tree with a place for everything.
type layout struct {
	*tree
	root   *inode
	blocks int64 // in all
}

// place gives each inode its number and its content its blocks.
func place(t *tree) (*layout, error) {
	l := &layout{tree: t, root: t.inodes[0]}
	// Block 0 is the superblock's. No inode has the number 0, which readers of
	// folders take for an entry that was deleted; and the root's number, which
	// the superblock has 16 bits for, is the first.
	at := int64(blockSize)
	for _, n := range t.inodes {
		at = n.place(at)
	}
	at = ceil(at)
	// Folders first: to look for a file reads many of them.
	for _, folders := range []bool{true, false} {
		for _, n := range t.inodes {
			if n.is(unix.S_IFDIR) == folders && n.size > int64(n.inline) {
				n.block = at >> blockBits
				at = ceil(at + n.size - int64(n.inline))
			}
		}
	}
	if l.blocks = at >> blockBits; l.blocks > math.MaxUint32 {
		return nil, fmt.Errorf("it needs %d blocks of %d bytes, and the format has %d", l.blocks, blockSize, uint32(math.MaxUint32))
	}
	return l, nil
}

// place puts the inode at the first fitting slot from at on, and gives the first
// byte behind it. The rules: an inode does not cross the end of a block, nor does
// its tail; and the tail follows the inode and its attributes at once. So either
// all are in one block, or there is no tail and the inode begins one.
func (n *inode) place(at int64) (end int64) {
	at = (at + slotSize - 1) &^ (slotSize - 1)
	room := blockSize - at%blockSize
	size := int64(inodeSize + n.xattrSize())
	if tail := n.size % blockSize; size+tail <= blockSize {
		n.inline = int(tail)
		size += tail
	}
	if size > room {
		at = ceil(at)
	}
	n.nid = at >> slotBits
	return at + size
}

// ceil is the begin of the next block, or at if one begins there.
func ceil(at int64) int64 { return (at + blockSize - 1) &^ (blockSize - 1) }
