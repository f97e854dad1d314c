// Package identity is what a workload says of the place that it finds itself
// in: the evidence behind the "virtualization" and "guest OS" columns of the
// lecture's table.
//
// The workload prints one [Identity] as a line of JSON once it has signalled
// its first instruction. The type has a package of its own, with no imports,
// because both the workload (a small static program) and the report use it.
package identity

// Identity is the workload's own view. Two workloads that report the same
// BootID run on the same kernel; two that report different namespace numbers
// on one kernel are isolated from each other in that respect.
type Identity struct {
	// Kernel is uname(2) of the kernel that serves the workload.
	Kernel Kernel `json:"kernel"`
	// BootID is /proc/sys/kernel/random/boot_id: a random UUID made anew at
	// each boot of a kernel, and so the name of one running kernel.
	BootID string `json:"boot_id"`
	// Namespaces maps a namespace type ("pid", "mnt", "net", "uts", "ipc",
	// "user", "cgroup", "time") to its inode number from /proc/self/ns. The
	// first PID, UTS, IPC, user and cgroup namespaces of every kernel have
	// constant numbers, so a guest's can equal the host's without anything
	// being shared: compare them only where BootID is equal.
	Namespaces map[string]uint64 `json:"namespaces"`

	PID      int    `json:"pid"`      // getpid(2): 1 when it is init of its PID namespace
	UID      int    `json:"uid"`      // getuid(2)
	GID      int    `json:"gid"`      // getgid(2)
	UIDMap   string `json:"uid_map"`  // /proc/self/uid_map, lines joined by ";"
	Hostname string `json:"hostname"` // uname(2) nodename

	CPUs       int      `json:"cpus"`           // CPUs that sched_getaffinity(2) allows
	MemTotal   uint64   `json:"mem_total"`      // MemTotal of /proc/meminfo, bytes
	Uptime     float64  `json:"uptime"`         // first field of /proc/uptime, seconds
	Processes  int      `json:"processes"`      // numbered folders in /proc
	Interfaces []string `json:"interfaces"`     // network interfaces, from /sys/class/net or /proc/net/dev
	Mounts     int      `json:"mounts"`         // lines of /proc/self/mountinfo
	OSRelease  string   `json:"os_release"`     // PRETTY_NAME of /etc/os-release, "" without one
	RootFS     string   `json:"rootfs"`         // type of the file system mounted on "/"
	Hypervisor bool     `json:"hypervisor"`     // CPUID leaf 1, ECX bit 31: the CPU says that a hypervisor runs it
	HyperName  string   `json:"hyper_name"`     // CPUID leaf 0x40000000 signature, e.g. "KVMKVMKVM", "TCGTCGTCGTCG"
	Capability string   `json:"cap_eff"`        // CapEff of /proc/self/status, hexadecimal
	Seccomp    int      `json:"seccomp"`        // Seccomp of /proc/self/status: 0 off, 2 filter
	NoNewPrivs int      `json:"no_new_privs"`   // NoNewPrivs of /proc/self/status
	Cgroup     string   `json:"cgroup"`         // /proc/self/cgroup, lines joined by ";"
	DataSHA256 string   `json:"data_sha256"`    // SHA-256 of the image's data file: proof that the same image is under it
	Args       []string `json:"args,omitempty"` // argv, to show that every platform passed the same
}

// Kernel is uname(2) without the host's name.
type Kernel struct {
	Sysname string `json:"sysname"`
	Release string `json:"release"`
	Version string `json:"version"`
	Machine string `json:"machine"`
}
