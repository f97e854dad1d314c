package harness

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"
)

// cpuInfo is the first CPU of /proc/cpuinfo.
func (f files) cpuInfo() procfs.CPUInfo {
	proc, err := procfs.NewFS(f.path("proc"))
	if err != nil {
		return procfs.CPUInfo{}
	}
	cpus, err := proc.CPUInfo()
	if err != nil || len(cpus) == 0 {
		return procfs.CPUInfo{}
	}
	return cpus[0]
}

// cpuModel is the name of the CPU. On ARM the CPU has none and the board does.
func (f files) cpuModel() string {
	if name := f.cpuInfo().ModelName; name != "" {
		return name
	}
	return strings.Trim(f.read("proc/device-tree/model"), "\x00")
}

// governor is what sets the clock of the CPUs: all that are in use, if they
// differ (Documentation/admin-guide/pm/cpufreq.rst).
func (f files) governor() string {
	paths, _ := filepath.Glob(f.path("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor"))
	var names []string
	for _, p := range paths {
		if b, err := os.ReadFile(p); err == nil {
			names = append(names, strings.TrimSpace(string(b)))
		}
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}

// turbo tells whether the CPU may clock higher than its nominal rate: "on",
// "off", or "" where the kernel does not say. intel_pstate has a switch of its
// own, with the opposite sense (Documentation/admin-guide/pm/intel_pstate.rst).
func (f files) turbo() string {
	for _, s := range []struct{ file, on, off string }{
		{"sys/devices/system/cpu/intel_pstate/no_turbo", "0", "1"},
		{"sys/devices/system/cpu/cpufreq/boost", "1", "0"},
	} {
		switch f.read(s.file) {
		case s.on:
			return "on"
		case s.off:
			return "off"
		}
	}
	return ""
}

// online counts the CPUs in a list such as "0-3,8" (Documentation/
// admin-guide/cputopology.rst), 0 when it is not there.
func (f files) online() int {
	n := 0
	for part := range strings.SplitSeq(f.read("sys/devices/system/cpu/online"), ",") {
		first, last, isRange := strings.Cut(part, "-")
		a, err := strconv.Atoi(first)
		if err != nil {
			continue
		}
		b := a
		if isRange {
			if b, err = strconv.Atoi(last); err != nil {
				continue
			}
		}
		n += max(0, b-a+1)
	}
	return n
}
