package harness

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"

	"vmctr/report/result"
)

// From where on a host counts as busy.
const (
	busyLoad     = 0.5 // load average of the last minute, per CPU
	busyPressure = 10  // percent of the last ten seconds in which something waited for a CPU
	scarceMemory = 0.1 // share of memory that is still available
)

// disturbances says, in one line each, what on this host disturbs measurements:
// what it is, what it does to the figures, and what mends it where something
// does. Nothing here stops a run.
func disturbances(h result.Host, f files, memory procfs.Meminfo) []string {
	var list []string
	warn := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if h.Virtualization != "" {
		warn("this host is itself a virtual machine (%s): its CPUs can be taken away at any moment, and machines measured on it are machines in a machine", h.Virtualization)
	}
	if engine := f.container(); engine != "" {
		warn("bench runs in a container (%s): that container's limits and file system are part of every figure", engine)
	}
	if h.Governor != "" && h.Governor != "performance" {
		warn("governor is %s: the clock follows the load, and short work ends before it has risen; mend with: cpupower frequency-set -g performance", h.Governor)
	}
	if h.Turbo == "on" {
		warn("turbo is on: the clock depends on temperature and on how many CPUs are busy")
	}
	if online := f.online(); h.CPUs < online {
		warn("bench may use %d of %d CPUs (its affinity): the others are not measured", h.CPUs, online)
	}
	if h.CPUs == 1 {
		warn("one CPU: bench and what it measures take turns on it")
	}
	if load, err := strconv.ParseFloat(firstField(h.LoadAvg), 64); err == nil && load >= busyLoad*float64(h.CPUs) {
		warn("load average %.1f on %d CPUs: other programs take time from what is measured; end them, or wait", load, h.CPUs)
	}
	if waiting := pressure(h.Pressure); waiting >= busyPressure {
		warn("CPU pressure %.0f%%: in the last ten seconds that share of the time something waited for a CPU", waiting)
	}
	if h.KSM == "on" {
		warn("KSM is on: the kernel merges equal pages of virtual machines while their memory is measured; mend with: echo 2 > /sys/kernel/mm/ksm/run")
	}
	if memory.MemAvailableBytes != nil && float64(*memory.MemAvailableBytes) < scarceMemory*float64(h.MemTotal) {
		what := "the kernel reclaims memory while it is measured"
		if h.SwapTotal > 0 {
			what = "what is swapped out is missing from RSS and PSS"
		}
		warn("only %s of %s memory is available: %s", result.FormatValue(float64(*memory.MemAvailableBytes), "bytes"), result.FormatValue(float64(h.MemTotal), "bytes"), what)
	}
	return list
}

func firstField(s string) string {
	field, _, _ := strings.Cut(s, " ")
	return field
}

// pressure is avg10 of the line "some" of a file of /proc/pressure
// (Documentation/accounting/psi.rst): percent, 0 when it is not there.
func pressure(text string) float64 {
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "some" {
			if v, ok := strings.CutPrefix(fields[1], "avg10="); ok {
				percent, _ := strconv.ParseFloat(v, 64)
				return percent
			}
		}
	}
	return 0
}
