package isolation

import (
	"maps"
	"slices"
)

// Whose tells to whom something belongs that a program sees.
type Whose string

// Who it can be.
const (
	Hosts  Whose = "the host's" // the very thing that the host itself has
	Own    Whose = "its own"    // another, which the instance has for itself
	Hidden Whose = "hidden"     // the host has it, and the program is not shown it
	Nobody Whose = ""           // neither has it
)

// Seen is one thing that a program found when it looked around.
type Seen struct {
	Fact string `json:"fact"` // its name in [Facts]
	// Of tells several of one fact apart: a path.
	Of string `json:"of,omitempty"`
	// Text is what it looks like, for people; "" if there is no such thing.
	Text string `json:"text,omitempty"`
	// Key names the very thing, so that two can be told apart which look the same: it
	// begins with the boot_id of the kernel that has it. Two that have the same key are one.
	Key string `json:"key,omitempty"`
	// Shut says why the program was not let see it: "EACCES", "masked".
	Shut string `json:"shut,omitempty"`
}

// Sight is the same thing inside and outside.
type Sight struct {
	Fact    string `json:"fact"`
	Of      string `json:"of,omitempty"`
	Inside  string `json:"inside,omitempty"`
	Outside string `json:"outside,omitempty"`
	Whose   Whose  `json:"whose,omitempty"`
}

// Namespace is one of an instance's namespaces, as the host sees it.
type Namespace struct {
	Type string `json:"type"`
	// Inside is the number that is the program's, Outside that of the one that it is
	// compared with.
	Inside  uint64 `json:"inside"`
	Outside uint64 `json:"outside"`
	Whose   Whose  `json:"whose"`
}

// View is what a program sees, beside what its host has.
type View struct {
	// BootID names the kernel that serves the program, HostBootID the host's.
	BootID     string `json:"boot_id"`
	HostBootID string `json:"host_boot_id"`
	// Sights are in the order of [Facts].
	Sights []Sight `json:"sights"`
	// Namespaces are compared with those of NamespacesOf: "host" where the kernel is the
	// host's, read by the host from /proc/PID/ns of the program, and "guest" for a
	// container in a machine. A machine has a kernel of its own, whose numbers say nothing
	// of the host's: it has none of them here.
	Namespaces   []Namespace `json:"namespaces,omitempty"`
	NamespacesOf string      `json:"namespaces_of,omitempty"`
}

// SameKernel tells whether the host's kernel serves the program.
func (v *View) SameKernel() bool { return v.BootID != "" && v.BootID == v.HostBootID }

// A Fact is one thing that can be seen of a system.
type Fact struct {
	Name   string
	Topic  string // "Processes"
	Title  string // "Number of processes"
	Source string // where it is read, and what describes it
}

// Facts are in the order in which they are shown.
var Facts = []Fact{
	{"pid 1", "Processes", "Process 1", "/proc/1/stat, proc_pid_stat(5)"},
	{"processes", "Processes", "Number of processes", "numbered folders of /proc"},
	{"pid", "Processes", "Number of the program itself", "getpid(2)"},
	{"mounts", "Mounts", "Mounts", "/proc/self/mountinfo, proc_pid_mountinfo(5)"},
	{"root", "Mounts", "Root file system", "/proc/self/mountinfo"},
	{"interfaces", "Network", "Interfaces and addresses", "/sys/class/net or /proc/net/dev, netdevice(7)"},
	{"user", "Users", "User of the program", "getuid(2), /proc/self/uid_map"},
	{"uid map", "Users", "User map", "/proc/self/uid_map, user_namespaces(7)"},
	{"accounts", "Users", "Accounts", "/etc/passwd, passwd(5)"},
	{"host name", "Names", "Host name", "uname(2)"},
	{"domain name", "Names", "Domain name (NIS)", "uname(2)"},
	{"kernel", "Kernel", "Kernel", "uname(2)"},
	{"boot id", "Kernel", "boot_id", "/proc/sys/kernel/random/boot_id, random(4)"},
	{"uptime", "Kernel", "Up for", "/proc/uptime"},
	{"clock", "Kernel", "Clock offsets", "/proc/self/timens_offsets, time_namespaces(7)"},
	{"command line", "Kernel", "Kernel command line", "/proc/cmdline"},
	{"modules", "Kernel", "Kernel modules", "/proc/modules"},
	{"kernel log", "Kernel", "Kernel log", "syslog(2), SYSLOG_ACTION_SIZE_BUFFER and READ_ALL"},
	{"cpus", "Resources", "CPUs online", "/sys/devices/system/cpu/online or /proc/stat"},
	{"affinity", "Resources", "CPUs that it may run on", "sched_getaffinity(2)"},
	{"cpu quota", "Resources", "CPU limit in view", "cpu.max or cpu.cfs_quota_us, cgroups(7)"},
	{"memory", "Resources", "Memory (MemTotal)", "/proc/meminfo"},
	{"memory limit", "Resources", "Memory limit in view", "memory.max or memory.limit_in_bytes, cgroups(7)"},
	{"cgroup", "Resources", "Control group", "/proc/self/cgroup, cgroup_namespaces(7)"},
	{"devices", "Files", "Files of /dev", "/dev"},
	{"proc", "Files", "Entries of /proc", "/proc, without processes"},
	{"sys", "Files", "Entries of /sys", "/sys"},
	{"file", "Files", "", "open(2)"},
	{"sysv ipc", "Others", "System V objects", "/proc/sysvipc, sysvipc(7)"},
	{"environment", "Others", "Environment", "environ(7)"},
	{"descriptors", "Others", "Open descriptors", "/proc/self/fd"},
}

// FindFact gives the fact of a name; one that this version does not know has no other words.
func FindFact(name string) Fact {
	for _, f := range Facts {
		if f.Name == name {
			return f
		}
	}
	return Fact{Name: name, Title: name}
}

// Compare sets what a program sees beside what its host has.
func Compare(inside, outside []Seen) (all []Sight) {
	type place struct{ fact, of string }
	out, in := map[place]Seen{}, map[place]bool{}
	for _, s := range outside {
		out[place{s.Fact, s.Of}] = s
	}
	for _, s := range inside {
		o := out[place{s.Fact, s.Of}]
		in[place{s.Fact, s.Of}] = true
		all = append(all, Sight{s.Fact, s.Of, s.Looks(), o.Looks(), judge(s, o)})
	}
	for _, o := range outside { // what only the host can tell of
		if !in[place{o.Fact, o.Of}] {
			all = append(all, Sight{o.Fact, o.Of, "", o.Looks(), judge(Seen{}, o)})
		}
	}
	return all
}

// Looks is what it looks like, or why it cannot be seen.
func (s Seen) Looks() string {
	switch {
	case s.Shut == "":
		return s.Text
	case s.Text == "":
		return s.Shut
	}
	return s.Text + " (" + s.Shut + ")"
}

// judge tells whose it is that the program sees.
func judge(in, out Seen) Whose {
	shown := in.Text != "" && in.Shut == ""
	switch {
	case !shown && (out.Text != "" || in.Shut == "masked"):
		return Hidden
	case !shown:
		return Nobody
	case in.Key != "" && in.Key == out.Key:
		return Hosts
	}
	return Own
}

// CompareNamespaces sets the numbers of a program's namespaces beside others of the same
// kernel.
func CompareNamespaces(inside, outside map[string]uint64) (all []Namespace) {
	for _, typ := range slices.Sorted(maps.Keys(inside)) {
		n := Namespace{Type: typ, Inside: inside[typ], Outside: outside[typ], Whose: Own}
		if n.Inside == n.Outside {
			n.Whose = Hosts
		}
		all = append(all, n)
	}
	return all
}
