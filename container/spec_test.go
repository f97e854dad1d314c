package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"vmctr/container/rootfs"
)

// What of runtime-spec 1.3 few containers use, each field with a real one.

// TestMemoryPolicy: which nodes memory comes from (numa_maps of proc(5)).
func TestMemoryPolicy(t *testing.T) {
	needRoot(t)
	if _, err := os.Stat("/proc/self/numa_maps"); err != nil {
		t.Skip("this kernel knows no NUMA:", err)
	}
	l := layersOf(t)
	for _, tt := range []struct {
		policy specs.LinuxMemoryPolicy
		want   string
	}{
		{specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0"}, " bind:0 "},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolInterleave, Nodes: "0", Flags: []specs.MemoryPolicyFlagType{specs.MpolFStaticNodes}}, " interleave=static:0 "},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolLocal}, " local "},
	} {
		s := sample("cat /proc/self/numa_maps")
		s.Linux.MemoryPolicy = &tt.policy
		if got := do(t, l, s)["cat /proc/self/numa_maps"]; !strings.Contains(got.Out, tt.want) {
			t.Errorf("%+v: %+v", tt.policy, got)
		}
	}
	s := sample("who")
	s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "900"}
	if _, err := tryBox(t, l, s); !errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), "set_mempolicy(MPOL_BIND, [900]") {
		t.Errorf("a node that is not there: %v", err)
	}
}

// TestExecCPUAffinity: a second program's CPUs; the first one's are its
// parent's.
func TestExecCPUAffinity(t *testing.T) {
	needRoot(t)
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil || all.Count() < 2 || !all.IsSet(0) || !all.IsSet(1) {
		t.Skip("needs the CPUs 0 and 1")
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	dev := null(t)
	s := sample("pause")
	s.Process.ExecCPUAffinity = &specs.CPUAffinity{Initial: "0", Final: "1"}
	h, err := Create(t.Context(), filepath.Join(t.TempDir(), "state"), Config{ID: "cpus", Spec: s, Layers: layersOf(t), Dir: filepath.Join(t.TempDir(), "c"), Stdin: dev, Stdout: dev, Stderr: dev})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Delete(context.Background(), true)
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	var first unix.CPUSet
	if err := unix.SchedGetaffinity(h.Pid, &first); err != nil || first != all {
		t.Errorf("the first program's CPUs: %v, %v", first, err)
	}
	for _, tt := range []struct{ initial, final, want string }{{"0", "1", "1"}, {"1", "", "1"}, {"", "0", "0"}, {"", "0-1", "0-1"}} {
		p := *s.Process
		p.Args = []string{"/probe", "cat /proc/self/status"}
		p.ExecCPUAffinity = &specs.CPUAffinity{Initial: tt.initial, Final: tt.final}
		e, err := h.Exec(t.Context(), Exec{Process: &p, Stdin: dev, Stdout: w, Stderr: dev})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 1<<16)
		n, _ := r.Read(b)
		// On version 2 those of the cgroup take the place of the initial ones.
		listed := func(cpus string) bool { return strings.Contains(string(b[:n]), `Cpus_allowed_list:\t`+cpus+`\n`) }
		if got := string(b[:n]); !listed(tt.want) && !(tt.final == "" && hostMode(t) == "v2" && listed("0-1")) {
			t.Errorf("%+v: %s", tt, got)
		}
	}
	w.Close()
	p := *s.Process
	p.ExecCPUAffinity = &specs.CPUAffinity{Initial: "999"}
	if _, err := h.Exec(t.Context(), Exec{Process: &p, Stdin: dev, Stdout: dev, Stderr: dev}); err == nil || !strings.Contains(err.Error(), "process.execCPUAffinity.initial") {
		t.Errorf("a CPU that is not there: %v", err)
	}
}

// TestNetDevices: an interface of the host that a container borrows, with its
// addresses; a start that fails gives it back.
func TestNetDevices(t *testing.T) {
	needRoot(t)
	a, b := fmt.Sprintf("bt%da", os.Getpid()), fmt.Sprintf("bt%db", os.Getpid())
	err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: a}, PeerName: b})
	if errors.Is(err, unix.EOPNOTSUPP) {
		t.Skip("no veth in this kernel, or its module is not loaded")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if l, err := netlink.LinkByName(a); err == nil {
			netlink.LinkDel(l)
		}
	})
	link, err := netlink.LinkByName(a)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"192.0.2.7/24", "2001:db8::7/64"} {
		addr, err := netlink.ParseAddr(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.AddrAdd(link, addr); err != nil && !strings.Contains(text, ":") { // IPv6 may be off
			t.Fatal(err)
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		t.Fatal(err)
	}
	host := func() string {
		t.Helper()
		i, err := net.InterfaceByName(a)
		if err != nil {
			return err.Error()
		}
		addrs, err := i.Addrs()
		if err != nil {
			t.Fatal(err)
		}
		var global []string
		for _, a := range addrs {
			if !strings.HasPrefix(a.String(), "fe80") {
				global = append(global, a.String())
			}
		}
		return fmt.Sprint(i.Flags&net.FlagUp, global)
	}
	before := host()
	l := layersOf(t)
	start := func(name, program string) (*box, error) {
		s := sample("interfaces", "cat /proc/net/dev")
		s.Process.Args[0] = program
		s.Linux.NetDevices = map[string]specs.LinuxNetDevice{a: {Name: name}}
		return tryBox(t, l, s)
	}
	if _, err := start("lent0", "/no/program"); !errors.Is(err, unix.ENOENT) {
		t.Errorf("a start that must fail: %v", err)
	}
	if after := host(); after != before {
		t.Errorf("after a start that failed it is %s, and was %s", after, before)
	}
	box, err := start("lent%d", "/probe")
	if err != nil {
		t.Fatal(err)
	}
	out, _, _ := box.end(t)
	if !strings.Contains(out, "lent0 true") || !strings.Contains(out, "192.0.2.7/24") {
		t.Errorf("inside: %s", out)
	}
	if strings.Contains(before, "2001:") && !strings.Contains(out, "2001:db8::7/64") {
		t.Errorf("inside: %s", out)
	}
	if err := box.Remove(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := start("lent0", "/probe"); err == nil || !strings.Contains(err.Error(), "linux.netDevices."+a) || !errors.Is(err, unix.ENODEV) {
		t.Errorf("an interface that is gone: %v", err)
	}
}

// TestCopyUp: a tmpfs that begins with what the image has in its place, owners
// and all; with and without a user namespace.
func TestCopyUp(t *testing.T) {
	needRoot(t)
	dir := layer(t, map[string]string{"data/sub/file": "content", "data/top": "x", "data/private/y": "y"})
	for _, err := range []error{
		os.Symlink("sub/file", filepath.Join(dir, "data/link")), unix.Mknod(filepath.Join(dir, "data/fifo"), unix.S_IFIFO|0o640, 0),
		os.Chown(filepath.Join(dir, "data/sub"), 5, 6), os.Lchown(filepath.Join(dir, "data/link"), 7, 8), os.Chown(filepath.Join(dir, "data/private"), 5, 5),
		os.Chmod(filepath.Join(dir, "data/private"), 0o700), os.Chmod(filepath.Join(dir, "data/top"), 0o751|os.ModeSetuid), os.Chmod(filepath.Join(dir, "data"), 0o750|os.ModeSticky),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{
		"ls /data": "fifo link private sub top", "cat /data/sub/file": "content", "readlink /data/link": "sub/file", "cat /data/link": "content",
		"stat /data/sub": "40755 0:0 owner 5:6", "stat /data/link": "120777 0:0 owner 7:8", "stat /data/fifo": "10640 0:0 owner 0:0", "stat /data/top": "104751 0:0 owner 0:0",
		"stat /data/private": "40700 0:0 owner 5:5", "cat /data/private/y": "y", "stat /data": "41750 0:0 owner 0:0", "stat /ro": "40711 0:0 owner 0:0",
		"cat /ro/sub/file": "content", "write /ro/x y": "!EROFS", "write /data/top y": "",
	}
	above := layer(t, map[string]string{"ro/sub/file": "content"})
	mapped := layersOf(t, dir, above)
	plain, err := rootfs.OpenLayers([]string{probe(t), dir, above}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	for name, s := range map[string]*specs.Spec{"user namespace": sample(keys(want)...), "none": without(sample(keys(want)...), specs.UserNamespace)} {
		l := mapped
		if name == "none" {
			l = plain
		}
		s.Mounts = append(s.Mounts,
			specs.Mount{Destination: "/data", Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup"}},
			specs.Mount{Destination: "/ro", Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup", "ro", "mode=711", "nosuid"}})
		t.Run(name, func(t *testing.T) { wants(t, do(t, l, s), want) })
	}
	if b, err := os.ReadFile(filepath.Join(dir, "data/top")); err != nil || string(b) != "x" {
		t.Errorf("the image holds %q, %v", b, err)
	}
	s := sample("exit 0")
	s.Mounts = append(s.Mounts, specs.Mount{Destination: "/data", Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup", "nr_inodes=3"}})
	own := t.TempDir()
	dev := null(t)
	before := footprintOf(t, own)
	if _, err := Start(t.Context(), Config{Spec: s, Layers: mapped, Dir: filepath.Join(own, "c"), Stdin: dev, Stdout: dev, Stderr: dev}); !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "tmpcopyup of /data") {
		t.Errorf("more than fits: %v", err)
	}
	before.check(t, own, "more than fits")
}

// TestPropagation: how mounts spread between the container's root and the
// host's tree (the optional fields of mountinfo, proc_pid_mountinfo(5)), and that
// a slave is shown what is mounted on the host later.
func TestPropagation(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("shared", dir, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	root := filepath.Join(dir, "root")
	program, err := os.ReadFile(filepath.Join(probe(t), "probe"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(unix.Mount("", dir, "", unix.MS_SHARED, ""), os.MkdirAll(root+"/late", 0o755), os.WriteFile(root+"/probe", program, 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		value       string
		root, mount string // the optional fields of / and of a mount below it
		late        bool   // it is shown what comes late
	}{
		{"", "master", "", true},
		{"slave", "master", "", true}, {"rslave", "master", "", true},
		{"private", "", "", false}, {"rprivate", "", "", false},
		{"shared", "shared+master", "", true}, {"rshared", "shared+master", "shared", true},
		{"unbindable", "unbindable", "", false}, {"runbindable", "unbindable", "unbindable", false},
	} {
		s := without(sample("cat /proc/self/mountinfo", "copy", "cat /proc/self/mountinfo"), specs.UserNamespace)
		s.Root.Path, s.Linux.RootfsPropagation = root, tt.value
		b := startBox(t, nil, s)
		var r probed
		line, err := b.stdout.ReadBytes('\n')
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		for at, want := range map[string]string{"/": tt.root, "/dev/shm": tt.mount} {
			if got := propagationOf(r.Out, at); got != want {
				t.Errorf("%q: %s is %q, want %q", tt.value, at, got, want)
			}
		}
		if err := unix.Mount("late", root+"/late", "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		out, _, _ := b.end(t)
		if err := unix.Unmount(root+"/late", 0); err != nil {
			t.Error(err)
		}
		if got := strings.Contains(out, " /late "); got != tt.late {
			t.Errorf("%q: what comes late is shown: %v", tt.value, got)
		}
	}
}

func propagationOf(mountinfo, at string) string {
	var kinds []string
	for line := range strings.Lines(mountinfo) {
		f := strings.Fields(line)
		if len(f) < 7 || f[4] != at {
			continue
		}
		kinds = nil
		for _, o := range f[6:] {
			if o == "-" {
				break
			}
			kind, _, _ := strings.Cut(o, ":")
			kinds = append(kinds, kind)
		}
	}
	return strings.Join(kinds, "+")
}

// TestRecursiveAttributes: options for a mount and all below it, and mappings of
// IDs for all of them or for the first alone.
func TestRecursiveAttributes(t *testing.T) {
	needRoot(t)
	host := t.TempDir()
	below := filepath.Join(host, "below")
	if err := errors.Join(os.Chmod(host, 0o755), os.Mkdir(below, 0o755)); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("below", below, "tmpfs", 0, "mode=755"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(below, unix.MNT_DETACH)
	if err := errors.Join(os.WriteFile(host+"/a", nil, 0o644), os.WriteFile(below+"/b", nil, 0o644), os.Chown(below+"/b", 3, 3)); err != nil {
		t.Fatal(err)
	}
	mapping := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 7, Size: 1}, {ContainerID: 3, HostID: 9, Size: 1}}
	s := without(sample("write /ro/x y", "write /ro/below/x y", "write /rro/x y", "write /rro/below/x y", "cat /proc/self/mountinfo",
		"stat /mapped/a", "stat /mapped/below/b", "stat /rmapped/a", "stat /rmapped/below/b"), specs.UserNamespace)
	s.Mounts = append(s.Mounts,
		specs.Mount{Destination: "/ro", Source: host, Options: []string{"rbind", "ro"}},
		specs.Mount{Destination: "/rro", Source: host, Options: []string{"rbind", "rro", "rnosuid", "rnodev", "rnoexec", "rnoatime", "rnosymfollow"}},
		specs.Mount{Destination: "/mapped", Source: host, Options: []string{"rbind", "idmap"}, UIDMappings: mapping, GIDMappings: mapping},
	)
	want := map[string]string{
		"write /ro/x y": "!EROFS", "write /ro/below/x y": "", "write /rro/x y": "!EROFS", "write /rro/below/x y": "!EROFS",
		"stat /mapped/a": "100644 0:0 owner 7:7", "stat /mapped/below/b": "100644 0:0 owner 3:3",
	}
	if !olderThan(t, 6, 3) { // a tmpfs can be ID-mapped
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/rmapped", Source: host, Options: []string{"rbind", "ridmap"}, UIDMappings: mapping, GIDMappings: mapping})
		want["stat /rmapped/a"], want["stat /rmapped/below/b"] = "100644 0:0 owner 7:7", "100644 0:0 owner 9:9"
	}
	got := do(t, plainLayers(t), s)
	wants(t, got, want)
	for line := range strings.Lines(got["cat /proc/self/mountinfo"].Out) {
		f := strings.Fields(line)
		if len(f) > 5 && strings.HasPrefix(f[4], "/rro") && f[5] != "ro,nosuid,nodev,noexec,noatime,nosymfollow" {
			t.Errorf("%s has %s", f[4], f[5])
		}
	}
}

// TestScheduling: the policies of CPU and disk, and the execution domain.
func TestScheduling(t *testing.T) {
	needRoot(t)
	s := sample("cat /proc/self/personality", "pause")
	s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Nice: 7, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagResetOnFork}}
	s.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 6}
	s.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
	b := startBox(t, layersOf(t), s)
	if line, err := b.stdout.ReadString('\n'); !strings.Contains(line, `"00000008\n"`) {
		t.Errorf("the personality: %s, %v", line, err)
	}
	b.ready(t)
	if a, err := unix.SchedGetAttr(b.PID(), 0); err != nil || a.Policy != 3 || a.Nice != 7 || a.Flags&1 == 0 {
		t.Errorf("scheduled by %+v, %v", a, err)
	}
	const process = 1 // IOPRIO_WHO_PROCESS
	if io, _, e := unix.Syscall(unix.SYS_IOPRIO_GET, process, uintptr(b.PID()), 0); e != 0 || io != 2<<13|6 {
		t.Errorf("I/O priority %#x, %v", io, e)
	}
}

// TestRemount: the attributes of a mount that is there are changed.
func TestRemount(t *testing.T) {
	needRoot(t)
	s := sample("write /dev/shm/x y", "write /there/x y", "write /there/z y")
	host := t.TempDir()
	if err := os.Chmod(host, 0o777); err != nil {
		t.Fatal(err)
	}
	s.Mounts = append(s.Mounts,
		specs.Mount{Destination: "/dev/shm", Options: []string{"remount", "ro"}},
		specs.Mount{Destination: "/there", Source: host, Options: []string{"bind"}},
		specs.Mount{Destination: "/there", Source: "/no/such/folder", Options: []string{"bind", "remount", "ro"}})
	wants(t, do(t, layersOf(t), s), map[string]string{"write /dev/shm/x y": "!EROFS", "write /there/x y": "!EROFS"})
}

// TestHostsSysctl: a setting of a namespace that is the host's, by whatever
// path, is not made.
func TestHostsSysctl(t *testing.T) {
	needRoot(t)
	before, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	if err != nil {
		t.Fatal(err)
	}
	s := without(sample("who"), specs.UserNamespace)
	for i, n := range s.Linux.Namespaces {
		if n.Type == specs.NetworkNamespace {
			s.Linux.Namespaces[i].Path = fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid())
		}
	}
	s.Linux.Sysctl = map[string]string{"net.ipv4.ip_unprivileged_port_start": "7"}
	if _, err := tryBox(t, plainLayers(t), s); err == nil || !strings.Contains(err.Error(), "linux.sysctl") {
		t.Errorf("err = %v", err)
	}
	if after, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start"); err != nil || string(after) != string(before) {
		t.Errorf("the host's is %s, %v", after, err)
	}
}

// TestDevicesInUserNamespace: there a device is the host's, if that is the same,
// and a FIFO is made.
func TestDevicesInUserNamespace(t *testing.T) {
	needRoot(t)
	l := layersOf(t)
	s := sample("stat /run/fifo")
	mode := os.FileMode(0o620)
	s.Linux.Devices = []specs.LinuxDevice{{Path: "/run/fifo", Type: "p", FileMode: &mode, UID: pointer(uint32(3))}}
	wants(t, do(t, l, s), map[string]string{"stat /run/fifo": "10620 0:0 owner 3:0"})
	for _, d := range []specs.LinuxDevice{{Path: "/dev/zero", Type: "c", Major: 1, Minor: 3}, {Path: "/dev/zero", Type: "b", Major: 1, Minor: 5}, {Path: "/dev/not/there", Type: "c", Major: 1, Minor: 3}} {
		s := sample("who")
		s.Linux.Devices = []specs.LinuxDevice{d}
		if _, err := tryBox(t, l, s); err == nil || !strings.Contains(err.Error(), "config.json: linux.devices[0]: ") {
			t.Errorf("%+v: %v", d, err)
		}
	}
}
