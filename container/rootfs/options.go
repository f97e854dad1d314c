package rootfs

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// What a mount option of the runtime-spec means (config.md, "Linux mount
// options"; mount(8), mount_setattr(2)). Some belong to the mount, so that two
// mounts of one file system can differ; some to the file system itself; the
// others are the file system's own and are passed on to it.

// attribute is an option that the kernel keeps per mount.
type attribute struct {
	set, clear uint64
	text       string
}

var attributes = map[string]attribute{
	"ro":            {set: unix.MOUNT_ATTR_RDONLY, text: "MOUNT_ATTR_RDONLY"},
	"rw":            {clear: unix.MOUNT_ATTR_RDONLY, text: "-MOUNT_ATTR_RDONLY"},
	"nosuid":        {set: unix.MOUNT_ATTR_NOSUID, text: "MOUNT_ATTR_NOSUID"},
	"suid":          {clear: unix.MOUNT_ATTR_NOSUID, text: "-MOUNT_ATTR_NOSUID"},
	"nodev":         {set: unix.MOUNT_ATTR_NODEV, text: "MOUNT_ATTR_NODEV"},
	"dev":           {clear: unix.MOUNT_ATTR_NODEV, text: "-MOUNT_ATTR_NODEV"},
	"noexec":        {set: unix.MOUNT_ATTR_NOEXEC, text: "MOUNT_ATTR_NOEXEC"},
	"exec":          {clear: unix.MOUNT_ATTR_NOEXEC, text: "-MOUNT_ATTR_NOEXEC"},
	"nodiratime":    {set: unix.MOUNT_ATTR_NODIRATIME, text: "MOUNT_ATTR_NODIRATIME"},
	"diratime":      {clear: unix.MOUNT_ATTR_NODIRATIME, text: "-MOUNT_ATTR_NODIRATIME"},
	"nosymfollow":   {set: unix.MOUNT_ATTR_NOSYMFOLLOW, text: "MOUNT_ATTR_NOSYMFOLLOW"},
	"symfollow":     {clear: unix.MOUNT_ATTR_NOSYMFOLLOW, text: "-MOUNT_ATTR_NOSYMFOLLOW"},
	"noatime":       {set: unix.MOUNT_ATTR_NOATIME, clear: unix.MOUNT_ATTR__ATIME, text: "MOUNT_ATTR_NOATIME"},
	"strictatime":   {set: unix.MOUNT_ATTR_STRICTATIME, clear: unix.MOUNT_ATTR__ATIME, text: "MOUNT_ATTR_STRICTATIME"},
	"relatime":      {set: unix.MOUNT_ATTR_RELATIME, clear: unix.MOUNT_ATTR__ATIME, text: "MOUNT_ATTR_RELATIME"},
	"atime":         {clear: unix.MOUNT_ATTR__ATIME, text: "MOUNT_ATTR_RELATIME"},
	"norelatime":    {clear: unix.MOUNT_ATTR__ATIME, text: "MOUNT_ATTR_RELATIME"},
	"nostrictatime": {clear: unix.MOUNT_ATTR__ATIME, text: "MOUNT_ATTR_RELATIME"},
}

// propagations are how mounts spread between mount namespaces
// (Documentation/filesystems/sharedsubtree.rst). With an "r" before it, the
// mounts below are meant too.
var propagations = map[string]uint64{
	"private": unix.MS_PRIVATE, "slave": unix.MS_SLAVE, "shared": unix.MS_SHARED, "unbindable": unix.MS_UNBINDABLE,
}

// flags are options that the kernel keeps per file system, and their opposites,
// which are the default.
var flags = map[string]string{
	"sync": "sync", "async": "", "dirsync": "dirsync", "lazytime": "lazytime", "nolazytime": "",
	"mand": "mand", "nomand": "", "iversion": "iversion", "noiversion": "", "silent": "silent", "loud": "", "defaults": "",
}

// options are those of one mount, sorted.
type options struct {
	bind      bool
	recursive bool // rbind
	remount   bool
	copyUp    bool // tmpcopyup

	attr, rattr unix.MountAttr // of this mount, and of it and those below
	texts       []string       // of attr
	rtexts      []string

	propagation, rpropagation uint64

	mapped, rmapped bool     // idmap, ridmap
	flags           []string // of the file system
	data            [][2]string
}

func parseOptions(list []string) options {
	var o options
	apply := func(m *unix.MountAttr, a attribute) {
		m.Attr_set = m.Attr_set&^a.clear | a.set
		m.Attr_clr = m.Attr_clr&^a.set | a.clear
	}
	for _, s := range list {
		r, isR := strings.CutPrefix(s, "r")
		switch {
		case s == "bind":
			o.bind = true
		case s == "rbind":
			o.bind, o.recursive = true, true
		case s == "remount":
			o.remount = true
		case s == "idmap":
			o.mapped = true
		case s == "ridmap":
			o.mapped, o.rmapped = true, true
		case s == "tmpcopyup":
			o.copyUp = true
		case has(attributes, s):
			apply(&o.attr, attributes[s])
			o.texts = append(o.texts, attributes[s].text)
		case isR && has(attributes, r):
			apply(&o.rattr, attributes[r])
			o.rtexts = append(o.rtexts, attributes[r].text)
		case has(propagations, s):
			o.propagation = propagations[s]
		case isR && has(propagations, r):
			o.rpropagation = propagations[r]
		case has(flags, s):
			if f := flags[s]; f != "" {
				o.flags = append(o.flags, f)
			}
		default:
			if key, value, ok := strings.Cut(s, "="); ok {
				o.data = append(o.data, [2]string{key, value})
			} else {
				o.flags = append(o.flags, s)
			}
		}
	}
	return o
}

func has[V any](m map[string]V, k string) bool {
	_, ok := m[k]
	return ok
}

// text is the names of attributes as strace would print them.
func text(names []string) string {
	if len(names) == 0 {
		return "0"
	}
	return strings.Join(names, "|")
}

// MountOptions are the options that are known; others are passed on to the file
// system.
func MountOptions() []string {
	list := []string{"bind", "rbind", "remount", "idmap", "ridmap", "tmpcopyup"}
	for o := range attributes {
		list = append(list, o, "r"+o)
	}
	for o := range propagations {
		list = append(list, o, "r"+o)
	}
	for o := range flags {
		list = append(list, o)
	}
	slices.Sort(list)
	return list
}
