package container

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"vmctr/container/rootfs"
	"vmctr/container/step"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestCompile holds the calls that are made for a configuration, as strace
// would print them, against testdata/NAME.golden.
func TestCompile(t *testing.T) {
	all := []specs.LinuxNamespaceType{specs.PIDNamespace, specs.MountNamespace, specs.NetworkNamespace, specs.UTSNamespace, specs.IPCNamespace, specs.UserNamespace, specs.CgroupNamespace}
	for _, tt := range []struct {
		name   string
		mutate func(*specs.Spec, *descriptors)
	}{
		{"default", func(*specs.Spec, *descriptors) {}},
		{"no-user-namespace", func(s *specs.Spec, _ *descriptors) { without(s, specs.UserNamespace) }},
		{"only-pid-namespace", func(s *specs.Spec, _ *descriptors) {
			without(s, all[1:]...)
			s.Root.Path = "/srv/image"
			s.Process.Args = []string{"program", "argument"}
			s.Process.Env = []string{"PATH=/bin:/usr/bin", "TOKEN=secret"}
			s.Process.Capabilities = nil
		}},
		{"cgroup-v1", func(s *specs.Spec, fds *descriptors) { without(s, all[:6]...); fds.tasks = []int{11, 12, 13} }},
		{"read-only-root", func(s *specs.Spec, _ *descriptors) {
			s.Root.Readonly = true
			s.Mounts = s.Mounts[:1]
			s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil
		}},
		{"user", func(s *specs.Spec, _ *descriptors) {
			without(s, all...)
			s.Process.User = specs.User{UID: 1000, GID: 100, AdditionalGids: []uint32{4, 24}, Umask: pointer(uint32(0o077))}
			s.Process.Capabilities.Inheritable = []string{"CAP_NET_BIND_SERVICE"}
			s.Process.Capabilities.Ambient = []string{"CAP_NET_BIND_SERVICE"}
		}},
		// As the program of a virtual machine is started, by its PID 1.
		{"terminal-without-namespaces", func(s *specs.Spec, fds *descriptors) {
			without(s, all...)
			s.Process.Terminal, s.Process.ConsoleSize = true, &specs.Box{Height: 24, Width: 80}
			s.Process.Capabilities = nil
			fds.console = 11
		}},
		// As a virtual machine's QEMU is started by an ordinary user.
		{"ordinary-user-and-files", func(s *specs.Spec, fds *descriptors) {
			without(s, all...)
			s.Process.User = specs.User{UID: 1000, GID: 100}
			s.Process.Capabilities = nil
			fds.uid, fds.gid, fds.files = 1000, 100, []int{6, 7, 8, 9, 3}
		}},
		// An ordinary user's: the child makes what it mounts itself.
		{"rootless", func(s *specs.Spec, fds *descriptors) {
			without(s, specs.NetworkNamespace)
			ToRootless(s)
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/data", Source: "/home/data", Options: []string{"bind", "ro"}})
			fds.rootless, fds.root, fds.uid, fds.gid = true, -1, 1000, 100
			fds.tree = &tree{at: fds.at, binds: map[int]string{5: "/sys", 6: "/home/data"}, dirs: map[int]bool{5: true, 6: true}}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := DefaultSpec([]string{"/program", "argument"}, []string{"TOKEN=secret"}, "/")
			fds := descriptors{root: 10, at: "/containers/1/rootfs", self: 5, files: []int{6, 7, 8}}
			tt.mutate(s, &fds)
			if err := check(s, true); err != nil {
				t.Fatal(err)
			}
			p, _ := compile(s, fds)
			again, _ := compile(s, fds)
			got := fmt.Sprintf("# clone3 flags %#x\n%s", cloneFlags(s), p)
			if diff := cmp.Diff(p.String(), again.String()); diff != "" {
				t.Errorf("compiled twice, not the same:\n%s", diff)
			}
			if strings.Contains(got, "secret") {
				t.Error("the environment's values are printed")
			}
			golden := filepath.Join("testdata", tt.name+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatalf("%v; go test -update ./container writes it", err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		field  string // which the error has to name
		mutate func(*specs.Spec)
	}{
		{"ociVersion", func(s *specs.Spec) { s.Version = "" }},
		{"ociVersion", func(s *specs.Spec) { s.Version = "2.0.0" }},
		{"process.args", func(s *specs.Spec) { s.Process = nil }},
		{"process.args", func(s *specs.Spec) { s.Process.Args = nil }},
		{"process.args", func(s *specs.Spec) { s.Process.Args = []string{""} }},
		{"process.args", func(s *specs.Spec) { s.Process.Args = []string{"/x", "a\x00b"} }},
		{"process.env", func(s *specs.Spec) { s.Process.Env = []string{"A=\x00"} }},
		{"process.cwd", func(s *specs.Spec) { s.Process.Cwd = "" }},
		{"process.cwd", func(s *specs.Spec) { s.Process.Cwd = "bench" }},
		{"process.cwd", func(s *specs.Spec) { s.Process.Cwd = "/\x00" }},
		{"process.rlimits[0].type", func(s *specs.Spec) { s.Process.Rlimits = []specs.POSIXRlimit{{Type: "CPU"}} }},
		{"process.rlimits[0]", func(s *specs.Spec) { s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_CPU", Soft: 2, Hard: 1}} }},
		{"process.rlimits[1].type", func(s *specs.Spec) {
			s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_CPU"}, {Type: "RLIMIT_CPU"}}
		}},
		{"process.apparmorProfile", func(s *specs.Spec) { s.Process.ApparmorProfile = "x" }},
		{"process.selinuxLabel", func(s *specs.Spec) { s.Process.SelinuxLabel = "x" }},
		{"process.oomScoreAdj", func(s *specs.Spec) { s.Process.OOMScoreAdj = pointer(1001) }},
		{"process.scheduler.policy", func(s *specs.Spec) { s.Process.Scheduler = &specs.Scheduler{} }},
		{"process.consoleSize", func(s *specs.Spec) { s.Process.ConsoleSize = &specs.Box{Height: 1 << 16} }},
		{"ociVersion", func(s *specs.Spec) { s.Version = "1.x" }},
		{"process.ioPriority.priority", func(s *specs.Spec) {
			s.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 8}
		}},
		{"process.ioPriority.class", func(s *specs.Spec) { s.Process.IOPriority = &specs.LinuxIOPriority{} }},
		{"process.execCPUAffinity.initial", func(s *specs.Spec) { s.Process.ExecCPUAffinity = &specs.CPUAffinity{Initial: "0-"} }},
		{"process.execCPUAffinity.final", func(s *specs.Spec) { s.Process.ExecCPUAffinity = &specs.CPUAffinity{Final: "2-1"} }},
		{"process.capabilities.bounding", func(s *specs.Spec) { s.Process.Capabilities.Bounding = []string{"CAP_FLY"} }},
		{"process.capabilities.effective", func(s *specs.Spec) { s.Process.Capabilities.Effective = []string{"KILL"} }},
		{"process.capabilities.permitted", func(s *specs.Spec) { s.Process.Capabilities.Permitted = []string{"cap_kill"} }},
		{"process.capabilities.inheritable", func(s *specs.Spec) { s.Process.Capabilities.Inheritable = []string{""} }},
		{"process.capabilities.ambient", func(s *specs.Spec) { s.Process.Capabilities.Ambient = []string{"x"} }},
		{"root", func(s *specs.Spec) { s.Root = nil }},
		{"root.path", func(s *specs.Spec) { without(s, specs.MountNamespace); s.Root.Path = "rootfs" }},
		{"root.path", func(s *specs.Spec) { s.Root.Path = "\x00" }},
		{"root.readonly", func(s *specs.Spec) { without(s, specs.MountNamespace); s.Root.Readonly = true }},
		{"hostname", func(s *specs.Spec) { s.Hostname = "a\x00" }},
		{"hostname", func(s *specs.Spec) { without(s, specs.UTSNamespace); s.Hostname = "a" }},
		{"domainname", func(s *specs.Spec) { without(s, specs.UTSNamespace); s.Domainname = "a" }},
		{"hooks.poststop[0].path", func(s *specs.Spec) { s.Hooks = &specs.Hooks{Poststop: []specs.Hook{{Path: "hook"}}} }},
		{"hooks.createContainer[1].timeout", func(s *specs.Spec) {
			s.Hooks = &specs.Hooks{CreateContainer: []specs.Hook{{Path: "/a"}, {Path: "/b", Timeout: pointer(0)}}}
		}},
		{"mounts", func(s *specs.Spec) { m := s.Mounts; without(s, specs.MountNamespace); s.Mounts = m }},
		{"mounts[1]", func(s *specs.Spec) { s.Mounts[1].Destination = "dev" }},
		{"mounts[1]", func(s *specs.Spec) { s.Mounts[1].Destination = "/./" }},
		{"mounts[2]", func(s *specs.Spec) { s.Mounts[2].Type = "" }},
		{"mounts[0]", func(s *specs.Spec) { s.Mounts[0].Type = "tmpfs" }},
		{"mounts[6]", func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/proc/sys/../self/attr", Source: "/x", Options: []string{"bind"}})
		}},
		{"mounts[2]", func(s *specs.Spec) { s.Mounts[2] = specs.Mount{Destination: "/x", Options: []string{"bind"}} }},
		{"mounts[0]", func(s *specs.Spec) { s.Mounts[0].Options = []string{"a\x00"} }},
		{"mounts[0]", func(s *specs.Spec) { s.Mounts[0].UIDMappings = s.Linux.UIDMappings }},
		{"linux.namespaces[7].type", func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: "space"})
		}},
		{"linux.namespaces[7].type", func(s *specs.Spec) { s.Linux.Namespaces = append(s.Linux.Namespaces, s.Linux.Namespaces[0]) }},
		{"linux.namespaces[2].path", func(s *specs.Spec) { s.Linux.Namespaces[2].Path = "proc/1/ns/net" }},
		{"linux.uidMappings", func(s *specs.Spec) { s.Linux.UIDMappings = nil }},
		{"linux.gidMappings", func(s *specs.Spec) { s.Linux.GIDMappings[0].ContainerID = 1 }},
		{"linux.uidMappings", func(s *specs.Spec) {
			ids := s.Linux.UIDMappings
			without(s, specs.UserNamespace)
			s.Linux.UIDMappings = ids
		}},
		{"linux.maskedPaths[0]", func(s *specs.Spec) { s.Linux.MaskedPaths[0] = "proc/kcore" }},
		{"linux.maskedPaths", func(s *specs.Spec) { s.Linux.MaskedPaths[0] = "/\x00" }},
		{"linux.maskedPaths", func(s *specs.Spec) { without(s, specs.MountNamespace); s.Linux.MaskedPaths = []string{"/x"} }},
		{"linux.readonlyPaths[1]", func(s *specs.Spec) { s.Linux.ReadonlyPaths[1] = "" }},
		{"linux.readonlyPaths", func(s *specs.Spec) { s.Linux.ReadonlyPaths[1] = "/\x00" }},
		{"linux.readonlyPaths", func(s *specs.Spec) { without(s, specs.MountNamespace); s.Linux.ReadonlyPaths = []string{"/x"} }},
		{"linux.cgroupsPath", func(s *specs.Spec) { s.Linux.Resources = &specs.LinuxResources{} }},
		{"linux.cgroupsPath", func(s *specs.Spec) { s.Linux.CgroupsPath = "/a\x00" }},
		{"linux.resources.memory.limit", func(s *specs.Spec) {
			s.Linux.CgroupsPath = "/a"
			s.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: pointer(int64(4096))}}
		}},
		{"linux.resources.memory.limit", func(s *specs.Spec) { // enough, but for these arguments
			s.Linux.CgroupsPath = "/a"
			s.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: pointer(int64(1 << 20))}}
			s.Process.Args = append(s.Process.Args, strings.Repeat("x", 1<<20))
		}},
		{"linux.resources.memory.swappiness", func(s *specs.Spec) {
			s.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Swappiness: pointer(uint64(101))}}
		}},
		{"linux.sysctl", func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"vm.swappiness": "1"} }},
		{"linux.sysctl", func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"net.../kernel/panic": "1"} }},
		{"linux.sysctl", func(s *specs.Spec) {
			without(s, specs.NetworkNamespace)
			s.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1"}
		}},
		{"linux.devices[0]", func(s *specs.Spec) { s.Linux.Devices = []specs.LinuxDevice{{}} }},
		{"linux.netDevices", func(s *specs.Spec) {
			without(s, specs.NetworkNamespace)
			s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"eth0": {}}
		}},
		{"linux.netDevices", func(s *specs.Spec) { s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"a name": {}} }},
		{"linux.netDevices", func(s *specs.Spec) { s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"eth0": {Name: "%d%d"}} }},
		{"linux.netDevices.eth0.name", func(s *specs.Spec) { s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"eth0": {Name: "lo"}} }},
		{"linux.netDevices.eth1.name", func(s *specs.Spec) {
			s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"eth0": {Name: "x"}, "eth1": {Name: "x"}}
		}},
		{"linux.rootfsPropagation", func(s *specs.Spec) { s.Linux.RootfsPropagation = "wide" }},
		{"linux.mountLabel", func(s *specs.Spec) { s.Linux.MountLabel = "x" }},
		{"linux.intelRdt", func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{} }},
		{"linux.memoryPolicy.mode", func(s *specs.Spec) { s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{} }},
		{"linux.memoryPolicy.nodes", func(s *specs.Spec) { s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind} }},
		{"linux.memoryPolicy.nodes", func(s *specs.Spec) {
			s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolLocal, Nodes: "0"}
		}},
		{"linux.memoryPolicy.nodes", func(s *specs.Spec) {
			s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "all"}
		}},
		{"linux.memoryPolicy.flags[0]", func(s *specs.Spec) {
			s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0", Flags: []specs.MemoryPolicyFlagType{"x"}}
		}},
		{"linux.personality", func(s *specs.Spec) { s.Linux.Personality = &specs.LinuxPersonality{} }},
		{"linux.timeOffsets", func(s *specs.Spec) { s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {}} }},
	} {
		s := DefaultSpec([]string{"/x"}, nil, "/")
		tt.mutate(s)
		if s.Process != nil && checkLabels(s) == nil && s.Process.ApparmorProfile+s.Process.SelinuxLabel+mountLabel(s) != "" {
			continue // this host has that module
		}
		if err := check(s, true); err == nil {
			t.Errorf("%s: accepted", tt.field)
		} else if !strings.HasPrefix(err.Error(), "config.json: "+tt.field+":") {
			t.Errorf("%s: the error names another field: %v", tt.field, err)
		}
	}
	if err := check(nil, true); err == nil {
		t.Error("no configuration: accepted")
	}
	noRoot := DefaultSpec([]string{"/x"}, nil, "/")
	noRoot.Root.Path = ""
	if err := check(noRoot, false); err == nil || !strings.Contains(err.Error(), "root.path: ") {
		t.Errorf("neither layers nor a folder: %v", err)
	}
	if err := check(DefaultSpec([]string{"/x"}, nil, "/"), true); err != nil {
		t.Errorf("the default: %v", err)
	}
	unlimited := sample()
	unlimited.Linux.Resources.Memory.Limit = pointer(int64(-1))
	if err := check(unlimited, true); err != nil {
		t.Errorf("no memory limit: %v", err)
	}
}

// TestCandidates: execvp(3).
func TestCandidates(t *testing.T) {
	for _, tt := range []struct {
		name string
		env  []string
		want []string
	}{
		{"/a/b", nil, []string{"/a/b"}},
		{"./b", []string{"PATH=/x"}, []string{"./b"}},
		{"b", []string{"PATH=/x:/y"}, []string{"/x/b", "/y/b"}},
		{"b", []string{"XPATH=/x", "PATH="}, []string{"/b"}},
		{"b", []string{"PATH=/x", "PATH=/y"}, []string{"/y/b"}},
	} {
		if diff := cmp.Diff(tt.want, candidates(tt.name, tt.env)); diff != "" {
			t.Errorf("%q with %q: -want +got:\n%s", tt.name, tt.env, diff)
		}
	}
}

// TestMountLabel: new file systems get the SELinux context, but for those that
// the kernel labels by itself.
func TestMountLabel(t *testing.T) {
	s := DefaultSpec([]string{"/program"}, nil, "/")
	s.Linux.MountLabel = "system_u:object_r:container_file_t:s0"
	p, _ := compile(s, descriptors{root: 10, at: "/containers/1/rootfs", self: 5, files: []int{6, 7, 8}})
	fstype, labelled := "", map[string]int{}
	for line := range strings.Lines(p.String()) {
		if _, after, ok := strings.Cut(line, `fsopen("`); ok {
			fstype, _, _ = strings.Cut(after, `"`)
			labelled[fstype] += 0
		}
		if strings.Contains(line, `"context", "`+s.Linux.MountLabel+`"`) {
			labelled[fstype]++
		}
	}
	// The tmpfs are /dev, /dev/shm, and one for each path that may be a folder to mask.
	want := map[string]int{"proc": 0, "sysfs": 0, "mqueue": 0, "devpts": 1, "tmpfs": 2 + len(s.Linux.MaskedPaths)}
	if diff := cmp.Diff(want, labelled); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	overlay := step.New()
	rootfs.Overlay(overlay, &rootfs.Layers{}, "/x", s.Linux.MountLabel)
	if !strings.Contains(overlay.String(), `"context", "`+s.Linux.MountLabel+`"`) {
		t.Errorf("the root has no label:\n%s", overlay)
	}
}
