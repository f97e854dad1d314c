// Package erofs writes a folder as an EROFS disk: a file system that is only
// ever read, and so is simple enough to be written in one go.
//
// A file system is a way to lay a tree of files on a row of numbered blocks.
// One that can be written to spends most of its design on what changes: which
// blocks are free, and what a loss of power leaves behind. An image's layer
// does not change. What remains is the part that every file system has:
//
//	block 0     the superblock, at byte 1024: what this is, and where its root is
//	block 1...  the inodes: one for each file, with its owner, mode, size, time
//	            and extended attributes, and where its content is
//	then        the content of folders: names, each with the number of an inode
//	then        the content of files
//
// An inode has no name. Its number is its place: inode N begins at byte N*32.
// Names are in folders, so that one inode may have several (hard links), and to
// open /etc/passwd means to read the root's inode, then its content for "etc",
// then that inode, then its content for "passwd".
//
// Most files are small, and the last block of a file is half empty on average.
// So what does not fill a block, the tail, lies right behind the inode, if both
// fit in one block: a small file costs no block at all, and one read fetches
// inode and content. (The format calls it "flat inline"; a file that is in whole
// blocks only is "flat plain".)
//
// A folder's content is made to be searched, not read: in each block first come
// the entries, 12 bytes each, then the names that they point to, and names
// ascend, byte by byte, within a block and from one to the next. The kernel finds
// a name by binary search of the blocks and then within one.
//
// The format can do more: compress, share blocks between files, span devices.
// None of that is written here.
//
// The same tree gives the same bytes. Nothing comes from the clock, or from the
// inode numbers of the host; names are in order, and the UUID is derived from the
// content.
//
// The format is defined by Linux's fs/erofs/erofs_fs.h, and explained in its
// Documentation/filesystems/erofs.rst. Files:
//
//	tree.go    reads the folder: names, inodes, extended attributes
//	layout.go  gives each inode and each content its place
//	format.go  the structures, byte by byte
//	write.go   writes them, in the order of their places
package erofs
