package cgroup

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// makeEvery makes a group in every hierarchy.
func (h *Host) makeEvery(t *testing.T, r *specs.LinuxResources) *Cgroup {
	t.Helper()
	c, err := h.createWith(nextName(), r, Options{Every: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Remove(context.Background()) })
	return c
}

// value is what a file of the group holds.
func (c *Cgroup) value(t *testing.T, v1, v2 string) string {
	t.Helper()
	controller, _, _ := strings.Cut(v1, ".")
	dir, file, err := c.file(controller, v1, v2)
	if err != nil {
		t.Fatal(err)
	}
	text, err := read(dir, file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(text)
}

// TestEvery: the group, and its process, is in every hierarchy, as the kernel
// tells in /proc/PID/cgroup.
func TestEvery(t *testing.T) {
	needRoot(t)
	h, err := Detect()
	if err != nil {
		t.Fatal(err)
	}
	c := h.makeEvery(t, nil)
	w := enter(t, c, "sleep")
	text, err := read("/proc", itoa(w.pid())+"/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for line := range strings.Lines(text) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if f[1] != "" && !slices.ContainsFunc(strings.Split(f[1], ","), func(c string) bool { return h.V1[c] != "" }) {
			continue // not mounted
		}
		lines++
		if f[1] == "" && h.Unified == "" {
			continue
		}
		if f[2] != c.Name {
			t.Errorf("it is elsewhere: %s", line)
		}
	}
	if lines == 0 {
		t.Errorf("nothing in %q", text)
	}
	in(t, c, w.pid())

	// Another process finds it again, by its name or by its paths.
	again, err := h.load(c.Name)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(c.Paths())
	if err != nil {
		t.Fatal(err)
	}
	var paths map[string]string
	if err := json.Unmarshal(b, &paths); err != nil {
		t.Fatal(err)
	}
	byPaths, err := LoadPaths(c.Name, paths)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []*Cgroup{again, byPaths} {
		if !maps.Equal(c.Paths(), o.Paths()) || o.Name != c.Name || len(o.list) != len(c.list) {
			t.Errorf("found again: %v, want %v", o.Paths(), c.Paths())
		}
		in(t, o, w.pid())
	}
	if err := again.Remove(t.Context()); err != nil {
		t.Error(err)
	}
	if !w.killed(t) {
		t.Error("it was not killed")
	}
	if _, err := h.load(c.Name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("found after it was removed: %v", err)
	}
}

// TestDeep: groups above that are made on the way can be entered too, which for
// a cpuset on version 1 takes that each has CPUs.
func TestDeep(t *testing.T) {
	onEach(t, func(t *testing.T, h *Host) {
		top := strings.TrimPrefix(nextName(), "/")
		t.Cleanup(func() { h.sweep(context.Background(), func(name string) bool { return name == top }) })
		r := &specs.LinuxResources{}
		if h.Has("cpuset") {
			r.CPU = &specs.LinuxCPU{Cpus: "0"}
		}
		c, err := h.createWith(top+"/a/b", r, Options{Every: true})
		if err != nil {
			t.Fatal(err)
		}
		in(t, c, enter(t, c, "sleep").pid())
	})
}

func TestLoadPathsRefused(t *testing.T) {
	for _, paths := range []map[string]string{nil, {}, {"memory": ""}, {"memory": "/"}, {"": "relative"}, {"cpu": "/a/../b"}} {
		if c, err := LoadPaths("a", paths); err == nil {
			t.Errorf("%v: %v", paths, c)
		}
	}
}

// TestJoin: a group that exists is taken if that is asked for, and nobody is in
// it.
func TestJoin(t *testing.T) {
	onEach(t, func(t *testing.T, h *Host) {
		c := h.make(t, nil)
		again, err := h.createWith(c.Name, nil, Options{Join: true})
		if err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(c.Paths(), again.Paths()) {
			t.Errorf("joined %v, want %v", again.Paths(), c.Paths())
		}
		w := enter(t, again, "sleep")
		if _, err := h.createWith(c.Name, nil, Options{Join: true}); err == nil || !strings.Contains(err.Error(), "it is not empty") {
			t.Errorf("a group with a process: %v", err)
		}
		in(t, c, w.pid()) // it is still there
		// It is there in some hierarchies, made by hand.
		name := nextName()
		for _, at := range []string{h.V1["cpuset"], h.V1["memory"]} {
			if at != "" {
				if err := os.Mkdir(at+"/"+name, 0o755); err != nil {
					t.Fatal(err)
				}
			}
		}
		byHand, err := h.createWith(name, nil, Options{Join: true, Every: true})
		if err != nil {
			t.Fatal(err)
		}
		in(t, byHand, enter(t, byHand, "sleep").pid())
		if err := byHand.Remove(t.Context()); err != nil {
			t.Error(err)
		}
		fresh, err := h.createWith(nextName(), nil, Options{Join: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := fresh.Remove(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestUpdate: limits go up and down, whatever is there, and those that are not
// named stay.
func TestUpdate(t *testing.T) {
	needRoot(t)
	h, err := Detect()
	if err != nil {
		t.Fatal(err)
	}
	if !h.Has("memory") || !h.Has("cpu") {
		t.Skip("this host's cgroups limit nothing")
	}
	r := limit(64 << 20)
	r.CPU = cpus(50_000, 100_000).CPU
	c := h.makeEvery(t, r)
	_, err = os.Stat(c.dirs["memory"] + "/memory.memsw.limit_in_bytes")
	swap := c.dirs["memory"] == "" || err == nil
	for _, tt := range []struct{ memory, swap int64 }{
		{32 << 20, 32 << 20}, {128 << 20, 128 << 20}, {16 << 20, 64 << 20}, {1 << 30, 1 << 30}, {-1, -1}, {64 << 20, 64 << 20}, {-1, 0}, {64 << 20, 128 << 20},
	} {
		m := &specs.LinuxMemory{Limit: &tt.memory, CheckBeforeUpdate: ptr(true)}
		if swap {
			m.Swap = &tt.swap
		}
		if err := c.Update(&specs.LinuxResources{Memory: m}); err != nil {
			t.Fatalf("%+v: %v", tt, err)
		}
		s, err := c.Stats()
		if err != nil {
			t.Fatal(err)
		}
		want := uint64(tt.memory)
		if tt.memory < 0 {
			want = Unlimited
		}
		if *s.Memory.Limit != want {
			t.Errorf("%+v: limit %d", tt, *s.Memory.Limit)
		}
		if swap && s.Memory.SwapLimit != nil {
			want = uint64(tt.swap - tt.memory)
			if tt.memory < 0 {
				want = Unlimited
			}
			if *s.Memory.SwapLimit != want {
				t.Errorf("%+v: swap %d, want %d", tt, *s.Memory.SwapLimit, want)
			}
		}
	}
	for _, tt := range []struct {
		quota, period, burst int64 // 0: not said
		want                 string
	}{
		{0, 50_000, 0, "50000 50000"}, {100_000, 0, 0, "100000 50000"}, {5_000, 10_000, 5_000, "5000 10000"},
		{2_000, 0, 1_000, "2000 10000"}, {900_000, 1_000_000, 800_000, "900000 1000000"}, {1_000, 1_000, 0, "1000 1000"}, {-1, 0, 0, "max 1000"},
	} {
		u := cpus(tt.quota, uint64(tt.period))
		u.CPU.Burst = ptr(uint64(tt.burst))
		if err := c.Update(u); err != nil {
			t.Fatalf("%+v: %v", tt, err)
		}
		got := c.value(t, "cpu.cfs_quota_us", "cpu.max")
		if c.dirs["cpu"] != "" {
			got += " " + c.value(t, "cpu.cfs_period_us", "")
			got = strings.Replace(got, "-1 ", "max ", 1)
		}
		if got != tt.want {
			t.Errorf("%+v: %q", tt, got)
		}
	}
	// Idle takes no weight.
	for _, idle := range []int64{1, 0, 1, 0} {
		u := &specs.LinuxResources{CPU: &specs.LinuxCPU{Idle: &idle}}
		if idle == 0 {
			u.CPU.Shares = ptr(uint64(2048))
		}
		if err := c.Update(u); err != nil {
			t.Fatal(err)
		}
	}
	if got := c.value(t, "cpu.shares", "cpu.weight"); got != "2048" && got != "174" {
		t.Errorf("shares %q", got)
	}
	if h.Has("cpuset") {
		if err := c.Update(&specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "0", Mems: "0"}}); err != nil {
			t.Fatal(err)
		}
		if got := c.value(t, "cpuset.cpus", "cpuset.cpus"); got != "0" {
			t.Errorf("CPUs %q", got)
		}
		if err := c.Update(&specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "4000"}}); err == nil || !strings.Contains(err.Error(), "linux.resources.cpu.cpus") {
			t.Errorf("a CPU that there is not: %v", err)
		}
	}
	// What cannot be is refused by its name, and changes nothing.
	used := enter(t, c, "hold 8000000")
	used.out.ReadString('\n')
	err = c.Update(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(4 << 20)), CheckBeforeUpdate: ptr(true)}})
	if err == nil || !strings.Contains(err.Error(), "linux.resources.memory.limit: 4194304 is less than the") {
		t.Errorf("less than what is used: %v", err)
	}
	for _, tt := range []struct {
		r    *specs.LinuxResources
		want string
	}{
		{cpus(1, 0), "linux.resources.cpu.quota"},
		{&specs.LinuxResources{Network: &specs.LinuxNetwork{ClassID: ptr(uint32(1))}}, "linux.resources.network.classID"},
		{&specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{LeafWeight: ptr(uint16(10))}}, "linux.resources.blockIO.leafWeight"},
		{&specs.LinuxResources{Unified: map[string]string{"nothing.max": "1"}}, `linux.resources.unified["nothing.max"]`},
	} {
		if err := c.Update(tt.r); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want %q", err, tt.want)
		}
	}
}

// TestOther sets what the host can do of the rest.
func TestOther(t *testing.T) {
	needRoot(t)
	h, err := Detect()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name             string
		on               bool
		r                *specs.LinuxResources
		v1, v2, is1, is2 string
	}{
		{"cpuset", h.Has("cpuset"), &specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "0"}}, "cpuset.cpus", "cpuset.cpus", "0", "0"},
		{"memory.low", h.unifiedHas("memory"), &specs.LinuxResources{Memory: &specs.LinuxMemory{Reservation: ptr(int64(1 << 20))}}, "", "memory.low", "", "1048576"},
		{"soft limit", h.V1["memory"] != "", &specs.LinuxResources{Memory: &specs.LinuxMemory{Reservation: ptr(int64(1 << 20)), Swappiness: ptr(uint64(10)), UseHierarchy: ptr(true)}}, "memory.soft_limit_in_bytes", "", "1048576", ""},
		{"OOM killer", h.V1["memory"] != "", &specs.LinuxResources{Memory: &specs.LinuxMemory{DisableOOMKiller: ptr(true)}}, "memory.oom_control", "", "oom_kill_disable 1\nunder_oom 0\noom_kill 0", ""},
		{"unified", h.unifiedHas("memory"), &specs.LinuxResources{Unified: map[string]string{"memory.high": "4194304"}}, "", "memory.high", "", "4194304"},
		{"huge pages", h.Has("hugetlb"), &specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 4 << 20}}}, "hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.max", "4194304", "4194304"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if !tt.on {
				t.Skipf("this host's cgroups (%s) have no controller for it", h.Mode)
			}
			c := h.make(t, tt.r)
			v1 := tt.v1
			if v1 == "" {
				v1 = "memory.none"
			}
			got := c.value(t, v1, tt.v2)
			if got != tt.is1 && got != tt.is2 || got == "" {
				t.Errorf("%q", got)
			}
			enter(t, c, "sleep")
		})
	}
	// A whole disk, if there is one.
	disks, _ := os.ReadDir("/sys/block")
	for _, d := range disks {
		number, err := read("/sys/block", d.Name()+"/dev")
		if err != nil || !h.Has("blkio") && !h.Has("io") {
			continue
		}
		major, minor, _ := parseDevice(strings.TrimSpace(number))
		dev := specs.LinuxThrottleDevice{LinuxBlockIODevice: specs.LinuxBlockIODevice{Major: int64(major), Minor: int64(minor)}, Rate: 1 << 20}
		c := h.make(t, &specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{dev}, ThrottleWriteIOPSDevice: []specs.LinuxThrottleDevice{dev}}})
		if got := c.value(t, "blkio.throttle.read_bps_device", "io.max"); !strings.Contains(got, "1048576") {
			t.Errorf("%s: %q", d.Name(), got)
		}
		dev.Rate = 0
		if err := c.Update(&specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{dev}}}); err != nil {
			t.Error(err)
		}
		break
	}
}

func TestKill(t *testing.T) {
	onEach(t, func(t *testing.T, h *Host) {
		c := h.makeEvery(t, nil)
		below, err := h.createWith(c.Name+"/below", nil, Options{Every: true})
		if err != nil {
			t.Fatal(err)
		}
		w := enter(t, below, "sleep")
		in(t, c, w.pid()) // those below count too
		if err := c.Signal(unix.SIGTERM); err != nil {
			t.Error(err)
		}
		select {
		case <-w.done:
			t.Error("it ignores SIGTERM, and ended")
		case <-time.After(10 * time.Millisecond):
		}
		if h.Mode == "v1" && c.dirs["freezer"] != "" {
			if err := c.Freeze(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if err := c.Kill(); err != nil {
			t.Error(err)
		}
		if !w.killed(t) {
			t.Error("it was not killed")
		}
		if err := c.Remove(t.Context()); err != nil {
			t.Error(err)
		}
		if err := c.Kill(); err != nil {
			t.Errorf("a group that is gone: %v", err)
		}
	})
}

// TestStats: what a process uses is found, on whichever version the host has.
func TestStats(t *testing.T) {
	needRoot(t)
	h, err := Detect()
	if err != nil {
		t.Fatal(err)
	}
	if !h.Has("memory") || !h.Has("cpu") || !h.Has("pids") {
		t.Skip("this host's cgroups count nothing")
	}
	r := limit(64 << 20)
	r.CPU, r.Pids = cpus(5_000, 10_000).CPU, processLimit(50).Pids
	c := h.makeEvery(t, r)
	enter(t, c, "hold 8000000").out.ReadString('\n')
	enter(t, c, "spin")
	var s *Stats
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if s, err = c.Stats(); err != nil {
			t.Fatal(err)
		}
		if s.CPU != nil && s.CPU.Throttled > 0 && s.CPU.ThrottledTime > 0 && s.CPU.Usage > 20*time.Millisecond && *s.Memory.Anon >= 8_000_000 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("CPU %+v, memory %+v", s.CPU, s.Memory)
		}
	}
	m := s.Memory
	if m.Usage < 8_000_000 || m.Max == nil || *m.Max < m.Usage || *m.Limit != 64<<20 || m.File == nil || m.Shmem == nil || m.Kernel == nil || *m.OutOfMemoryKills != 0 || len(m.Detail) < 10 {
		t.Errorf("memory %+v", m)
	}
	if c.unified != "" && c.dirs["memory"] == "" && (m.Slab == nil || m.PageTables == nil || *m.PageTables == 0) {
		t.Errorf("memory %+v", m)
	}
	// The kernel may count user and system time in ticks, and usage exactly.
	if s.CPU.User <= 0 || s.CPU.Periods < s.CPU.Throttled || s.CPU.Bursts == nil {
		t.Errorf("CPU %+v", s.CPU)
	}
	if s.Pids == nil || s.Pids.Limit != 50 || s.Pids.Current < 2 || s.Pids.Current > 50 {
		t.Errorf("processes %+v", s.Pids)
	}
	t.Logf("%+v pressure %v huge %v io %v", s.CPU, s.Pressure, s.Hugetlb, s.IO)
}

func TestStatsOfNothing(t *testing.T) {
	s, err := (&Cgroup{}).Stats()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&Stats{}, s); diff != "" {
		t.Error(diff)
	}
}

func TestDelegate(t *testing.T) {
	onEach(t, func(t *testing.T, h *Host) {
		c := h.make(t, nil)
		if err := c.Delegate(1234, 5678); err != nil {
			t.Fatal(err)
		}
		for _, dir := range c.list {
			for file, handed := range map[string]bool{"": h.Mode == "v2", "/cgroup.procs": h.Mode == "v2", "/cgroup.events": false} {
				var st unix.Stat_t
				if err := unix.Stat(dir+file, &st); err == nil && (st.Uid == 1234) != handed {
					t.Errorf("%s%s belongs to %d", dir, file, st.Uid)
				}
			}
		}
	})
}
