package cgroup

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

func limit(bytes int64) *specs.LinuxResources {
	return &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &bytes}}
}

func cpus(quota int64, period uint64) *specs.LinuxResources {
	r := &specs.LinuxResources{CPU: &specs.LinuxCPU{}}
	if quota != 0 {
		r.CPU.Quota = &quota
	}
	if period != 0 {
		r.CPU.Period = &period
	}
	return r
}

func processLimit(n int64) *specs.LinuxResources {
	return &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &n}}
}

func ptr[T any](v T) *T { return &v }

func on(version int) func(part) int {
	return func(p part) int {
		if version == 1 && p.v1 == "" || version == 2 && p.v2 == "" && p.field != "unified" {
			return 0
		}
		return version
	}
}

// files gives settings as "FILE=VALUE", in the order in which they are written,
// with what they depend on.
func files(t *testing.T, r *specs.LinuxResources, version int) ([]string, string) {
	t.Helper()
	list, err := plan(r, on(version))
	if err != nil {
		return nil, err.Error()
	}
	var lines []string
	for _, s := range list {
		line := s.file + "=" + s.value
		if s.second {
			line = s.file + "=(as it is) " + s.value
		}
		if s.program != nil {
			line = "a program for devices"
		}
		if o := s.otherwise; o != nil {
			line += " or " + o.file + "=" + o.value
		}
		if s.optional {
			line += " if it is there"
		}
		if s.initial {
			line += " if not new"
		}
		lines = append(lines, line)
		if s.program == nil && !strings.HasPrefix(s.file, s.controller+".") && s.controller != "cpuset" {
			t.Errorf("%s is not a file of %s", s.file, s.controller)
		}
		if s.version != version || s.field == "" {
			t.Errorf("%+v", s)
		}
	}
	return lines, ""
}

// TestSettings holds the files and values, in the order in which they are
// written, for both versions; a single one with a colon is the error.
func TestSettings(t *testing.T) {
	all := limit(256 << 20)
	all.CPU, all.Pids = cpus(50_000, 100_000).CPU, processLimit(64).Pids
	mem := func(m specs.LinuxMemory) *specs.LinuxResources { return &specs.LinuxResources{Memory: &m} }
	cpu := func(c specs.LinuxCPU) *specs.LinuxResources { return &specs.LinuxResources{CPU: &c} }
	blk := func(b specs.LinuxBlockIO) *specs.LinuxResources { return &specs.LinuxResources{BlockIO: &b} }
	dev := specs.LinuxBlockIODevice{Major: 8, Minor: 16}
	for _, tt := range []struct {
		name   string
		r      *specs.LinuxResources
		v1, v2 []string
	}{
		{"none", nil, nil, nil},
		{"empty", &specs.LinuxResources{Memory: &specs.LinuxMemory{}, CPU: &specs.LinuxCPU{}, Pids: &specs.LinuxPids{}, BlockIO: &specs.LinuxBlockIO{}, Network: &specs.LinuxNetwork{}}, nil, nil},
		{"all", all,
			[]string{"memory.limit_in_bytes=268435456", "cpu.cfs_period_us=100000 if not new", "cpu.cfs_quota_us=50000", "pids.max=64"},
			[]string{"memory.max=268435456", "cpu.max=50000 100000", "pids.max=64"}},

		{"memory", limit(1 << 20), []string{"memory.limit_in_bytes=1048576"}, []string{"memory.max=1048576"}},
		{"memory 0", limit(0), []string{"memory.limit_in_bytes=0"}, []string{"memory.max=0"}},
		{"memory unlimited", limit(-1),
			[]string{"memory.limit_in_bytes=-1", "memory.memsw.limit_in_bytes=-1 if it is there if not new"},
			[]string{"memory.max=max", "memory.swap.max=max if it is there"}},
		{"swap", mem(specs.LinuxMemory{Limit: ptr(int64(100)), Swap: ptr(int64(150))}),
			[]string{"memory.limit_in_bytes=100", "memory.memsw.limit_in_bytes=150"}, []string{"memory.max=100", "memory.swap.max=50"}},
		{"no swap", mem(specs.LinuxMemory{Limit: ptr(int64(100)), Swap: ptr(int64(100))}),
			[]string{"memory.limit_in_bytes=100", "memory.memsw.limit_in_bytes=100"}, []string{"memory.max=100", "memory.swap.max=0 if it is there"}},
		{"swap unlimited", mem(specs.LinuxMemory{Limit: ptr(int64(100)), Swap: ptr(int64(-1))}),
			[]string{"memory.limit_in_bytes=100", "memory.memsw.limit_in_bytes=-1"}, []string{"memory.max=100", "memory.swap.max=max if it is there"}},
		{"swap not set", mem(specs.LinuxMemory{Limit: ptr(int64(100)), Swap: ptr(int64(0))}),
			[]string{"memory.limit_in_bytes=100"}, []string{"memory.max=100"}},
		{"swap alone", mem(specs.LinuxMemory{Swap: ptr(int64(100))}),
			[]string{"memory.memsw.limit_in_bytes=100"}, []string{"linux.resources.memory.swap: cgroup v2 limits swap alone, so memory.limit is needed to subtract it"}},
		{"swap limited, memory not", mem(specs.LinuxMemory{Limit: ptr(int64(-1)), Swap: ptr(int64(100))}),
			[]string{"memory.limit_in_bytes=-1", "memory.memsw.limit_in_bytes=100"}, []string{"memory.max=max", "memory.swap.max=100"}},
		{"reservation", mem(specs.LinuxMemory{Reservation: ptr(int64(100))}), []string{"memory.soft_limit_in_bytes=100"}, []string{"memory.low=100"}},
		{"reservation unlimited", mem(specs.LinuxMemory{Reservation: ptr(int64(-1))}), []string{"memory.soft_limit_in_bytes=-1"}, []string{"memory.low=max"}},
		//lint:ignore SA1019 See Ignored.
		{"kernel", mem(specs.LinuxMemory{Kernel: ptr(int64(100))}), nil, nil},
		{"kernelTCP", mem(specs.LinuxMemory{KernelTCP: ptr(int64(100))}), []string{"memory.kmem.tcp.limit_in_bytes=100"},
			[]string{"linux.resources.memory.kernelTCP: cgroup v2 has no limit of its own for TCP; it counts to memory.limit"}},
		{"kernelTCP unlimited", mem(specs.LinuxMemory{KernelTCP: ptr(int64(-1))}), []string{"memory.kmem.tcp.limit_in_bytes=-1 if it is there"}, nil},
		{"swappiness", mem(specs.LinuxMemory{Swappiness: ptr(uint64(0))}), []string{"memory.swappiness=0"},
			[]string{"linux.resources.memory.swappiness: cgroup v2 has none, but sysctl vm.swappiness for all"}},
		{"OOM killer off", mem(specs.LinuxMemory{DisableOOMKiller: ptr(true)}), []string{"memory.oom_control=1"},
			[]string{`linux.resources.memory.disableOOMKiller: cgroup v2 cannot; use unified["memory.high"], which slows down instead of killing`}},
		{"OOM killer on", mem(specs.LinuxMemory{DisableOOMKiller: ptr(false)}), []string{"memory.oom_control=0 if not new"}, nil},
		{"hierarchy", mem(specs.LinuxMemory{UseHierarchy: ptr(true)}), []string{"memory.use_hierarchy=1 if it is there"}, nil},
		{"no hierarchy", mem(specs.LinuxMemory{UseHierarchy: ptr(false)}), []string{"memory.use_hierarchy=0"},
			[]string{"linux.resources.memory.useHierarchy: cgroup v2 always counts the groups below"}},

		{"quota only", cpus(150_000, 0), []string{"cpu.cfs_quota_us=150000"}, []string{"cpu.max=150000"}},
		{"quota and period", cpus(5_000, 20_000), []string{"cpu.cfs_period_us=20000", "cpu.cfs_quota_us=5000"}, []string{"cpu.max=5000 20000"}},
		{"period only", cpus(0, 20_000), []string{"cpu.cfs_period_us=20000"}, []string{"cpu.max=(as it is) 20000"}},
		{"quota unlimited", cpus(-1, 0), []string{"cpu.cfs_quota_us=-1"}, []string{"cpu.max=max"}},
		{"quota 0", cpu(specs.LinuxCPU{Quota: ptr(int64(0))}), []string{"cpu.cfs_quota_us=-1"}, []string{"cpu.max=max"}},
		{"burst", cpu(specs.LinuxCPU{Quota: ptr(int64(5000)), Burst: ptr(uint64(3000))}),
			[]string{"cpu.cfs_quota_us=5000", "cpu.cfs_burst_us=3000"}, []string{"cpu.max=5000", "cpu.max.burst=3000"}},
		{"no burst", cpu(specs.LinuxCPU{Burst: ptr(uint64(0))}), []string{"cpu.cfs_burst_us=0 if it is there"}, []string{"cpu.max.burst=0 if it is there"}},
		{"shares", cpu(specs.LinuxCPU{Shares: ptr(uint64(1024))}), []string{"cpu.shares=1024"}, []string{"cpu.weight=100"}},
		{"shares not set", cpu(specs.LinuxCPU{Shares: ptr(uint64(0))}), nil, nil},
		{"idle", cpu(specs.LinuxCPU{Idle: ptr(int64(1))}), []string{"cpu.idle=1"}, []string{"cpu.idle=1"}},
		{"not idle", cpu(specs.LinuxCPU{Idle: ptr(int64(0))}), []string{"cpu.idle=0 if it is there if not new"}, []string{"cpu.idle=0 if it is there if not new"}},
		{"realtime", cpu(specs.LinuxCPU{RealtimeRuntime: ptr(int64(950)), RealtimePeriod: ptr(uint64(1000))}),
			[]string{"cpu.rt_period_us=1000", "cpu.rt_runtime_us=950"},
			[]string{"linux.resources.cpu.realtimeRuntime: cgroup v2 has no control of realtime processes"}},
		{"cpuset", cpu(specs.LinuxCPU{Cpus: "0-1", Mems: "0"}), []string{"cpuset.cpus=0-1", "cpuset.mems=0"}, []string{"cpuset.cpus=0-1", "cpuset.mems=0"}},

		{"processes unlimited", processLimit(-1), []string{"pids.max=max"}, []string{"pids.max=max"}},
		{"no processes", processLimit(0), []string{"pids.max=0"}, []string{"pids.max=0"}},

		{"io weight", blk(specs.LinuxBlockIO{Weight: ptr(uint16(500)), WeightDevice: []specs.LinuxWeightDevice{{LinuxBlockIODevice: dev, Weight: ptr(uint16(1000))}}}),
			[]string{"blkio.bfq.weight=500 or blkio.weight=500", "blkio.bfq.weight_device=8:16 1000 or blkio.weight_device=8:16 1000"},
			[]string{"io.bfq.weight=500 or io.weight=4950", "io.bfq.weight=8:16 1000 or io.weight=8:16 10000"}},
		{"io leaf weight", blk(specs.LinuxBlockIO{LeafWeight: ptr(uint16(500))}), []string{"blkio.leaf_weight=500"},
			[]string{"linux.resources.blockIO.leafWeight: cgroup v2 has none: only a leaf holds processes"}},
		{"io leaf weight of a device", blk(specs.LinuxBlockIO{WeightDevice: []specs.LinuxWeightDevice{{LinuxBlockIODevice: dev, LeafWeight: ptr(uint16(500))}}}),
			[]string{"blkio.leaf_weight_device=8:16 500"},
			[]string{"linux.resources.blockIO.weightDevice[0].leafWeight: cgroup v2 has none: only a leaf holds processes"}},
		{"io limits", blk(specs.LinuxBlockIO{
			ThrottleReadBpsDevice:   []specs.LinuxThrottleDevice{{LinuxBlockIODevice: dev, Rate: 600}, {Rate: 0}},
			ThrottleWriteBpsDevice:  []specs.LinuxThrottleDevice{{LinuxBlockIODevice: dev, Rate: 700}},
			ThrottleReadIOPSDevice:  []specs.LinuxThrottleDevice{{LinuxBlockIODevice: dev, Rate: 8}},
			ThrottleWriteIOPSDevice: []specs.LinuxThrottleDevice{{LinuxBlockIODevice: dev, Rate: 9}},
		}),
			[]string{"blkio.throttle.read_bps_device=8:16 600", "blkio.throttle.read_bps_device=0:0 0", "blkio.throttle.write_bps_device=8:16 700", "blkio.throttle.read_iops_device=8:16 8", "blkio.throttle.write_iops_device=8:16 9"},
			[]string{"io.max=8:16 rbps=600 wbps=700 riops=8 wiops=9", "io.max=0:0 rbps=max"}},

		{"huge pages", &specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 4 << 20}}},
			[]string{"hugetlb.2MB.limit_in_bytes=4194304", "hugetlb.2MB.rsvd.limit_in_bytes=4194304 if it is there"},
			[]string{"hugetlb.2MB.max=4194304", "hugetlb.2MB.rsvd.max=4194304 if it is there"}},
		{"rdma", &specs.LinuxResources{Rdma: map[string]specs.LinuxRdma{"mlx5_1": {HcaHandles: ptr(uint32(3)), HcaObjects: ptr(uint32(10000))}, "a": {HcaObjects: ptr(uint32(0))}}},
			[]string{"rdma.max=a hca_object=0", "rdma.max=mlx5_1 hca_handle=3 hca_object=10000"}, []string{"rdma.max=a hca_object=0", "rdma.max=mlx5_1 hca_handle=3 hca_object=10000"}},
		{"network class", &specs.LinuxResources{Network: &specs.LinuxNetwork{ClassID: ptr(uint32(0x100001))}},
			[]string{"net_cls.classid=1048577"}, []string{"linux.resources.network.classID: the cgroups have no net_cls controller, which is one of version 1"}},
		{"network priorities", &specs.LinuxResources{Network: &specs.LinuxNetwork{Priorities: []specs.LinuxInterfacePriority{{Name: "eth0", Priority: 500}}}},
			[]string{"net_prio.ifpriomap=eth0 500"}, []string{"linux.resources.network.priorities[0]: the cgroups have no net_prio controller, which is one of version 1"}},
		{"unified", &specs.LinuxResources{Unified: map[string]string{"memory.high": "100", "io.max": "8:0 rbps=1\n8:16 rbps=2\n", "cpuset.cpus": ""}},
			[]string{`linux.resources.unified["cpuset.cpus"]: needs cgroup v2`},
			[]string{"cpuset.cpus=\n", "io.max=8:0 rbps=1", "io.max=8:16 rbps=2", "memory.high=100"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for version, want := range map[int][]string{1: tt.v1, 2: tt.v2} {
				if err := Check(tt.r); err != nil {
					t.Error(err)
				}
				got, err := files(t, tt.r, version)
				if err != "" {
					got = []string{err}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("v%d: %s", version, diff)
				}
			}
		})
	}
}

// TestPlanMixed: on a hybrid host each controller is where it is, and a limit
// for one that is nowhere is refused.
func TestPlanMixed(t *testing.T) {
	h := &Host{V1: map[string]string{"cpu": "/cpu"}, Unified: "/unified", V2: []string{"memory"}}
	r := limit(100)
	r.CPU = cpus(5000, 0).CPU
	list, err := plan(r, h.version)
	if err != nil || len(list) != 2 || list[0].version != 2 || list[0].file != "memory.max" || list[1].version != 1 || list[1].file != "cpu.cfs_quota_us" {
		t.Errorf("%+v, %v", list, err)
	}
	for _, tt := range []struct {
		r    *specs.LinuxResources
		want string
	}{
		{processLimit(1), "linux.resources.pids.limit: the cgroups have no pids controller"},
		{&specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "0"}}, "linux.resources.cpu.cpus: the cgroups have no cpuset controller"},
		{&specs.LinuxResources{Rdma: map[string]specs.LinuxRdma{"a": {HcaObjects: ptr(uint32(0))}}}, `linux.resources.rdma["a"]: the cgroups have no rdma controller`},
	} {
		if _, err := plan(tt.r, h.version); err == nil || err.Error() != tt.want {
			t.Errorf("error %v, want %q", err, tt.want)
		}
	}
}

func TestCPUWeight(t *testing.T) {
	last := uint64(0)
	for _, tt := range []struct{ shares, weight uint64 }{
		{0, 1}, {1, 1}, {2, 1}, {3, 2}, {512, 59}, {1024, 100}, {2048, 174}, {1<<18 - 1, 10_000}, {1 << 18, 10_000}, {1 << 63, 10_000},
	} {
		got := cpuWeight(tt.shares)
		if got != tt.weight || got < last {
			t.Errorf("%d shares: %d, want %d", tt.shares, got, tt.weight)
		}
		last = got
	}
	if ioWeight(10) != 1 || ioWeight(1000) != 10_000 {
		t.Error(ioWeight(10), ioWeight(1000))
	}
}

func TestIgnored(t *testing.T) {
	//lint:ignore SA1019 That is tested.
	if got := Ignored(&specs.LinuxResources{Memory: &specs.LinuxMemory{Kernel: ptr(int64(1))}}); len(got) != 1 || !strings.Contains(got[0], "memory.kernel") {
		t.Errorf("%q", got)
	}
	if got := Ignored(nil); got != nil {
		t.Errorf("%q", got)
	}
}

func TestCheck(t *testing.T) {
	devices := func(d specs.LinuxDeviceCgroup) *specs.LinuxResources {
		return &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{}, d}}
	}
	huge := func(size string) *specs.LinuxResources {
		return &specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: size}}}
	}
	raw := func(file string) *specs.LinuxResources {
		return &specs.LinuxResources{Unified: map[string]string{file: "1"}}
	}
	set := func(list string) *specs.LinuxResources {
		return &specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: list}}
	}
	for _, tt := range []struct {
		name string
		r    *specs.LinuxResources
		want string // of the error; "" is none
	}{
		{"none", nil, ""},
		{"empty", &specs.LinuxResources{}, ""},
		{"memory", limit(1 << 20), ""},
		{"memory unlimited", limit(-1), ""},
		{"processes", processLimit(64), ""},
		{"least period and quota", cpus(1000, 1000), ""},
		{"small quota, greatest period", cpus(1, 1_000_000), "linux.resources.cpu.quota: 1 is less than 1000"},
		{"period", cpus(-1, 1_000_000), ""},
		{"short period", cpus(0, 999), "linux.resources.cpu.period: 999 is not in 1000..1000000"},
		{"long period", cpus(0, 1_000_001), "linux.resources.cpu.period: 1000001 is not in 1000..1000000"},
		{"small quota", cpus(999, 0), "linux.resources.cpu.quota: 999 is less than 1000"},
		{"burst", &specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(1000)), Burst: ptr(uint64(1001))}}, "linux.resources.cpu.burst: 1001 is more than"},
		{"burst of no quota", &specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(-1)), Burst: ptr(uint64(1001))}}, ""},
		{"idle", &specs.LinuxResources{CPU: &specs.LinuxCPU{Idle: ptr(int64(2))}}, "linux.resources.cpu.idle: 2 is neither"},
		{"a set", set("0-3,7"), ""},
		{"a set with a name", set("0,x"), `linux.resources.cpu.cpus: "0,x" is not a list`},
		{"a set with a space", set("0 1"), `linux.resources.cpu.cpus: `},
		{"a set that goes down", set("3-0"), `linux.resources.cpu.cpus: `},
		{"a set with an end", set("0,"), `linux.resources.cpu.cpus: `},
		{"swap below memory", &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(2)), Swap: ptr(int64(1))}}, "linux.resources.memory.swap: 1 is"},
		{"swappiness", &specs.LinuxResources{Memory: &specs.LinuxMemory{Swappiness: ptr(uint64(101))}}, "linux.resources.memory.swappiness: 101 is"},
		{"io weight", &specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{Weight: ptr(uint16(9))}}, "linux.resources.blockIO.weight: 9 is not"},
		{"io weight of a device", &specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{WeightDevice: []specs.LinuxWeightDevice{{}}}}, "linux.resources.blockIO.weightDevice[0]: has neither"},
		{"io limit", &specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{ThrottleReadIOPSDevice: []specs.LinuxThrottleDevice{{LinuxBlockIODevice: specs.LinuxBlockIODevice{Major: -1}}}}}, "linux.resources.blockIO.throttleReadIOPSDevice[0]: -1:0 is no device"},
		{"huge pages", huge("2MB"), ""},
		{"huge pages, lower case", huge("2mb"), `linux.resources.hugepageLimits[0].pageSize: "2mb"`},
		{"huge pages, path", huge("../2MB"), `linux.resources.hugepageLimits[0].pageSize: "../2MB"`},
		{"huge pages, nothing", huge(""), `linux.resources.hugepageLimits[0].pageSize: ""`},
		{"interface", &specs.LinuxResources{Network: &specs.LinuxNetwork{Priorities: []specs.LinuxInterfacePriority{{Name: "a b"}}}}, `linux.resources.network.priorities[0].name: "a b"`},
		{"rdma", &specs.LinuxResources{Rdma: map[string]specs.LinuxRdma{"mlx": {}}}, `linux.resources.rdma["mlx"]: has neither`},
		{"rdma's name", &specs.LinuxResources{Rdma: map[string]specs.LinuxRdma{"a b": {}}}, `linux.resources.rdma["a b"]: is not the name`},
		{"unified", raw("memory.high"), ""},
		{"unified, another folder", raw("../memory.high"), `linux.resources.unified["../memory.high"]: is not the name`},
		{"unified, no controller", raw("tasks"), `linux.resources.unified["tasks"]: is not the name`},
		{"unified, processes", raw("cgroup.procs"), `linux.resources.unified["cgroup.procs"]: is not a limit`},
		{"devices", devices(specs.LinuxDeviceCgroup{Type: "c", Major: ptr(int64(1)), Minor: ptr(int64(-1)), Access: "rw"}), ""},
		{"device type", devices(specs.LinuxDeviceCgroup{Type: "p"}), `linux.resources.devices[1].type: "p" is none`},
		{"device number", devices(specs.LinuxDeviceCgroup{Minor: ptr(int64(-2))}), `linux.resources.devices[1].minor: -2 is no number`},
		{"device access", devices(specs.LinuxDeviceCgroup{Access: "rx"}), `linux.resources.devices[1].access: "rx" is not`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := Check(tt.r)
			if (err == nil) != (tt.want == "") || (err != nil && !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// FuzzResources: whatever a config.json asks for, nothing panics, an error names
// a field, and what passes Check is written to files of the group and to no
// other.
func FuzzResources(f *testing.F) {
	f.Add([]byte(`{"memory":{"limit":1,"swap":2},"cpu":{"shares":3,"cpus":"0-1"},"devices":[{"allow":true,"type":"c","major":1}],"hugepageLimits":[{"pageSize":"2MB"}]}`))
	f.Add([]byte(`{"unified":{"io.max":"1\n2"},"rdma":{"a":{"hcaObjects":1}},"blockIO":{"weight":10,"weightDevice":[{"weight":10}]},"network":{"priorities":[{"name":"a"}]}}`))
	f.Fuzz(func(t *testing.T, config []byte) {
		var r specs.LinuxResources
		if json.Unmarshal(config, &r) != nil {
			return
		}
		if err := Check(&r); err != nil {
			if !strings.HasPrefix(err.Error(), "linux.resources.") {
				t.Error(err)
			}
			return
		}
		for _, version := range []int{0, 1, 2} {
			list, err := plan(&r, on(version))
			if err != nil && !strings.HasPrefix(err.Error(), "linux.resources.") {
				t.Error(err)
			}
			for _, s := range list {
				if strings.ContainsRune(s.file, '/') || s.program == nil && s.value == "" {
					t.Errorf("%+v", s)
				}
			}
		}
	})
}
