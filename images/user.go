package images

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// ResolveUser finds who USER[:GROUP] is, each a name or a number, in the
// contents of /etc/passwd and /etc/group of an image (passwd(5), group(5)), as
// Docker does: a user that is a number needs no entry, and is then in group 0.
func ResolveUser(who string, passwd, group []byte) (u specs.User, home string, err error) {
	name, groupName, hasGroup := strings.Cut(who, ":")
	if name == "" {
		name = "0"
	}
	home = "/"
	entry := entryOf(passwd, name, 7)
	switch n, numErr := strconv.ParseUint(name, 10, 31); {
	case entry != nil:
		uid, e1 := strconv.ParseUint(entry[2], 10, 32)
		gid, e2 := strconv.ParseUint(entry[3], 10, 32)
		if e1 != nil || e2 != nil {
			return u, "", fmt.Errorf("user %s: the image's /etc/passwd has no numbers for it: %q", name, strings.Join(entry, ":"))
		}
		u.UID, u.GID = uint32(uid), uint32(gid)
		if name = entry[0]; entry[5] != "" {
			home = entry[5]
		}
	case numErr == nil:
		u.UID = uint32(n)
	default:
		return u, "", fmt.Errorf("user %s: there is none of that name in the image's /etc/passwd", name)
	}
	if hasGroup {
		entry := entryOf(group, groupName, 4)
		number := groupName
		if entry != nil {
			number = entry[2]
		}
		n, err := strconv.ParseUint(number, 10, 31)
		if err != nil {
			return u, "", fmt.Errorf("group %s: there is none of that name in the image's /etc/group", groupName)
		}
		u.GID = uint32(n)
		return u, home, nil
	}
	for line := range strings.Lines(string(group)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) == 4 && slices.Contains(strings.Split(f[3], ","), name) {
			if n, err := strconv.ParseUint(f[2], 10, 32); err == nil && uint32(n) != u.GID {
				u.AdditionalGids = append(u.AdditionalGids, uint32(n))
			}
		}
	}
	return u, home, nil
}

// entryOf finds the line whose first field or third, the number, is key.
func entryOf(file []byte, key string, fields int) []string {
	for line := range strings.Lines(string(file)) {
		if f := strings.Split(strings.TrimSpace(line), ":"); len(f) >= fields && (f[0] == key || f[2] == key) {
			return f
		}
	}
	return nil
}

// ReadFile reads a file of an image from the folders of its layers, the lowest first;
// nothing if it has none: the topmost layer's that has it, unless a layer hides what is
// below. The image is not trusted: no link leads out of it.
func ReadFile(layers []string, name string) []byte {
	for _, dir := range slices.Backward(layers) {
		root, err := os.OpenRoot(dir)
		if err != nil {
			continue
		}
		b, err := root.ReadFile(name)
		root.Close()
		if err == nil {
			return b
		}
		if hides(dir, name) {
			return nil
		}
	}
	return nil
}

// hides tells whether a layer hides what the layers below have at a path: it has
// a whiteout on the way there, an opaque folder, or something else than a folder
// (Documentation/filesystems/overlayfs.rst).
func hides(dir, name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		dir = filepath.Join(dir, part)
		var st unix.Stat_t
		if unix.Lstat(dir, &st) != nil {
			return false
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			return true
		}
		for _, attribute := range []string{"trusted.overlay.opaque", "user.overlay.opaque"} {
			var value [1]byte
			if n, err := unix.Lgetxattr(dir, attribute, value[:]); err == nil && string(value[:n]) == "y" {
				return true
			}
		}
	}
	return false
}
