package cgroup

import (
	"errors"
	"io/fs"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Stats is what a group has used. A pointer that is nil, and a part that is
// missing, is what this version of cgroups, or this kernel, does not tell: it
// is not zero. Bytes, unless something else is said.
type Stats struct {
	Memory  *MemoryStats
	CPU     *CPUStats
	Pids    *PidsStats
	IO      []IOStats // by device
	Hugetlb map[string]HugetlbStats
	// Pressure is how long processes waited for "cpu", "memory" and "io"
	// (Documentation/accounting/psi.rst): version 2 alone.
	Pressure map[string]Pressure
}

// Unlimited is a limit that is none.
const Unlimited = math.MaxUint64

// MemoryStats are of memory.
type MemoryStats struct {
	Usage uint64  // what is charged now
	Max   *uint64 // the most that ever was (version 2 since Linux 5.19)
	Limit *uint64
	// Swap is what is swapped out, alone, and SwapLimit what may be: on version
	// 1 less the limit of memory, as far as there is one.
	Swap, SwapLimit *uint64
	// What it is charged for.
	Anon, File, Shmem        *uint64
	Kernel, Slab, PageTables *uint64
	// How often the limit was reached, and how many processes were killed for it.
	LimitHits, OutOfMemoryKills *uint64
	// Detail is memory.stat as it is.
	Detail map[string]uint64
}

// CPUStats are of CPU time. The kernel may count user and system time in ticks,
// so that together they differ a little from the usage.
type CPUStats struct {
	Usage, User, System time.Duration
	// Periods in which it ran under a quota, those in which that was used up,
	// and for how long it then waited.
	Periods, Throttled uint64
	ThrottledTime      time.Duration
	Bursts             *uint64
	BurstTime          *time.Duration
}

// PidsStats are of processes and threads.
type PidsStats struct {
	Current, Limit uint64
	Max            *uint64 // the most that ever were (Linux 6.6)
}

// IOStats are of one block device.
type IOStats struct {
	Major, Minor                                                 uint32
	ReadBytes, WriteBytes, DiscardBytes, Reads, Writes, Discards uint64
}

// HugetlbStats are of one page size.
type HugetlbStats struct {
	Usage, Limit uint64
	Max          *uint64
	LimitHits    *uint64
}

// Pressure is how much of the time some, or all, processes waited.
type Pressure struct{ Some, Full PressureLine }

// PressureLine is in per cent of the last 10, 60 and 300 seconds, and in all.
type PressureLine struct {
	Avg10, Avg60, Avg300 float64
	Total                time.Duration
}

// Stats reads what the group, and those below it, have used.
func (c *Cgroup) Stats() (*Stats, error) {
	s := &Stats{}
	for _, read := range []func(*Stats) error{c.memoryStats, c.cpuStats, c.pidsStats, c.ioStats, c.hugetlbStats, c.pressure} {
		if err := read(s); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// source reads files of one folder, and remembers the first failure other than
// that one is missing.
type source struct {
	dir string
	err error
}

func (s *source) text(file string) (string, bool) {
	if s.err != nil {
		return "", false
	}
	text, err := read(s.dir, file)
	if err != nil {
		// EOPNOTSUPP: pressure is turned off.
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errors.ErrUnsupported) {
			s.err = err
		}
		return "", false
	}
	return text, true
}

func (s *source) number(file string) *uint64 {
	text, ok := s.text(file)
	if !ok {
		return nil
	}
	n, ok := parseNumber(text)
	if !ok {
		return nil
	}
	return &n
}

func (s *source) keys(file string) map[string]uint64 {
	text, _ := s.text(file)
	return parseKeys(text)
}

// on opens a controller's folder, on whichever version it is.
func (c *Cgroup) on(controller string) (s *source, v1 bool) {
	if dir := c.dirs[controller]; dir != "" {
		return &source{dir: dir}, true
	}
	if c.unified != "" {
		return &source{dir: c.unified}, false
	}
	return nil, false
}

func value(m map[string]uint64, keys ...string) *uint64 {
	for _, k := range keys {
		if n, ok := m[k]; ok {
			return &n
		}
	}
	return nil
}

func (c *Cgroup) memoryStats(to *Stats) error {
	s, v1 := c.on("memory")
	if s == nil {
		return nil
	}
	if !v1 {
		usage := s.number("memory.current")
		if usage == nil {
			return s.err
		}
		detail, events := s.keys("memory.stat"), s.keys("memory.events")
		to.Memory = &MemoryStats{
			Usage: *usage, Max: s.number("memory.peak"), Limit: s.number("memory.max"),
			Swap: s.number("memory.swap.current"), SwapLimit: s.number("memory.swap.max"),
			Anon: value(detail, "anon"), File: value(detail, "file"), Shmem: value(detail, "shmem"),
			Kernel: value(detail, "kernel"), Slab: value(detail, "slab"), PageTables: value(detail, "pagetables"),
			LimitHits: value(events, "max"), OutOfMemoryKills: value(events, "oom_kill"), Detail: detail,
		}
		return s.err
	}
	usage := s.number("memory.usage_in_bytes")
	if usage == nil {
		return s.err
	}
	// total_ includes the groups below.
	detail, oom := s.keys("memory.stat"), s.keys("memory.oom_control")
	m := &MemoryStats{
		Usage: *usage, Max: s.number("memory.max_usage_in_bytes"), Limit: s.number("memory.limit_in_bytes"),
		Anon: value(detail, "total_rss", "rss"), File: value(detail, "total_cache", "cache"), Shmem: value(detail, "total_shmem", "shmem"),
		Swap: value(detail, "total_swap", "swap"), Kernel: s.number("memory.kmem.usage_in_bytes"),
		LimitHits: s.number("memory.failcnt"), OutOfMemoryKills: value(oom, "oom_kill"), Detail: detail,
	}
	if both := s.number("memory.memsw.limit_in_bytes"); both != nil && m.Limit != nil {
		limit := uint64(Unlimited)
		if *both != Unlimited && *m.Limit != Unlimited {
			limit = *both - min(*both, *m.Limit)
		}
		m.SwapLimit = &limit
	}
	to.Memory = m
	return s.err
}

func (c *Cgroup) cpuStats(to *Stats) error {
	s, v1 := c.on("cpu")
	account, accountV1 := c.on("cpuacct")
	if account == nil {
		return nil
	}
	var cpu CPUStats
	if accountV1 {
		usage := account.number("cpuacct.usage")
		if usage == nil {
			return account.err
		}
		cpu.Usage = time.Duration(*usage)
		user, system := account.number("cpuacct.usage_user"), account.number("cpuacct.usage_sys") // Linux 4.6
		if user != nil && system != nil {
			cpu.User, cpu.System = time.Duration(*user), time.Duration(*system)
		}
		if account.err != nil {
			return account.err
		}
	} else {
		stat := account.keys("cpu.stat")
		if account.err != nil || len(stat) == 0 {
			return account.err
		}
		cpu.Usage, cpu.User, cpu.System = micro(stat["usage_usec"]), micro(stat["user_usec"]), micro(stat["system_usec"])
	}
	if s != nil {
		stat := s.keys("cpu.stat")
		cpu.Periods, cpu.Throttled, cpu.Bursts = stat["nr_periods"], stat["nr_throttled"], value(stat, "nr_bursts")
		cpu.ThrottledTime = micro(stat["throttled_usec"])
		burst := micro(stat["burst_usec"])
		if v1 {
			cpu.ThrottledTime, burst = time.Duration(stat["throttled_time"]), time.Duration(stat["burst_time"])
		}
		if cpu.Bursts != nil {
			cpu.BurstTime = &burst
		}
		if s.err != nil {
			return s.err
		}
	}
	to.CPU = &cpu
	return nil
}

func micro(n uint64) time.Duration { return time.Duration(n) * time.Microsecond }

func (c *Cgroup) pidsStats(to *Stats) error {
	s, _ := c.on("pids")
	if s == nil {
		return nil
	}
	current, limit := s.number("pids.current"), s.number("pids.max")
	if current != nil && limit != nil {
		to.Pids = &PidsStats{Current: *current, Limit: *limit, Max: s.number("pids.peak")}
	}
	return s.err
}

func (c *Cgroup) ioStats(to *Stats) error {
	s, v1 := c.on("blkio")
	if s == nil {
		return nil
	}
	if !v1 {
		text, _ := s.text("io.stat")
		to.IO = parseIOStat(text)
		return s.err
	}
	for _, scheduler := range []string{"throttle", "bfq"} {
		bytes, ok := s.text("blkio." + scheduler + ".io_service_bytes_recursive")
		operations, _ := s.text("blkio." + scheduler + ".io_serviced_recursive")
		if to.IO = parseBlkio(bytes, operations); ok && len(to.IO) > 0 {
			break
		}
	}
	return s.err
}

func (c *Cgroup) hugetlbStats(to *Stats) error {
	s, v1 := c.on("hugetlb")
	if s == nil {
		return nil
	}
	for _, size := range pageSizes() {
		usage, limit, peak := "current", "max", ""
		if v1 {
			usage, limit, peak = "usage_in_bytes", "limit_in_bytes", "max_usage_in_bytes"
		}
		name := "hugetlb." + size + "."
		u, l := s.number(name+usage), s.number(name+limit)
		if u == nil || l == nil {
			continue
		}
		h := HugetlbStats{Usage: *u, Limit: *l}
		if v1 {
			h.Max, h.LimitHits = s.number(name+peak), s.number(name+"failcnt")
		} else {
			h.LimitHits = value(s.keys(name+"events"), "max")
		}
		if to.Hugetlb == nil {
			to.Hugetlb = map[string]HugetlbStats{}
		}
		to.Hugetlb[size] = h
	}
	return s.err
}

func (c *Cgroup) pressure(to *Stats) error {
	if c.unified == "" {
		return nil
	}
	s := &source{dir: c.unified}
	for _, what := range []string{"cpu", "memory", "io"} {
		if text, ok := s.text(what + ".pressure"); ok {
			if to.Pressure == nil {
				to.Pressure = map[string]Pressure{}
			}
			to.Pressure[what] = parsePressure(text)
		}
	}
	return s.err
}

// What follows reads what the kernel prints, and takes what it does not know for
// missing: a later kernel may print more.

// parseNumber reads a file with one number. "max" is none; so is what version 1
// calls none: the greatest number of whole pages in 63 bits.
func parseNumber(text string) (uint64, bool) {
	text = strings.TrimSpace(text)
	if text == "max" {
		return Unlimited, true
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if n >= math.MaxInt64&^(64<<10-1) && n <= math.MaxInt64 {
		n = Unlimited
	}
	return n, err == nil
}

// parseKeys reads lines of a key and a number ("Flat keyed" in cgroup-v2.rst).
func parseKeys(text string) map[string]uint64 {
	m := map[string]uint64{}
	for line := range strings.Lines(text) {
		key, number, ok := strings.Cut(strings.TrimSpace(line), " ")
		if n, valid := parseNumber(number); ok && valid {
			m[key] = n
		}
	}
	return m
}

func parseDevice(text string) (major, minor uint32, ok bool) {
	a, b, ok := strings.Cut(text, ":")
	x, err1 := strconv.ParseUint(a, 10, 32)
	y, err2 := strconv.ParseUint(b, 10, 32)
	return uint32(x), uint32(y), ok && err1 == nil && err2 == nil
}

// parseIOStat reads io.stat: "8:0 rbytes=1 wbytes=2 rios=3 ..." ("Nested keyed").
func parseIOStat(text string) []IOStats {
	var list []IOStats
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue // a device without figures
		}
		var d IOStats
		var ok bool
		if d.Major, d.Minor, ok = parseDevice(f[0]); !ok {
			continue
		}
		for _, pair := range f[1:] {
			key, number, _ := strings.Cut(pair, "=")
			n, err := strconv.ParseUint(number, 10, 64)
			to := map[string]*uint64{
				"rbytes": &d.ReadBytes, "wbytes": &d.WriteBytes, "dbytes": &d.DiscardBytes,
				"rios": &d.Reads, "wios": &d.Writes, "dios": &d.Discards,
			}[key]
			if to != nil && err == nil {
				*to = n
			}
		}
		list = append(list, d)
	}
	return list
}

// parseBlkio reads version 1's files of lines such as "8:0 Read 4096".
func parseBlkio(bytes, operations string) []IOStats {
	type id struct{ major, minor uint32 }
	devices := map[id]*IOStats{}
	for i, text := range []string{bytes, operations} {
		for line := range strings.Lines(text) {
			f := strings.Fields(line)
			if len(f) != 3 { // the last is "Total 4096"
				continue
			}
			major, minor, ok := parseDevice(f[0])
			n, err := strconv.ParseUint(f[2], 10, 64)
			if !ok || err != nil {
				continue
			}
			d := devices[id{major, minor}]
			if d == nil {
				d = &IOStats{Major: major, Minor: minor}
				devices[id{major, minor}] = d
			}
			switch f[1] {
			case "Read":
				*[]*uint64{&d.ReadBytes, &d.Reads}[i] = n
			case "Write":
				*[]*uint64{&d.WriteBytes, &d.Writes}[i] = n
			case "Discard":
				*[]*uint64{&d.DiscardBytes, &d.Discards}[i] = n
			}
		}
	}
	var list []IOStats
	for _, k := range slices.SortedFunc(maps.Keys(devices), func(a, b id) int {
		if a.major != b.major {
			return int(int64(a.major) - int64(b.major))
		}
		return int(int64(a.minor) - int64(b.minor))
	}) {
		list = append(list, *devices[k])
	}
	return list
}

// parsePressure reads "some avg10=0.00 avg60=0.00 avg300=0.00 total=0", and the
// same for "full".
func parsePressure(text string) Pressure {
	var p Pressure
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		to := map[string]*PressureLine{"some": &p.Some, "full": &p.Full}[f[0]]
		if to == nil {
			continue
		}
		for _, pair := range f[1:] {
			key, number, _ := strings.Cut(pair, "=")
			if key == "total" {
				if n, err := strconv.ParseUint(number, 10, 64); err == nil {
					to.Total = micro(n)
				}
			} else if avg := map[string]*float64{"avg10": &to.Avg10, "avg60": &to.Avg60, "avg300": &to.Avg300}[key]; avg != nil {
				if x, err := strconv.ParseFloat(number, 64); err == nil && !math.IsNaN(x) {
					*avg = x
				}
			}
		}
	}
	return p
}
