package main

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"vmctr/report/result/identity"
)

// look gathers what the program can see. What cannot be read stays empty: in a
// container that is a finding, not a failure.
func look() identity.Identity {
	id := identity.Identity{
		PID: os.Getpid(), UID: os.Getuid(), GID: os.Getgid(),
		BootID:     read("/proc/sys/kernel/random/boot_id"),
		Namespaces: map[string]uint64{},
		UIDMap:     lines("/proc/self/uid_map"),
		Cgroup:     lines("/proc/self/cgroup"),
		Args:       os.Args,
	}
	var u syscall.Utsname
	if syscall.Uname(&u) == nil {
		id.Kernel = identity.Kernel{Sysname: text(u.Sysname[:]), Release: text(u.Release[:]), Version: text(u.Version[:]), Machine: text(u.Machine[:])}
		id.Hostname = text(u.Nodename[:])
	}
	for _, ns := range []string{"pid", "mnt", "net", "uts", "ipc", "user", "cgroup", "time"} {
		// The link reads "pid:[4026531836]" (namespaces(7)).
		link, _ := os.Readlink("/proc/self/ns/" + ns)
		if _, after, ok := strings.Cut(link, ":["); ok {
			if n, err := strconv.ParseUint(strings.TrimSuffix(after, "]"), 10, 64); err == nil {
				id.Namespaces[ns] = n
			}
		}
	}
	id.CPUs = affinity()
	id.MemTotal = 1024 * number(field("/proc/meminfo", "MemTotal:"))
	if f := strings.Fields(read("/proc/uptime")); len(f) > 0 {
		id.Uptime, _ = strconv.ParseFloat(f[0], 64)
	}
	for _, name := range names("/proc") {
		if name[0] >= '1' && name[0] <= '9' {
			id.Processes++
		}
	}
	id.Interfaces = names("/sys/class/net")
	if id.Interfaces == nil { // a file system without /sys
		_, after, _ := strings.Cut(read("/proc/net/dev"), "\n")
		_, after, _ = strings.Cut(after, "\n")
		for line := range strings.Lines(after) {
			if name, _, ok := strings.Cut(line, ":"); ok {
				id.Interfaces = append(id.Interfaces, strings.TrimSpace(name))
			}
		}
	}
	slices.Sort(id.Interfaces)
	mounts := read("/proc/self/mountinfo")
	for line := range strings.Lines(mounts) {
		id.Mounts++
		before, after, _ := strings.Cut(line, " - ")
		if f, g := strings.Fields(before), strings.Fields(after); len(f) > 4 && len(g) > 0 && f[4] == "/" {
			id.RootFS = g[0]
		}
	}
	for line := range strings.Lines(read("/etc/os-release")) {
		if v, ok := strings.CutPrefix(line, "PRETTY_NAME="); ok {
			id.OSRelease = strings.Trim(strings.TrimSpace(v), `"`)
		}
	}
	id.Hypervisor, id.HyperName = hypervisor()
	id.Capability = field("/proc/self/status", "CapEff:")
	id.Seccomp = int(number(field("/proc/self/status", "Seccomp:")))
	id.NoNewPrivs = int(number(field("/proc/self/status", "NoNewPrivs:")))
	if b, err := os.ReadFile("data"); err == nil {
		sum := sha256.Sum256(b)
		id.DataSHA256 = hex.EncodeToString(sum[:])
	}
	return id
}

// affinity counts the CPUs that sched_getaffinity(2) allows.
func affinity() int {
	var mask [128]uint64
	n, _, e := syscall.RawSyscall(syscall.SYS_SCHED_GETAFFINITY, 0, unsafe.Sizeof(mask), uintptr(unsafe.Pointer(&mask)))
	if e != 0 {
		return 0
	}
	cpus := 0
	for _, w := range mask[:n/8] {
		for ; w != 0; w &= w - 1 {
			cpus++
		}
	}
	return cpus
}

func read(path string) string {
	b, _ := os.ReadFile(path)
	return strings.TrimSpace(string(b))
}

func lines(path string) string {
	var out []string
	for line := range strings.Lines(read(path)) {
		out = append(out, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(out, ";")
}

func field(path, key string) string {
	for line := range strings.Lines(read(path)) {
		if v, ok := strings.CutPrefix(line, key); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func number(s string) uint64 {
	n, _ := strconv.ParseUint(strings.TrimSuffix(s, " kB"), 10, 64)
	return n
}

func names(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	list := make([]string, len(entries))
	for i, e := range entries {
		list[i] = e.Name()
	}
	return list
}

func text(b []int8) string {
	var s []byte
	for _, c := range b {
		if c == 0 {
			break
		}
		s = append(s, byte(c))
	}
	return string(s)
}
