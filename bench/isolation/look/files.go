package look

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"vmctr/bench/isolation/errno"
	"vmctr/report/result/isolation"
)

// wellKnown are files that tell of a whole machine, or set it. Opening them does nothing.
var wellKnown = []string{
	"/proc/kcore", "/proc/kallsyms", "/proc/keys", "/proc/timer_list", "/proc/interrupts", "/proc/iomem", "/proc/config.gz",
	"/proc/acpi", "/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches", "/proc/sys/net/ipv4/ip_forward",
	"/sys/firmware", "/sys/kernel/debug", "/sys/kernel/security", "/sys/devices/virtual/powercap", "/sys/class/dmi/id/product_name",
	"/sys/fs/cgroup", "/sys/power/state", "/etc/shadow", "/root", "/dev/mem", "/dev/kmsg",
}

func (l *looker) files() {
	l.entries("devices", "/dev", l.name("/dev"))
	l.entries("proc", "/proc", "kernel")
	l.entries("sys", "/sys", "kernel")
	mounts, _ := l.mountinfo()
	for _, name := range wellKnown {
		l.wellKnown(name, mounts)
	}
}

// entries counts what is in a folder. What is in /proc and /sys is the kernel's, however
// often they are mounted.
func (l *looker) entries(fact, dir, name string) {
	all, err := l.names(dir)
	all = slices.DeleteFunc(all, isPID)
	if len(all) == 0 {
		l.shut(fact, err)
		return
	}
	text := fmt.Sprint(len(all))
	if fact == "devices" {
		text += ": " + strings.Join(all, ", ")
	}
	l.add(fact, text, name)
}

// name is that of a file in its kernel: two files that have the same one are one.
func (s System) name(p string) string {
	var st unix.Stat_t
	if unix.Stat(s.path(p), &st) != nil {
		return ""
	}
	return fmt.Sprint("file ", st.Dev, " ", st.Ino)
}

// wellKnown notes whether a file can be opened for reading and for writing.
func (l *looker) wellKnown(name string, mounts []mount) {
	s := isolation.Seen{Fact: "file", Of: name}
	var st unix.Stat_t
	if err := unix.Stat(l.path(name), &st); err != nil {
		if err != unix.ENOENT && err != unix.ENOTDIR {
			s.Shut = errno.Name(err)
		}
		l.seen = append(l.seen, s)
		return
	}
	s.Key = l.boot + " " + l.kernelFile(name)
	if masked(name, mounts, st) {
		s.Shut = "masked"
		l.seen = append(l.seen, s)
		return
	}
	dir := st.Mode&unix.S_IFMT == unix.S_IFDIR
	read := l.opens(name, unix.O_RDONLY)
	if read != nil {
		s.Text = ""
		s.Shut = errno.Name(read)
	} else {
		s.Text = "readable"
		if dir {
			s.Text = "can be listed"
			if all, _ := l.names(name); len(all) == 0 {
				s.Text, s.Shut = "", "an empty folder"
			}
		}
	}
	if !dir && st.Mode&0o222 != 0 && st.Mode&unix.S_IFMT != unix.S_IFBLK {
		switch write := l.opens(name, unix.O_WRONLY); {
		case write == nil && read == nil:
			s.Text = "readable and writable"
		case write == nil:
			s.Text, s.Shut = "writable", ""
		case write == unix.EROFS && read == nil:
			s.Text = "readable, read-only"
		case write == unix.EROFS:
			s.Shut = "read-only"
		case read == nil:
			s.Text = "readable, writing: " + errno.Name(write)
		}
	}
	l.seen = append(l.seen, s)
}

// kernelFile names a file of /proc or /sys, of which each kernel has one, however often
// it is mounted; the settings of a network namespace, and other files, by where they are.
func (l *looker) kernelFile(name string) string {
	switch {
	case strings.HasPrefix(name, "/proc/sys/net/"):
		return name + " " + l.namespace("net")
	case strings.HasPrefix(name, "/sys/fs/cgroup"):
	case strings.HasPrefix(name, "/proc/"), strings.HasPrefix(name, "/sys/"):
		return name
	case strings.HasPrefix(name, "/dev/"):
		var st unix.Stat_t
		unix.Stat(l.path(name), &st)
		return fmt.Sprint("device ", st.Rdev)
	}
	return l.name(name)
}

// masked tells whether something empty lies over a file: /dev/null over a file, and an
// empty file system in memory over a folder (OCI runtime-spec, config-linux.md, "Masked
// Paths").
func masked(name string, mounts []mount, st unix.Stat_t) bool {
	if st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3) && name != "/dev/null" {
		return true
	}
	for _, m := range mounts {
		if m.at == name && m.typ == "tmpfs" && name != "/sys/fs/cgroup" {
			return true
		}
	}
	return false
}

func (s System) opens(name string, how int) error {
	fd, err := unix.Open(s.path(name), how|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err
}
