package report

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"vmctr/report/result"
	"vmctr/report/result/identity"
)

// The tests render runs that never were: plausible figures from a seeded
// generator.

const (
	ms  = 1e6
	mib = 1 << 20
)

func namespaces(first uint64, own ...string) map[string]uint64 {
	n := map[string]uint64{"cgroup": 4026531835, "ipc": 4026531839, "mnt": 4026531841, "net": 4026531840, "pid": 4026531836, "time": 4026531834, "user": 4026531837, "uts": 4026531838}
	for i, t := range own {
		n[t] = first + uint64(i)
	}
	return n
}

const hostBoot = "0f6ae2b1-6a2c-4c0e-9d53-7b8a1f2e3c4d"

var hostKernel = identity.Kernel{Sysname: "Linux", Release: "6.1.0-28-amd64", Version: "#1 SMP PREEMPT_DYNAMIC Debian 6.1.119-1 (2024-11-22)", Machine: "x86_64"}

// synthetic describes a run: how much each platform has.
type synthetic struct {
	startup, memory int // samples of each platform
	emulated        bool
}

func (o synthetic) run() *result.Run {
	rng := rand.New(rand.NewPCG(7, 7))
	// A floor and a long tail, as starts have.
	skewed := func(median, spread float64) float64 {
		return median * (0.97 + spread*math.Exp(rng.NormFloat64()*0.9)/2)
	}
	run := &result.Run{
		Header: result.Header{
			Schema: 1, ID: "20261124-024322-k3f9", Time: time.Date(2026, 11, 24, 2, 43, 22, 0, time.UTC),
			Command: []string{"bench", "all", "--out", "/home/student/lab/results", "--profile", "quick"}, Version: "v0.1.0",
			Profile: "quick", Seed: 2731846501, Platforms: []string{"process", "container", "vm-q35"}, Experiments: []string{"identity", "startup", "memory"},
			Image: result.Image{Name: "bench-workload", Digest: "sha256:4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a",
				Layers: []string{"sha256:aaaa", "sha256:bbbb"}, Bytes: 5_300_000},
			Host: result.Host{
				Hostname: "lab-07", OS: "Debian GNU/Linux 12 (bookworm)", Kernel: hostKernel, BootID: hostBoot,
				Cmdline: "BOOT_IMAGE=/boot/vmlinuz-6.1.0-28-amd64 root=UUID=6b1d3c2e-0000-4000-8000-abcdefabcdef ro quiet",
				CPU:     "Intel(R) Xeon(R) Processor @ 2.60GHz", CPUs: 2, MemTotal: 24 << 30, Virtualization: "KVM", Governor: "performance", Turbo: "off",
				THP: "madvise", KSM: "off", Cgroup: "hybrid", Root: true, LoadAvg: "0.31 0.22 0.18 1/213 40412",
				Pressure:    "some avg10=0.00 avg60=0.12 avg300=0.30 total=1234567 full avg10=0.00 avg60=0.00 avg300=0.00 total=0",
				Mitigations: map[string]string{"meltdown": "Mitigation: PTI", "spectre_v2": "Mitigation: Retpolines, IBPB: conditional, IBRS_FW, STIBP: disabled, RSB filling", "mds": "Not affected"},
				Namespaces:  namespaces(0), Go: "go1.26.0",
			},
		},
		Images: syntheticImages(),
		Platforms: []result.Platform{
			{Name: "process", Title: "plain process", Kind: "process", Status: result.Ready, Details: map[string]string{"limits": "none"}, PrepareNs: 12 * ms},
			{Name: "container", Title: "container (bench)", Kind: "container", Status: result.Ready, PrepareNs: 41 * ms,
				Details: map[string]string{"memory limit": "256 MiB", "CPU limit": "1", "pids limit": "64", "layers": "2", "cgroups": "hybrid"}},
			{Name: "vm-q35", Title: "virtual machine (QEMU, q35)", Kind: "vm", Status: result.Ready, Accelerator: "kvm", PrepareNs: 840 * ms,
				Details: map[string]string{"qemu": "7.2.15", "guest_kernel": "6.1.0-28-cloud-amd64", "memory": "256 MiB", "cpus": "1"},
				Parts:   []result.Part{{Name: "guest kernel", Bytes: 44_512_768}, {Name: "initramfs", Bytes: 7_730_941, WithImage: true}}},
		},
		End: &result.End{AtNs: 107 * 1e9, Reason: "complete"},
	}
	vm := 310 * ms
	if o.emulated {
		run.Platforms[2].Accelerator, run.Platforms[2].Emulated = "tcg", true
		vm = 2300 * ms
	}
	at := int64(2e9)
	add := func(s result.Sample) {
		s.AtNs = at
		at += 150 * ms
		run.Samples = append(run.Samples, s)
	}
	for i, p := range []string{"process", "container", "vm-q35"} {
		id := &identity.Identity{
			Kernel: hostKernel, BootID: hostBoot, Namespaces: namespaces(0), PID: 40411, UIDMap: "0 0 4294967295", Hostname: "lab-07", CPUs: 2, MemTotal: 24 << 30,
			Uptime: 91_204.2, Processes: 131, Interfaces: []string{"lo", "eth0"}, Mounts: 32, OSRelease: "Debian GNU/Linux 12 (bookworm)", RootFS: "ext4",
			Hypervisor: true, HyperName: "KVMKVMKVM", Capability: "000001ffffffffff", DataSHA256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
		}
		switch p {
		case "container":
			id.Namespaces = namespaces(4026532289, "cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
			id.PID, id.UIDMap, id.Hostname, id.Processes, id.Interfaces, id.Mounts = 1, "0 100000 65536", "bench", 1, []string{"lo"}, 14
			id.OSRelease, id.RootFS, id.Capability, id.Seccomp, id.NoNewPrivs = "", "overlay", "00000000a80425fb", 2, 1
		case "vm-q35":
			id.Kernel.Release, id.BootID = "6.1.0-28-cloud-amd64", "b7d5d6a3-44c1-4c3f-8a52-90c2f1f5e6aa"
			id.PID, id.Hostname, id.CPUs, id.MemTotal, id.Uptime, id.Processes, id.Interfaces, id.Mounts = 71, "(none)", 1, 221*mib, 1.9, 47, []string{"lo"}, 9
			id.OSRelease, id.RootFS = "", "tmpfs"
			if o.emulated {
				id.HyperName = "TCGTCGTCGTCG"
			}
		}
		add(result.Sample{Experiment: "identity", Platform: p, Position: i, Identity: id,
			Values: map[string]float64{"delay_ns": map[string]float64{"vm-q35": 212_000}[p] + 21_400}})
	}
	medians := map[string]float64{"process": 1.02 * ms, "container": 6.1 * ms, "vm-q35": vm}
	phases := map[string][]result.Phase{
		"process":   {{Name: "start", Ns: 0}, {Name: "exec", Ns: 700_000}},
		"container": {{Name: "start", Ns: 0}, {Name: "make cgroup", Ns: 120_000}, {Name: "clone", Ns: 900_000}, {Name: "mount", Ns: 1_600_000}, {Name: "pivot_root", Ns: 3_100_000}, {Name: "exec", Ns: 4_000_000}},
		"vm-q35": {{Name: "start", Ns: 0}, {Name: "qemu", Ns: 900_000}, {Name: "firmware", Ns: 61_000_000}, {Name: "loader", Ns: 95_000_000, ErrorNs: 1100},
			{Name: "entry", Ns: 99_000_000, ErrorNs: 1100}, {Name: "kernel", Ns: 140_000_000, ErrorNs: 600_000}, {Name: "init", Ns: 240_000_000, ErrorNs: 600_000}},
	}
	for round := -1; round < o.startup; round++ {
		for i, p := range []string{"process", "container", "vm-q35"} {
			if p == "vm-q35" && o.emulated && round >= (o.startup+1)/2 {
				continue // slow: fewer fit in the time
			}
			s := result.Sample{Experiment: "startup", Platform: p, Round: max(round, 0), Position: i, Warmup: round < 0,
				Values: map[string]float64{"first_instruction_ns": math.Round(skewed(medians[p], 0.08))}, Phases: phases[p]}
			if first := s.Values["first_instruction_ns"]; p != "nested" { // which cannot be reached
				s.Values["http_ns"], s.Values["http_unseen_ns"] = first+math.Round(1.1*ms+first/20), math.Round(0.2*ms+first/200)
			}
			add(s)
		}
	}
	for round := range o.memory {
		for i, p := range []string{"process", "container", "vm-q35"} {
			pss := map[string]float64{"process": 2.05 * mib, "container": 2.4 * mib, "vm-q35": 172 * mib}[p]
			pss = math.Round(pss * (1 + 0.01*rng.NormFloat64()))
			v := map[string]float64{"pss_bytes": pss, "uss_bytes": math.Round(pss * 0.93), "rss_bytes": math.Round(pss*1.08 + 0.4*mib), "processes": 1}
			if p != "process" {
				v["cgroup_bytes"] = math.Round(pss * 1.21)
			}
			add(result.Sample{Experiment: "memory", Platform: p, Round: round, Position: i, Values: v})
		}
	}
	return run
}

// syntheticImages are the measured image for two platforms, and images of one
// base that were named besides.
func syntheticImages() []result.StoredImage {
	layer := func(id byte, blob, archive, disk int64, by string) result.StoredLayer {
		digest := func(b byte) string { return "sha256:" + strings.Repeat(fmt.Sprintf("%02x", b), 32) }
		return result.StoredLayer{DiffID: digest(id), Digest: digest(id + 1), BlobBytes: blob, ArchiveBytes: archive, DiskBytes: disk, CreatedBy: by}
	}
	data := layer(0xa0, 1_050_135, 1_054_208, 1_060_864, "bench: 1 MiB of data, and /etc")
	foreign := data
	foreign.DiskBytes = 0
	base := layer(0xb0, 29_100_000, 78_600_000, 79_200_000, "bench build: packages of debian (minimal)")
	return []result.StoredImage{
		{Name: "workload:latest", Platform: "linux/amd64", Digest: "sha256:4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a", Measured: true,
			Layers: []result.StoredLayer{data, layer(0xa2, 1_308_501, 2_726_400, 2_732_032, "bench: the program")}},
		{Name: "workload:latest", Platform: "linux/arm64", Digest: "sha256:7a", Layers: []result.StoredLayer{foreign, layer(0xa4, 1_211_734, 2_689_536, 0, "bench: the program")}},
		{Name: "debian:12", Platform: "linux/amd64", Digest: "sha256:7b", Layers: []result.StoredLayer{base}},
		{Name: "nginx:latest", Platform: "linux/amd64", Digest: "sha256:7c", Layers: []result.StoredLayer{base, layer(0xb2, 4_200_000, 12_100_000, 12_300_000, "bench build: packages of nginx"), layer(0xb4, 612, 3_072, 8_192, "")}},
		{Name: "python:3", Platform: "linux/amd64", Digest: "sha256:7d", Layers: []result.StoredLayer{base, layer(0xb6, 11_800_000, 38_000_000, 38_400_000, "bench build: packages of python")}},
	}
}

// runs are the synthetic runs by name.
func runs() map[string]*result.Run {
	complete := synthetic{startup: 25, memory: 8}.run()
	emulated := synthetic{startup: 24, memory: 8, emulated: true}.run()

	noRoot := synthetic{startup: 25, memory: 8}.run()
	noRoot.Header.Host.Root = false
	unavailable := &noRoot.Platforms[1]
	unavailable.Status, unavailable.Reason, unavailable.Fix = result.Unavailable, "making a container needs root on this host", "run it with sudo: sudo scripts/bench all"
	noRoot.Samples = without(noRoot.Samples, "container", 0)

	failed := synthetic{startup: 25, memory: 8, emulated: true}.run()
	broken := &failed.Platforms[2]
	broken.Status, broken.Reason = result.Failed, "3 of its instances failed; the first: the guest did not get ready in 60 s; the end of its output:\n"+
		"[    1.204411] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)"
	failed.Samples = without(failed.Samples, "vm-q35", 4)
	for round := range 3 {
		failed.Samples = append(failed.Samples, result.Sample{Experiment: "startup", Platform: "vm-q35", Round: 4 + round, Fault: result.InstanceFault,
			Error: "the guest did not get ready in 60 s; the end of its output:\n[    1.204411] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)"})
	}

	few := synthetic{startup: 4, memory: 2}.run()
	few.Notes = []result.Note{{Text: "the host was busy: CPU pressure avg10 rose to 12.50 during the run"}}

	few.Images = nil // as an older bench wrote it
	few.Platforms[2].Parts = nil

	interrupted := synthetic{startup: 12, memory: 0}.run()
	interrupted.Images = interrupted.Images[:1]
	interrupted.End = &result.End{AtNs: 31e9, Reason: "interrupted"}

	truncated := synthetic{startup: 7, memory: 0}.run()
	truncated.End, truncated.Truncated = nil, true

	one := synthetic{startup: 25, memory: 8}.run()
	one.Header.Platforms, one.Platforms = []string{"container"}, one.Platforms[1:2]
	one.Samples = only(one.Samples, "container")

	header := &result.Run{Header: complete.Header}

	onlyFailures := synthetic{}.run()
	onlyFailures.Samples = nil
	for i := range onlyFailures.Platforms {
		onlyFailures.Platforms[i].Status, onlyFailures.Platforms[i].Reason = result.Failed, "the workload did not start: exec format error"
	}
	apart := synthetic{startup: 4, memory: 8, emulated: true}.run()
	takeApart(apart)
	return map[string]*result.Run{
		"machine-memory": apart, "many-platforms": manyPlatforms(), "nested": nestedRun(), "matrix": matrixRun(), "complete": complete, "emulated": emulated, "container-unavailable": noRoot, "vm-failed": failed, "few-samples": few,
		"interrupted": interrupted, "truncated": truncated, "one-platform": one, "header-only": header, "only-failures": onlyFailures,
	}
}

// manyPlatforms is the run that is hardest to set: platforms of each kind with long
// names, several of them emulated and with too few samples, figures of very
// different sizes, ratios of five digits.
func manyPlatforms() *result.Run {
	run := synthetic{startup: 25, memory: 8, emulated: true}.run()
	copyOf := func(name, from string, times float64, keep int) {
		i := slices.IndexFunc(run.Platforms, func(p result.Platform) bool { return p.Name == from })
		p := run.Platforms[i]
		p.Name = name
		run.Platforms = append(run.Platforms, p)
		run.Header.Platforms = append(run.Header.Platforms, name)
		n := map[string]int{}
		for _, s := range run.Samples {
			if s.Platform != from || n[s.Experiment] >= keep {
				continue
			}
			n[s.Experiment]++
			s.Platform = name
			values := map[string]float64{}
			for k, v := range s.Values {
				values[k] = math.Round(v * times)
			}
			s.Values = values
			run.Samples = append(run.Samples, s)
		}
	}
	copyOf("container,-seccomp", "container", 0.93, 100)
	copyOf("runc", "container", 5.1, 100)
	copyOf("crun", "container", 2.2, 100)
	copyOf("vm-q35,bzimage", "vm-q35", 14.7, 100)
	copyOf("vm-microvm,virtio-mmio", "vm-q35", 11.3, 3)
	copyOf("vm-pc", "vm-q35", 0.98, 100)
	copyOf("nested", "vm-q35", 33, 5)
	for i := range run.Platforms {
		if p := &run.Platforms[i]; p.Name == "vm-microvm,virtio-mmio" {
			p.Status, p.Reason = result.Failed, "its instances failed 3 times in a row"
		} else if p.Name == "nested" {
			p.Kind = "nested"
		}
	}
	return run
}

// without leaves out a platform's samples after the first n.
func without(samples []result.Sample, platform string, n int) []result.Sample {
	var kept []result.Sample
	for _, s := range samples {
		if s.Platform == platform {
			if n <= 0 {
				continue
			}
			n--
		}
		kept = append(kept, s)
	}
	return kept
}

func only(samples []result.Sample, platform string) []result.Sample {
	var kept []result.Sample
	for _, s := range samples {
		if s.Platform == platform {
			kept = append(kept, s)
		}
	}
	return kept
}

// everyRun are the runs of all tests, so that together they have every section.
func everyRun() map[string]*result.Run {
	all := runs()
	watched := synthetic{startup: 25, memory: 8}.run()
	watched.Blocks = []result.Block{{Experiment: "startup", Pressure: map[string]float64{"cpu some": 0.1}, Steal: 0.004, Load: 0.5}}
	watched.Header.Host.Virtualization = ""
	for name, run := range map[string]*result.Run{
		"watched":      watched,
		"applications": applicationRun(), "changes": changesRun(), "memory-more": moreMemory(), "elastic": elasticRun(), "walls": wallsRun("rrrr", "bbbr", "bbri", "bbbi", true),
		"views": seenRun(), "functions": tracedRun(), "interference": interferenceRun(), "faults": faultsRun(), "surface": surfaceRun(), "selftest": selftestRun(0.02),
	} {
		all[name] = run
	}
	return all
}
