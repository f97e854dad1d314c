package harness

import (
	"bufio"
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"

	"vmctr/report/result"
)

// What others do on the host changes what is measured, and the measurement itself makes
// load: so others are judged when nothing of ours runs, in the pause before a sample. Only
// what a hypervisor under the host takes away is nobody's but others' at any time, and is
// judged over the sample itself. From these on, a sample is said to be disturbed:
const (
	// A quarter of all CPUs busy: on two of them a start of one thread that finds a place
	// by chance waits, for an eighth of its time or more. Our own last sample is still
	// cleared up in the pause (the kernel takes a network namespace apart in the
	// background, some 10 ms of one CPU), which on two CPUs and in 100 ms is a twentieth.
	disturbedBusy = 0.25
	// In a tenth of the pause something waited for a CPU, or a disk: where bench itself
	// sleeps, that is somebody else's queue, which our processes will stand in.
	disturbedCPU = 0.10
	disturbedIO  = 0.10
	// In a hundredth of it something waited for memory: the kernel is reclaiming, and
	// what is measured will do some of that work itself.
	disturbedMemory = 0.01
	// A fiftieth of the CPUs' time was stolen during the sample, and no less than what
	// the kernel counts in (a tick of 10 ms): so of a container's start every tick counts.
	disturbedSteal = 0.02
)

// leastWatch is the shortest pause that can be judged: what is idle is counted in ticks
// of 10 ms, and two counts can be off by one each.
const leastWatch = 90 * time.Millisecond

// reading is what the kernel has counted up to a moment. It takes some 0.1 ms, so it is
// never made while something is timed.
type reading struct {
	at    int64         // Now
	cpus  int           // that are online; 0 if the rest of this line is not known
	idle  time.Duration // of all CPUs: they had nothing to do, or waited for a disk
	steal time.Duration
	// waited is PSI's total: how long some task, or all, waited for a resource.
	waited map[string]time.Duration
}

// host is this one. Tests have others.
var host = files("/")

// tick is the unit of /proc/stat, USER_HZ (proc_stat(5)): 100 on all that Linux runs on.
const tick = 10 * time.Millisecond

func (f files) reading() reading {
	r := reading{at: Now(), waited: map[string]time.Duration{}}
	b, _ := os.ReadFile(f.path("proc/stat"))
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 9 || !strings.HasPrefix(fields[0], "cpu") {
			break
		}
		if fields[0] != "cpu" {
			r.cpus++
			continue
		}
		ticks := func(column int) time.Duration {
			n, _ := strconv.ParseInt(fields[column], 10, 64)
			return time.Duration(n) * tick
		}
		r.idle, r.steal = ticks(4)+ticks(5), ticks(8)
	}
	proc, err := procfs.NewFS(f.path("proc"))
	if err != nil {
		return r
	}
	for _, resource := range []string{"cpu", "memory", "io"} {
		psi, err := proc.PSIStatsForResource(resource)
		if err != nil {
			continue // a kernel without PSI, or one that has it turned off
		}
		if psi.Some != nil {
			r.waited[resource+" some"] = time.Duration(psi.Some.Total) * time.Microsecond
		}
		if psi.Full != nil && resource != "cpu" { // of all tasks of a host, some task always runs on a CPU
			r.waited[resource+" full"] = time.Duration(psi.Full.Total) * time.Microsecond
		}
	}
	return r
}

// usage is what was between two readings, in shares: of the time of all CPUs, and of the
// time.
type usage struct {
	busy, steal float64
	stolen      time.Duration
	waited      map[string]float64
}

func (r reading) until(later reading) usage {
	u := usage{waited: map[string]float64{}}
	took := time.Duration(later.at - r.at)
	if took <= 0 {
		return u
	}
	if r.cpus > 0 && r.cpus == later.cpus {
		all := float64(took) * float64(r.cpus)
		u.stolen = max(0, later.steal-r.steal)
		u.busy, u.steal = share(float64(took)*float64(r.cpus)-float64(later.idle-r.idle), all), share(float64(u.stolen), all)
	}
	for name, total := range later.waited {
		if before, ok := r.waited[name]; ok {
			u.waited[name] = share(float64(total-before), float64(took))
		}
	}
	return u
}

func share(part, all float64) float64 { return min(max(part/all, 0), 1) }

// before says what disturbs a sample that follows a pause, "" for nothing.
func (u usage) before() string {
	var reasons []string
	if u.busy >= disturbedBusy {
		reasons = append(reasons, fmt.Sprintf("%s of the CPUs' time was used by others before it", percent(u.busy)))
	}
	for _, w := range []struct {
		name, title string
		least       float64
	}{{"cpu some", "CPU", disturbedCPU}, {"memory some", "memory", disturbedMemory}, {"io some", "I/O", disturbedIO}} {
		if v := u.waited[w.name]; v >= w.least {
			reasons = append(reasons, fmt.Sprintf("%s pressure was %s before it", w.title, percent(v)))
		}
	}
	return strings.Join(reasons, "; ")
}

// during says the same of the time of the sample itself.
func (u usage) during() string {
	if u.stolen >= tick && u.steal >= disturbedSteal {
		return percent(u.steal) + " of the CPUs' time was stolen during it"
	}
	return ""
}

// join puts reasons in a row.
func join(reasons ...string) string {
	return strings.Join(slices.DeleteFunc(reasons, func(r string) bool { return r == "" }), "; ")
}

func percent(v float64) string { return fmt.Sprintf("%.0f%%", 100*v) }

// block is what a round was like that began with a reading.
func (f files) block(begin reading) result.Block {
	end := f.reading()
	u := begin.until(end)
	b := result.Block{Ns: end.at - begin.at, Steal: rounded(u.steal), MHz: f.clocks()}
	b.Load, _ = strconv.ParseFloat(firstField(f.read("proc/loadavg")), 64)
	for name, v := range u.waited {
		if b.Pressure == nil {
			b.Pressure = map[string]float64{}
		}
		b.Pressure[name] = rounded(v)
	}
	return b
}

// rounded keeps what the counters can tell.
func rounded(v float64) float64 { return math.Round(v*1e4) / 1e4 }

// clocks are the slowest and the fastest CPU's frequency, in MHz. What cpufreq knows is
// better than what cpuinfo says, which on a virtual machine never changes (Documentation/
// admin-guide/pm/cpufreq.rst).
func (f files) clocks() []float64 {
	var all []float64
	paths, _ := filepath.Glob(f.path("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq"))
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if kHz, bad := strconv.ParseFloat(strings.TrimSpace(string(b)), 64); err == nil && bad == nil {
			all = append(all, kHz/1000)
		}
	}
	if len(all) == 0 {
		proc, err := procfs.NewFS(f.path("proc"))
		if err != nil {
			return nil
		}
		cpus, err := proc.CPUInfo()
		if err != nil {
			return nil
		}
		for _, c := range cpus {
			if c.CPUMHz > 0 {
				all = append(all, c.CPUMHz)
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	lo, hi := all[0], all[0]
	for _, v := range all {
		lo, hi = min(lo, v), max(hi, v)
	}
	return []float64{lo, hi}
}
