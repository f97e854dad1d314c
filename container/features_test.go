package container

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/cgroup"
	"vmctr/container/seccomp"
)

// TestBindMounts: folders and files of the host, with options and mappings.
func TestBindMounts(t *testing.T) {
	needRoot(t)
	l := layersOf(t, layer(t, map[string]string{"etc/old": "from the image"}))
	host := t.TempDir()
	for name, content := range map[string]string{"dir/a": "a", "file": "a file of the host"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(host, name)), 0o755), os.WriteFile(filepath.Join(host, name), []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(host, 0o755); err != nil {
		t.Fatal(err)
	}
	s := sample("cat /data/a", "write /data/b x", "cat /etc/old", "write /writable/b x", "stat /mapped/a", "stat /data/a", "cat /proc/self/mountinfo")
	s.Mounts = append(s.Mounts,
		specs.Mount{Destination: "/data", Source: filepath.Join(host, "dir"), Options: []string{"rbind", "ro", "nosuid"}},
		specs.Mount{Destination: "/etc/old", Source: filepath.Join(host, "file"), Type: "bind", Options: []string{"bind"}},
		specs.Mount{Destination: "/mapped", Source: filepath.Join(host, "dir"), Options: []string{"bind", "idmap"}},
		specs.Mount{Destination: "/writable", Type: "tmpfs", Options: []string{"size=1m", "noexec"}},
	)
	got := do(t, l, s)
	wants(t, got, map[string]string{
		"cat /data/a": "a", "write /data/b x": "!EROFS", "cat /etc/old": "a file of the host", "write /writable/b x": "",
		"stat /mapped/a": "100644 0:0 owner 0:0", "stat /data/a": "100644 0:0 owner 65534:65534",
	})
	for _, line := range strings.Split(got["cat /proc/self/mountinfo"].Out, "\n") {
		f := strings.Fields(line)
		if len(f) > 6 && f[4] == "/data" && (!strings.Contains(f[5], "ro") || !strings.Contains(f[5], "nosuid") || strings.Contains(line, "shared:")) {
			t.Errorf("the bind mount is %q", line)
		}
		if len(f) > 6 && f[4] == "/writable" && !strings.Contains(f[5], "noexec") {
			t.Errorf("the tmpfs is %q", line)
		}
	}
}

// TestRootFolder: without layers the root is a folder as it is.
func TestRootFolder(t *testing.T) {
	needRoot(t)
	root := t.TempDir()
	program, err := os.ReadFile(filepath.Join(probe(t), "probe"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "probe"), program, 0o755); err != nil {
		t.Fatal(err)
	}
	s := without(sample("write /new x", "who", "cat /proc/1/comm"), specs.UserNamespace)
	s.Root.Path = filepath.Base(root) // starts from the bundle
	var out bytes.Buffer
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	dev := null(t)
	c, err := Start(t.Context(), Config{Spec: s, Bundle: filepath.Dir(root), Stdin: dev, Stdout: w, Stderr: dev})
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	out.ReadFrom(r)
	if err := c.Remove(t.Context()); err != nil {
		t.Error(err)
	}
	if !strings.Contains(out.String(), "pid=1 ") {
		t.Errorf("the probe says %s", &out)
	}
	if b, err := os.ReadFile(filepath.Join(root, "new")); err != nil || string(b) != "x" {
		t.Errorf("what it wrote: %q, %v", b, err)
	}
}

// TestDevicesAndSettings: linux.devices, sysctl, domain name, limits.
func TestDevicesAndSettings(t *testing.T) {
	needRoot(t)
	l := layersOf(t)
	s := sample("stat /dev/more/nothing", "cat /proc/sys/net/ipv4/ip_unprivileged_port_start", "cat /proc/sys/kernel/domainname", "cat /proc/self/limits", "cat /proc/self/oom_score_adj")
	s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/more/nothing", Type: "c", Major: 1, Minor: 3}}
	if _, err := os.Stat("/dev/more"); err == nil {
		t.Fatal("the host has a /dev/more")
	}
	// In a user namespace a device is the host's of the same name.
	s.Linux.Devices[0].Path = "/dev/null"
	s.Linux.Sysctl = map[string]string{"net.ipv4.ip_unprivileged_port_start": "80"}
	s.Domainname = "example.org"
	s.Process.OOMScoreAdj = pointer(500)
	s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_SIGPENDING", Soft: 64, Hard: 128}, {Type: "RLIMIT_CORE"}}
	got := do(t, l, s)
	wants(t, got, map[string]string{
		"cat /proc/sys/net/ipv4/ip_unprivileged_port_start": "80\n", "cat /proc/sys/kernel/domainname": "example.org\n", "cat /proc/self/oom_score_adj": "500\n",
	})
	for _, want := range []string{"Max pending signals       64                   128", "Max core file size        0                    0"} {
		if !strings.Contains(got["cat /proc/self/limits"].Out, want) {
			t.Errorf("limits lack %q:\n%s", want, got["cat /proc/self/limits"].Out)
		}
	}

	plain := without(sample("stat /dev/more/nothing"), specs.UserNamespace)
	plain.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/more/nothing", Type: "c", Major: 1, Minor: 3, FileMode: pointer(os.FileMode(0o640)), UID: pointer(uint32(5)), GID: pointer(uint32(6))}}
	got = do(t, plainLayers(t), plain)
	wants(t, got, map[string]string{"stat /dev/more/nothing": "20640 1:3 owner 5:6"})
}

// TestJoin: a second container in namespaces of a first.
func TestJoin(t *testing.T) {
	needRoot(t)
	l := plainLayers(t)
	first := startBox(t, l, without(sample("pause"), specs.UserNamespace))
	first.ready(t)
	s := without(sample("who", "cat /proc/1/cmdline"), specs.UserNamespace)
	s.Hostname = ""
	for i, n := range s.Linux.Namespaces {
		switch n.Type {
		case specs.PIDNamespace, specs.UTSNamespace, specs.NetworkNamespace, specs.IPCNamespace:
			s.Linux.Namespaces[i].Path = fmt.Sprintf("/proc/%d/ns/%s", first.PID(), map[specs.LinuxNamespaceType]string{
				specs.PIDNamespace: "pid", specs.UTSNamespace: "uts", specs.NetworkNamespace: "net", specs.IPCNamespace: "ipc"}[n.Type])
		}
	}
	got := do(t, l, s)
	if who := got["who"].Out; strings.Contains(who, "pid=1 ") || !strings.Contains(who, "host=container") {
		t.Errorf("the second container says %q", who)
	}
	if cmd := got["cat /proc/1/cmdline"].Out; !strings.Contains(cmd, "pause") {
		t.Errorf("its PID 1 is %q", cmd)
	}
	s.Linux.Namespaces[0].Path = "/proc/self/ns/net" // of another kind
	if _, err := tryBox(t, l, s); err == nil || !strings.Contains(err.Error(), "linux.namespaces[0].path") {
		t.Errorf("a network namespace joined as a PID namespace: %v", err)
	}
}

// TestTimeNamespace: another uptime.
func TestTimeNamespace(t *testing.T) {
	needRoot(t)
	s := sample("cat /proc/uptime")
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
	s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 1_000_000_000}}
	l := layersOf(t)
	if olderThan(t, 6, 2) {
		if _, err := tryBox(t, l, s); err == nil || !strings.Contains(err.Error(), "since Linux 6.2") {
			t.Errorf("err = %v", err)
		}
		return
	}
	got := do(t, l, s)
	var up float64
	if _, err := fmt.Sscan(got["cat /proc/uptime"].Out, &up); err != nil || up < 1e9 {
		t.Errorf("up for %v s (%v)", up, err)
	}
}

// TestSeccomp: Docker's profile, installed with and without no_new_privs.
func TestSeccomp(t *testing.T) {
	needRoot(t)
	l := layersOf(t)
	profile, err := seccomp.Default(DefaultCapabilities)
	if err != nil {
		t.Fatal(err)
	}
	for _, nnp := range []bool{true, false} {
		s := sample("cat /proc/self/status", "settime", "mkdir /x")
		s.Process.NoNewPrivileges = nnp
		s.Linux.Seccomp = profile
		got := do(t, l, s)
		if !strings.Contains(got["cat /proc/self/status"].Out, "Seccomp:\t2") {
			t.Errorf("no_new_privs %v: no filter:\n%s", nnp, got["cat /proc/self/status"].Out)
		}
		wants(t, got, map[string]string{"mkdir /x": ""})
	}
	// A call that this profile forbids, and that would succeed.
	s := sample("mkdir /x", "who")
	s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir", "mkdirat"}, Action: specs.ActErrno, ErrnoRet: pointer(uint(unix.EXDEV))}}}
	wants(t, do(t, l, s), map[string]string{"mkdir /x": "!EXDEV"})
}

// TestTerminal: the program's streams are a terminal, whose master is sent.
func TestTerminal(t *testing.T) {
	needRoot(t)
	ours, theirs, err := socketPair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	s := sample("who", "readlink /proc/self/fd/0", "stat /dev/console")
	s.Process.Terminal = true
	s.Process.ConsoleSize = &specs.Box{Height: 33, Width: 44}
	dev := null(t)
	c, err := Start(t.Context(), Config{Spec: s, Layers: layersOf(t), Dir: filepath.Join(t.TempDir(), "c"), Stdin: dev, Stdout: dev, Stderr: dev, Console: theirs})
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Remove(context.Background())
	b, oob := make([]byte, 100), make([]byte, 100)
	_, n, _, _, err := unix.Recvmsg(int(ours.Fd()), b, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(msgs) != 1 {
		t.Fatal(msgs, err)
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		t.Fatal(fds, err)
	}
	master := os.NewFile(uintptr(fds[0]), "master")
	defer master.Close()
	if ws, err := unix.IoctlGetWinsize(fds[0], unix.TIOCGWINSZ); err != nil || ws.Row != 33 || ws.Col != 44 {
		t.Errorf("the window is %+v: %v", ws, err)
	}
	var out bytes.Buffer
	out.ReadFrom(master) // ends with EIO when the program has
	for _, want := range []string{`"/dev/pts/0"`, `20620 136:0 owner 0`, "sid=1"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the terminal shows no %s:\n%s", want, &out)
		}
	}
}

func socketPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs"), nil
}

// TestLifecycle: create, start, kill, delete, by what lies in the state folder.
func TestLifecycle(t *testing.T) {
	needRoot(t)
	root, dev := filepath.Join(t.TempDir(), "state"), null(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cfg := Config{ID: "one", Spec: sample("pause"), Layers: layersOf(t), Dir: filepath.Join(t.TempDir(), "c"), Stdin: dev, Stdout: w, Stderr: dev, Bundle: "/bundle"}
	if _, err := Create(t.Context(), root, cfg); err != nil {
		t.Fatal(err)
	}
	w.Close()
	load := func(want specs.ContainerState) *Handle {
		t.Helper()
		h, err := Load(root, "one")
		if err != nil {
			t.Fatal(err)
		}
		if h.Status != want {
			t.Errorf("it is %s, want %s", h.Status, want)
		}
		return h
	}
	h := load(specs.StateCreated)
	if _, err := Create(t.Context(), root, cfg); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("a second of the same name: %v", err)
	}
	r.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if n, err := r.Read(make([]byte, 10)); err == nil {
		t.Errorf("it said %d bytes before it was started", n)
	}
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.SetReadDeadline(time.Now().Add(10 * time.Second))
	line := make([]byte, 6)
	if _, err := r.Read(line); err != nil || string(line) != "ready\n" {
		t.Errorf("it says %q: %v", line, err)
	}
	h = load(specs.StateRunning)
	if err := h.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "running") {
		t.Errorf("started twice: %v", err)
	}
	if err := h.Delete(t.Context(), false); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("deleted while it runs: %v", err)
	}
	if err := h.Kill(unix.SIGKILL, false); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if h, err = Load(root, "one"); err != nil || h.Status == specs.StateStopped || time.Now().After(end) {
			break
		}
	}
	h = load(specs.StateStopped)
	if s := h.OCIState(); s.Pid != 0 || s.ID != "one" || s.Bundle != "/bundle" {
		t.Errorf("state %+v", s)
	}
	if err := h.Delete(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(root, "one"); !errors.Is(err, ErrNotExist) {
		t.Errorf("after delete: %v", err)
	}
	if _, err := Load(root, "../one"); err == nil || !strings.Contains(err.Error(), "container ID") {
		t.Errorf("an ID that is a path: %v", err)
	}
}

// TestStartOfCreatedFails: who creates a container learns that there is no such
// program, and who starts it that it could not be executed.
func TestStartOfCreatedFails(t *testing.T) {
	needRoot(t)
	root, dev := filepath.Join(t.TempDir(), "state"), null(t)
	s := sample()
	s.Process.Args = []string{"/no/such/program"}
	l := layersOf(t, layer(t, map[string]string{"bin/garbage": "neither ELF nor script"}))
	cfg := Config{ID: "two", Spec: s, Layers: l, Dir: filepath.Join(t.TempDir(), "c"), Stdin: dev, Stdout: dev, Stderr: dev}
	if _, err := Create(t.Context(), root, cfg); !errors.Is(err, unix.ENOENT) || !strings.Contains(err.Error(), "no such program") {
		t.Errorf("create: %v", err)
	}
	s.Process.Args = []string{"garbage"}
	s.Process.Env = []string{"PATH=/no/such:/bin"}
	h, err := Create(t.Context(), root, cfg)
	if err != nil {
		t.Fatal(err)
	}
	err = h.Start(t.Context())
	if !errors.Is(err, unix.ENOEXEC) || !strings.Contains(err.Error(), "execve(") {
		t.Errorf("start: %v", err)
	}
	if err := h.Delete(t.Context(), true); err != nil {
		t.Error(err)
	}
}

// TestBindSys: what is bound is the host's, also where layers are kept in the
// mount namespace that joins them.
func TestBindSys(t *testing.T) {
	needRoot(t)
	s := sample("ls /sys")
	for i := range s.Mounts {
		if m := &s.Mounts[i]; m.Destination == "/sys" {
			*m = specs.Mount{Destination: "/sys", Type: "bind", Source: "/sys", Options: []string{"rbind", "rro"}}
		}
	}
	if r := do(t, layersOf(t), s)["ls /sys"]; !strings.Contains(r.Out, "kernel") {
		t.Errorf("/sys holds %q, %s", r.Out, r.Err)
	}
}

// TestLeakedDescriptor: no descriptor of ours can be named as the working
// directory (CVE-2024-21626).
func TestLeakedDescriptor(t *testing.T) {
	needRoot(t)
	l := layersOf(t)
	tried := 0
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	numbers := map[string]bool{}
	for _, e := range entries {
		numbers[e.Name()] = true
	}
	for i := 3; i < 64; i++ { // and those that are only open while it starts
		numbers[fmt.Sprint(i)] = true
	}
	for n := range numbers {
		s := sample("who")
		s.Process.Cwd = "/proc/self/fd/" + n
		b, err := tryBox(t, l, s)
		if err == nil {
			out, _, _ := b.end(t)
			b.Remove(t.Context())
			t.Errorf("started in descriptor %s: %s", n, out)
			continue
		}
		if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) {
			t.Errorf("descriptor %s: %v", n, err)
		}
		tried++
	}
	if tried < 60 {
		t.Errorf("only %d descriptors tried", tried)
	}
}

// TestNoDeviceList: without rules for devices, the host's root in a container
// can make the node of any, and use those that every container has.
func TestNoDeviceList(t *testing.T) {
	needRoot(t)
	if h, err := cgroup.Detect(); err != nil || h.Mode != "v2" && !h.Has("devices") {
		t.Skip("this host's cgroups say nothing about devices")
	}
	l := layersOf(t)
	for _, list := range [][]specs.LinuxDeviceCgroup{nil, {{Allow: true, Access: "rwm"}}} {
		s := without(sample("mknod /dev/c 5 1", "open /dev/c", "mknod /dev/other 1 5", "read /dev/other 4"), specs.UserNamespace)
		s.Linux.Resources.Devices = list
		want := map[string]string{"mknod /dev/c 5 1": "", "open /dev/c": "!EPERM", "mknod /dev/other 1 5": "", "read /dev/other 4": "00000000"}
		if list != nil { // as it is without the default
			want["open /dev/c"] = ""
		}
		wants(t, do(t, l, s), want)
	}
}
