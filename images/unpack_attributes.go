package images

import (
	"archive/tar"
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ownerAttribute says, in a layer that was unpacked without root, whose a file
// is in the image, as "UID:GID" in decimal. A symbolic link and a FIFO, which can
// have no such attribute (xattr(7)), are without.
const ownerAttribute = "user.bench.owner"

// attributes are what a file has besides its content.
type attributes struct {
	mode     uint32 // permissions, and the set-ID and sticky bits
	have     uint32 // the mode that it has already, or unknown
	uid, gid int    // in the image
	mtime    unix.Timespec
	xattrs   []xattr
	opaque   bool // a folder that hides what lower layers have
}

const unknown = ^uint32(0)

// xattr is an extended attribute (xattr(7)).
type xattr struct{ name, value string }

// attributes reads those of an entry.
func (u *unpacker) attributes(h *tar.Header) (*attributes, error) {
	a := &attributes{
		mode: uint32(h.Mode) & 0o7777, have: unknown, uid: h.Uid, gid: h.Gid,
		mtime: unix.Timespec{Sec: h.ModTime.Unix(), Nsec: int64(h.ModTime.Nanosecond())},
	}
	// 2^32-1 is "leave it" in chown(2).
	if a.uid < 0 || a.gid < 0 || int64(a.uid) >= 1<<32-1 || int64(a.gid) >= 1<<32-1 {
		return nil, fmt.Errorf("its owner %d:%d is none that Linux has", h.Uid, h.Gid)
	}
	for key, value := range h.PAXRecords {
		name, is := strings.CutPrefix(key, "SCHILY.xattr.")
		if !is {
			continue
		}
		keep, err := u.keeps(name, h.Typeflag)
		if err != nil {
			return nil, err
		}
		if keep {
			a.xattrs = append(a.xattrs, xattr{name, value})
		}
	}
	return a, nil
}

// keeps tells whether an extended attribute is unpacked.
//
//   - user: what users attach to their files, which means nothing to the kernel.
//   - security.capability: the powers of a program, such as ping's to open raw
//     sockets. It counts for those who can reach the program, as a set-user-ID
//     bit does. It takes root.
//   - trusted.overlay and user.overlay: overlayfs would take them for its own
//     marks: a layer could have files that others do not see, or that are others
//     than they look. They are refused, since to leave them out would give another
//     tree than whoever made the layer had in mind.
//   - All others are left out, as by Docker's own builds: labels of security
//     modules (security.selinux, .ima) and trusted attributes are about this
//     host's policy, which an image has no say in, and lists of rights
//     (system.posix_acl_access) about its users.
func (u *unpacker) keeps(name string, kind byte) (bool, error) {
	switch {
	case strings.HasPrefix(name, "trusted.overlay."), strings.HasPrefix(name, "user.overlay."):
		return false, fmt.Errorf("extended attribute %q: it is a mark of overlayfs, which a layer sets with whiteouts alone (image-spec, layer.md)", short(name))
	case strings.HasPrefix(name, "user.bench."):
		return false, nil // ours
	case kind != tar.TypeReg && kind != tar.TypeGNUSparse && kind != tar.TypeDir:
		return false, nil
	case name == "security.capability":
		return u.root && kind != tar.TypeDir, nil
	}
	return strings.HasPrefix(name, "user.") && name != "user.", nil
}

// describe gives a file, or a folder, all that a has.
func (u *unpacker) describe(fd int, a *attributes) error {
	switch {
	case !u.root:
		if a.uid != u.uid || a.gid != u.gid {
			if err := setxattr(fd, ownerAttribute, fmt.Sprintf("%d:%d", a.uid, a.gid)); err != nil {
				return err
			}
		}
	case a.uid != u.uid || a.gid != u.gid || u.merged:
		// In a merged tree a folder may be another's already.
		if err := unix.Fchown(fd, a.uid, a.gid); err != nil {
			return fmt.Errorf("fchown: %w", err)
		}
	}
	if a.opaque && !u.merged {
		if err := setxattr(fd, u.opaqueAttribute(), "y"); err != nil {
			return err
		}
	}
	// After the owner, whose change clears capabilities and set-ID bits.
	for _, x := range a.xattrs {
		if err := setxattr(fd, x.name, x.value); err != nil {
			return err
		}
	}
	if a.mode != a.have {
		if err := unix.Fchmod(fd, a.mode); err != nil {
			return fmt.Errorf("fchmod: %w", err)
		}
	}
	times := [2]unix.Timespec{a.mtime, a.mtime}
	// Without a name it is the descriptor's file (utimensat(2), futimens).
	if _, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&times)), 0, 0, 0); errno != 0 {
		return fmt.Errorf("utimensat: %w", errno)
	}
	return nil
}

func setxattr(fd int, name, value string) error {
	err := unix.Fsetxattr(fd, name, []byte(value), 0)
	if errors.Is(err, unix.ENOTSUP) && strings.HasPrefix(name, "user.") && name != ownerAttribute && !strings.HasPrefix(name, "user.overlay.") {
		return nil // such as tmpfs before Linux 6.6: nothing in an image rests on it
	}
	if err != nil {
		return fmt.Errorf("extended attribute %q of %d bytes: fsetxattr: %w", short(name), len(value), err)
	}
	return nil
}

// describeAt is for what is not opened, symbolic links and FIFOs, and leaves their
// modes: those of links have no meaning.
func (u *unpacker) describeAt(p place, a *attributes) error {
	if u.root && (a.uid != u.uid || a.gid != u.gid) {
		if err := unix.Fchownat(p.fd, p.base, a.uid, a.gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return fmt.Errorf("fchownat: %w", err)
		}
	}
	return unix.UtimesNanoAt(p.fd, p.base, []unix.Timespec{a.mtime, a.mtime}, unix.AT_SYMLINK_NOFOLLOW)
}

// processUmask reads this process's umask(2), which to ask for with the system
// call is to change. It is in /proc/PID/status since Linux 4.7.
var processUmask = sync.OnceValues(func() (uint32, error) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if text, ok := strings.CutPrefix(s.Text(), "Umask:"); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(text), 8, 32)
			return uint32(n), err
		}
	}
	return 0, errors.New("/proc/self/status has no Umask")
})

// givesAway tells whether this process is the host's root, who may give files to
// any owner and set trusted attributes. A root of a user namespace may not
// (the kernel's include/linux/proc_ns.h has the inode, PROC_USER_INIT_INO).
var givesAway = sync.OnceValue(func() bool {
	var st unix.Stat_t
	err := unix.Stat("/proc/self/ns/user", &st)
	return os.Geteuid() == 0 && err == nil && st.Ino == 0xEFFFFFFD
})
