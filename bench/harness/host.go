package harness

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"vmctr/container/cgroup"
	"vmctr/report/result"
	"vmctr/report/result/identity"
)

// Host describes this machine for the head of the journal, and warns of what
// on it disturbs measurements, one line each. What this host does not have
// stays empty, with one exception: without /proc nothing can be measured, and
// that is the error.
func Host() (result.Host, []string, error) {
	asked, err := ask()
	if err != nil {
		return result.Host{}, nil, err
	}
	return hostFrom("/", asked)
}

// answers are what system calls and not files tell.
type answers struct {
	hostname string
	kernel   identity.Kernel
	cpus     int    // that bench may run on
	cgroup   string // mode of [cgroup.Host]
	root     bool
}

func ask() (answers, error) {
	a := answers{root: os.Geteuid() == 0}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return a, fmt.Errorf("uname: %w", err)
	}
	text := func(b []byte) string { return string(b[:max(0, bytes.IndexByte(b, 0))]) }
	a.hostname = text(u.Nodename[:])
	a.kernel = identity.Kernel{Sysname: text(u.Sysname[:]), Release: text(u.Release[:]), Version: text(u.Version[:]), Machine: text(u.Machine[:])}
	// Not runtime.NumCPU: that is of the moment when bench began.
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return a, fmt.Errorf("sched_getaffinity: %w", err)
	}
	a.cpus = set.Count()
	if h, err := cgroup.Detect(); err == nil {
		a.cgroup = h.Mode
	}
	return a, nil
}

// hostFrom reads the files below root, which is "/" but in tests.
func hostFrom(root string, asked answers) (result.Host, []string, error) {
	f := files(root)
	proc, err := procfs.NewFS(f.path("proc"))
	if err != nil {
		return result.Host{}, nil, fmt.Errorf("describing the host: %w; mount it: mount -t proc proc /proc", err)
	}
	memory, err := proc.Meminfo()
	if err != nil || memory.MemTotalBytes == nil {
		return result.Host{}, nil, fmt.Errorf("describing the host: reading %s: no MemTotal (%v); is /proc mounted?", f.path("proc/meminfo"), err)
	}
	h := result.Host{
		Hostname:       asked.hostname,
		Machine:        f.machine(),
		OS:             f.osName(),
		Kernel:         asked.kernel,
		BootID:         f.read("proc/sys/kernel/random/boot_id"),
		Cmdline:        f.read("proc/cmdline"),
		CPU:            f.cpuModel(),
		CPUs:           asked.cpus,
		MemTotal:       *memory.MemTotalBytes,
		Virtualization: f.hypervisor(asked.kernel.Release),
		Governor:       f.governor(),
		Turbo:          f.turbo(),
		THP:            chosen(f.read("sys/kernel/mm/transparent_hugepage/enabled")),
		KSM:            ksm[f.read("sys/kernel/mm/ksm/run")],
		SwapTotal:      bytesOf(memory.SwapTotalBytes),
		Cgroup:         asked.cgroup,
		Root:           asked.root,
		Pressure:       f.read("proc/pressure/cpu"),
		LoadAvg:        f.read("proc/loadavg"),
		Mitigations:    f.folder("sys/devices/system/cpu/vulnerabilities"),
		Namespaces:     f.namespaces(),
		Go:             runtime.Version(),
	}
	return h, disturbances(h, f, memory), nil
}

// bytesOf is a figure of /proc/meminfo, 0 where the kernel does not give it.
func bytesOf(n *uint64) uint64 {
	if n == nil {
		return 0
	}
	return *n
}

// files are those of the host, below its root.
type files string

func (f files) path(name string) string { return filepath.Join(string(f), name) }

// read gives the text of a file without the white space around it, and "" when
// it is not there or may not be read.
func (f files) read(name string) string {
	b, err := os.ReadFile(f.path(name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func (f files) exists(name string) bool {
	_, err := os.Stat(f.path(name))
	return err == nil
}

// folder reads each file of a folder: name and text.
func (f files) folder(name string) map[string]string {
	entries, err := os.ReadDir(f.path(name))
	if err != nil {
		return nil
	}
	texts := map[string]string{}
	for _, e := range entries {
		if text := f.read(filepath.Join(name, e.Name())); text != "" {
			texts[e.Name()] = text
		}
	}
	return texts
}

// osName is the name that the distribution shows to people (os-release(5)).
func (f files) osName() string {
	for _, name := range []string{"etc/os-release", "usr/lib/os-release"} {
		for line := range strings.Lines(f.read(name)) {
			if v, ok := strings.CutPrefix(line, "PRETTY_NAME="); ok {
				return strings.Trim(strings.TrimSpace(v), `"'`)
			}
		}
	}
	return ""
}

// ksm is /sys/kernel/mm/ksm/run (Documentation/admin-guide/mm/ksm.rst).
var ksm = map[string]string{"0": "off", "1": "on", "2": "off, pages unmerged"}

// chosen is the word in brackets of a file like "always [madvise] never".
func chosen(text string) string {
	_, after, _ := strings.Cut(text, "[")
	word, _, _ := strings.Cut(after, "]")
	return word
}

// namespaces are the inode numbers of bench's own (namespaces(7)), as in
// [identity.Identity].
func (f files) namespaces() map[string]uint64 {
	numbers := map[string]uint64{}
	for _, ns := range []string{"pid", "mnt", "net", "uts", "ipc", "user", "cgroup", "time"} {
		link, err := os.Readlink(f.path("proc/self/ns/" + ns))
		if err != nil {
			continue
		}
		if n, err := strconv.ParseUint(chosen(link), 10, 64); err == nil {
			numbers[ns] = n
		}
	}
	return numbers
}
