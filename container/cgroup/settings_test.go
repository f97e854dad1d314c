package cgroup

import (
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

// TestSettings holds the files and values, in the order in which they are
// written, for both versions.
func TestSettings(t *testing.T) {
	zero := int64(0)
	all := limit(256 << 20)
	all.CPU, all.Pids = cpus(50_000, 100_000).CPU, processLimit(64).Pids
	for _, tt := range []struct {
		name   string
		r      *specs.LinuxResources
		v1, v2 []string // "FILE=VALUE"
	}{
		{"none", nil, nil, nil},
		{"empty", &specs.LinuxResources{Memory: &specs.LinuxMemory{}, CPU: &specs.LinuxCPU{}, Pids: &specs.LinuxPids{}}, nil, nil},
		{"all", all,
			[]string{"memory.limit_in_bytes=268435456", "cpu.cfs_period_us=100000", "cpu.cfs_quota_us=50000", "pids.max=64"},
			[]string{"memory.max=268435456", "cpu.max=50000 100000", "pids.max=64"}},
		{"memory", limit(1 << 20), []string{"memory.limit_in_bytes=1048576"}, []string{"memory.max=1048576"}},
		{"memory 0", limit(0), []string{"memory.limit_in_bytes=0"}, []string{"memory.max=0"}},
		{"memory unlimited", limit(-1), []string{"memory.limit_in_bytes=-1"}, []string{"memory.max=max"}},
		{"quota only", cpus(150_000, 0), []string{"cpu.cfs_period_us=100000", "cpu.cfs_quota_us=150000"}, []string{"cpu.max=150000 100000"}},
		// The kernel checks a quota against the period that it finds, so that
		// comes first.
		{"quota and period", cpus(5_000, 20_000), []string{"cpu.cfs_period_us=20000", "cpu.cfs_quota_us=5000"}, []string{"cpu.max=5000 20000"}},
		{"period only", cpus(0, 20_000), []string{"cpu.cfs_period_us=20000", "cpu.cfs_quota_us=-1"}, []string{"cpu.max=max 20000"}},
		{"quota unlimited", cpus(-1, 0), []string{"cpu.cfs_period_us=100000", "cpu.cfs_quota_us=-1"}, []string{"cpu.max=max 100000"}},
		{"quota 0", &specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: &zero}}, []string{"cpu.cfs_period_us=100000", "cpu.cfs_quota_us=-1"}, []string{"cpu.max=max 100000"}},
		{"processes unlimited", processLimit(-1), []string{"pids.max=max"}, []string{"pids.max=max"}},
		{"no processes", processLimit(0), []string{"pids.max=0"}, []string{"pids.max=0"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var v1, v2 []string
			for _, s := range settings(tt.r) {
				if s.v1 != "" {
					v1 = append(v1, s.v1+"="+s.value1)
				}
				if s.v2 != "" {
					v2 = append(v2, s.v2+"="+s.value2)
				}
				for _, file := range []string{s.v1, s.v2} {
					if file != "" && !strings.HasPrefix(file, s.controller+".") {
						t.Errorf("%s is not a file of %s", file, s.controller)
					}
				}
			}
			if diff := cmp.Diff(tt.v1, v1); diff != "" {
				t.Error("v1:", diff)
			}
			if diff := cmp.Diff(tt.v2, v2); diff != "" {
				t.Error("v2:", diff)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	n, u := int64(1), uint64(1)
	yes := true
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
		{"greatest period", cpus(1, 1_000_000), "linux.resources.cpu.quota: 1 is less than 1000"},
		{"period", cpus(-1, 1_000_000), ""},
		{"short period", cpus(0, 999), "linux.resources.cpu.period: 999 is not in 1000..1000000"},
		{"long period", cpus(0, 1_000_001), "linux.resources.cpu.period: 1000001 is not in 1000..1000000"},
		{"small quota", cpus(999, 0), "linux.resources.cpu.quota: 999 is less than 1000"},

		{"devices", &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: true}}}, "linux.resources.devices: only"},
		{"blockIO", &specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{}}, "linux.resources.blockIO: only"},
		{"hugepageLimits", &specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{}}}, "linux.resources.hugepageLimits: only"},
		{"network", &specs.LinuxResources{Network: &specs.LinuxNetwork{}}, "linux.resources.network: only"},
		{"rdma", &specs.LinuxResources{Rdma: map[string]specs.LinuxRdma{"mlx": {}}}, "linux.resources.rdma: only"},
		{"unified", &specs.LinuxResources{Unified: map[string]string{"memory.high": "1"}}, "linux.resources.unified: only"},
		{"memory.swap", &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &n, Swap: &n}}, "linux.resources.memory: only"},
		{"memory.disableOOMKiller", &specs.LinuxResources{Memory: &specs.LinuxMemory{DisableOOMKiller: &yes}}, "linux.resources.memory: only"},
		{"cpu.shares", &specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: &u}}, "linux.resources.cpu: only"},
		{"cpu.cpus", &specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "0"}}, "linux.resources.cpu: only"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := Check(tt.r)
			if (err == nil) != (tt.want == "") || (err != nil && !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}
