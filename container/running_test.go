package container

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/rootfs"
)

// wants compares results of the probe; "!X" means the errno X.
func wants(t *testing.T, got map[string]probed, want map[string]string) {
	t.Helper()
	for op, w := range want {
		g, ok := got[op]
		if !ok {
			t.Errorf("%s: the probe did not do it", op)
			continue
		}
		have := g.Out
		if g.Err != "" {
			have = "!" + g.Err
		}
		if have != w {
			t.Errorf("%s: %q, want %q", op, have, w)
		}
	}
}

func keys(m map[string]string) []string {
	var ks []string
	for k := range m {
		ks = append(ks, k)
	}
	slices.Sort(ks)
	return ks
}

// TestInside is what a program finds in a container of the default
// configuration.
func TestInside(t *testing.T) {
	needRoot(t)
	l := layersOf(t, layer(t, map[string]string{"etc/motd": "hello"}))
	old := unix.Umask(0o077) // which must not go in
	defer unix.Umask(old)
	want := map[string]string{
		"who": "pid=1 uid=0 gid=0 groups=[] host=container cwd=/ umask=022 sid=1",
		"env": "PATH=/\nCOLOUR=green",
		"fds": "0 1 2",

		"ls /":          "dev etc probe proc sys",
		"ls /dev":       "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero",
		"cat /etc/motd": "hello",

		// Only itself is in its /proc.
		"cat /proc/1/comm":         "probe\n",
		"cat /proc/self/uid_map":   "         0 1073741824      65536\n",
		"cat /proc/self/gid_map":   "         0 1073741824      65536\n",
		"cat /proc/self/setgroups": "allow\n",

		"stat /":             "40755 0:0 owner 0:0",
		"stat /probe":        "100755 0:0 owner 0:0",
		"stat /dev/null":     "20666 1:3 owner 65534:65534",
		"stat /dev/pts/ptmx": "20666 5:2 owner 0:0",
		"readlink /dev/fd":   "/proc/self/fd",
		"write /dev/null x":  "",
		"read /dev/zero 4":   "00000000",
		"write /dev/full x":  "!ENOSPC",
		"read /dev/null 1":   "!EOF",

		// Masked: a folder is empty, a file is /dev/null.
		"ls /proc/acpi":           "",
		"ls /sys/firmware":        "",
		"write /sys/firmware/x y": "!EROFS",
		"cat /proc/timer_list":    "",
		"stat /proc/timer_list":   "20666 1:3 owner 65534:65534",
		// Read-only.
		"write /etc/motd x":                     "!EROFS",
		"write /proc/sys/kernel/core_pattern x": "!EACCES", // the host's root owns it; see TestNoUserNamespace
		"write /sys/kernel/uevent_helper x":     "!EROFS",

		// Root has power over its own things, and over nothing else.
		"mkdir /new":                  "",
		"write /new/file x":           "",
		"write /dev/shm/file x":       "",
		"mount /new":                  "!EPERM",
		"settime":                     "!EPERM",
		"mknod /new/disk 254 0":       "!EPERM",
		"cat /proc/sys/kernel/ostype": "Linux\n",

		"loopback": "hello",
	}
	if _, err := os.Stat(filepath.Join(probe(t), "true")); err == nil { // see buildTrue
		want["ls /"] += " true"
	}
	for _, absent := range []string{"acpi", "timer_list"} {
		if _, err := os.Stat("/proc/" + absent); err != nil { // this kernel has none
			for _, op := range []string{"ls /proc/", "cat /proc/", "stat /proc/"} {
				delete(want, op+absent)
			}
		}
	}
	if _, err := os.Stat("/sys/firmware"); err != nil {
		delete(want, "ls /sys/firmware")
		delete(want, "write /sys/firmware/x y")
	}
	s := sample(append(keys(want), "ls /proc", "cat /proc/self/status", "cat /proc/self/mountinfo", "cat /proc/net/dev", "cat /proc/self/cgroup")...)
	s.Process.Env = []string{"PATH=/", "COLOUR=green"}
	s.Linux.ReadonlyPaths = append(s.Linux.ReadonlyPaths, "/etc")
	got := do(t, l, s)
	wants(t, got, want)

	for _, name := range strings.Fields(got["ls /proc"].Out) {
		if _, err := strconv.Atoi(name); err == nil && name != "1" {
			t.Errorf("process %s of the host is in /proc", name)
		}
	}
	status := got["cat /proc/self/status"].Out
	for key, v := range map[string]string{
		"CapBnd": "00000000a80425fb", "CapEff": "00000000a80425fb", "CapPrm": "00000000a80425fb",
		"CapInh": "0000000000000000", "CapAmb": "0000000000000000", "NoNewPrivs": "1", "SigBlk": "0000000000000000",
	} {
		if !strings.Contains(status, key+":\t"+v+"\n") {
			t.Errorf("%s is not %s:\n%s", key, v, status)
		}
	}
	// Nothing of the host's tree is mounted but the devices.
	for _, line := range strings.Split(strings.TrimSpace(got["cat /proc/self/mountinfo"].Out), "\n") {
		f := strings.Fields(line)
		if strings.Contains(line, " - ext4 ") || strings.Contains(line, " - devtmpfs ") && f[3] == "/" {
			t.Errorf("the host's file system is mounted: %s", line)
		}
		if f[4] == "/" && !strings.Contains(line, " - overlay ") {
			t.Errorf("the root is not an overlay: %s", line)
		}
	}
	if dev := got["cat /proc/net/dev"].Out; strings.Count(dev, ":") != 1 || !strings.Contains(dev, "lo:") {
		t.Errorf("interfaces: %s", dev)
	}
	// The cgroup namespace begins at the container's own group.
	if g := got["cat /proc/self/cgroup"].Out; strings.Contains(g, groupPrefix) {
		t.Errorf("the cgroup's name on the host is visible: %s", g)
	}
}

// TestNamespaces looks from the host: an inode number that a container sees
// can be the same in another kernel, /proc/PID/ns here cannot lie.
func TestNamespaces(t *testing.T) {
	needRoot(t)
	l := layersOf(t)
	b := startBox(t, l, sample("pause"))
	b.ready(t)
	for _, ns := range []string{"pid", "mnt", "net", "uts", "ipc", "user", "cgroup"} {
		theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", b.PID(), ns))
		if err != nil {
			t.Fatal(err)
		}
		ours, err := os.Readlink("/proc/self/ns/" + ns)
		if err != nil {
			t.Fatal(err)
		}
		if theirs == ours {
			t.Errorf("%s namespace: %s, the host's", ns, theirs)
		}
	}
	if uid, gid := hostIDs(t, b.PID()); uid != idBase || gid != idBase {
		t.Errorf("on the host it is user %d, group %d; want %d", uid, gid, idBase)
	}
	var order []string
	last := int64(0)
	for _, m := range b.Timeline {
		order = append(order, m.Phase)
		if m.Ns < last {
			t.Errorf("%s begins before what comes before it: %v", m.Phase, b.Timeline)
		}
		last = m.Ns
	}
	if diff := cmp.Diff([]string{"start", "overlay", "make cgroup", "clone", "id maps", "cgroup", "file system", "network", "privileges", "exec"}, order); diff != "" {
		t.Errorf("phases: -want +got:\n%s", diff)
	}
}

func hostIDs(t *testing.T, pid int) (uid, gid uint32) {
	t.Helper()
	info, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	return st.Uid, st.Gid
}

// TestFewerNamespaces: each kind is there only if it is asked for.
func TestFewerNamespaces(t *testing.T) {
	needRoot(t)
	for _, tt := range []struct {
		name string
		drop []specs.LinuxNamespaceType
		same []string // with the host
	}{
		{"no user", []specs.LinuxNamespaceType{specs.UserNamespace}, []string{"user"}},
		{"no network, no user", []specs.LinuxNamespaceType{specs.NetworkNamespace, specs.UserNamespace}, []string{"user", "net"}},
		{"no UTS, no IPC", []specs.LinuxNamespaceType{specs.UTSNamespace, specs.IPCNamespace}, []string{"uts", "ipc"}},
		{"only PID", []specs.LinuxNamespaceType{specs.MountNamespace, specs.NetworkNamespace, specs.UTSNamespace, specs.IPCNamespace, specs.UserNamespace, specs.CgroupNamespace}, []string{"mnt", "net", "uts", "ipc", "user", "cgroup"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := without(sample("pause"), tt.drop...)
			if !has(s, specs.IPCNamespace) { // a mqueue mount belongs to one
				s.Mounts = deleteMount(s.Mounts, "/dev/mqueue")
			}
			var l *rootfs.Layers
			switch {
			case !has(s, specs.MountNamespace):
				s.Root.Path = probe(t)
			case has(s, specs.UserNamespace):
				l = layersOf(t)
			default:
				var err error
				if l, err = rootfs.OpenLayers([]string{probe(t)}, nil); err != nil {
					t.Fatal(err)
				}
				defer l.Close()
			}
			b := startBox(t, l, s)
			b.ready(t)
			for _, ns := range []string{"pid", "mnt", "net", "uts", "ipc", "user", "cgroup"} {
				theirs, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", b.PID(), ns))
				ours, _ := os.Readlink("/proc/self/ns/" + ns)
				want := false
				for _, same := range tt.same {
					want = want || same == ns
				}
				if (theirs == ours) != want {
					t.Errorf("%s namespace: %s, the host's %s", ns, theirs, ours)
				}
			}
		})
	}
}

func deleteMount(mounts []specs.Mount, dest string) []specs.Mount {
	var kept []specs.Mount
	for _, m := range mounts {
		if m.Destination != dest {
			kept = append(kept, m)
		}
	}
	return kept
}

// TestNoUserNamespace: devices are made, not bound; root is the host's, with
// Docker's capabilities alone.
func TestNoUserNamespace(t *testing.T) {
	needRoot(t)
	l, err := rootfs.OpenLayers([]string{probe(t)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	want := map[string]string{
		"who":                                   "pid=1 uid=0 gid=0 groups=[] host=container cwd=/ umask=022 sid=1",
		"stat /dev/null":                        "20666 1:3 owner 0:0",
		"stat /dev/tty":                         "20666 5:0 owner 0:0",
		"write /dev/null x":                     "",
		"read /dev/zero 2":                      "0000",
		"mkdir /new":                            "",
		"mount /new":                            "!EPERM",
		"settime":                               "!EPERM",
		"write /proc/sys/kernel/core_pattern x": "!EROFS",
	}
	got := do(t, l, without(sample(append(keys(want), "cat /proc/self/uid_map", "cat /proc/self/status")...), specs.UserNamespace))
	wants(t, got, want)
	if f := strings.Fields(got["cat /proc/self/uid_map"].Out); len(f) != 3 || f[2] != "4294967295" {
		t.Errorf("uid_map: %v", f)
	}
	if !strings.Contains(got["cat /proc/self/status"].Out, "CapEff:\t00000000a80425fb\n") {
		t.Error(got["cat /proc/self/status"].Out)
	}
}

func TestUser(t *testing.T) {
	needRoot(t)
	s := sample("who", "write /file x", "cat /proc/self/status")
	s.Process.User = specs.User{UID: 1000, GID: 100, AdditionalGids: []uint32{4, 24}, Umask: pointer(uint32(0o027))}
	s.Process.Capabilities.Inheritable = []string{"CAP_NET_BIND_SERVICE"}
	s.Process.Capabilities.Ambient = []string{"CAP_NET_BIND_SERVICE"}
	got := do(t, layersOf(t), s)
	wants(t, got, map[string]string{
		"who":           "pid=1 uid=1000 gid=100 groups=[4 24] host=container cwd=/ umask=027 sid=1",
		"write /file x": "!EACCES",
	})
	// An ordinary user keeps over an execve what is ambient (capabilities(7)).
	if st := got["cat /proc/self/status"].Out; !strings.Contains(st, "CapEff:\t0000000000000400\n") || !strings.Contains(st, "CapAmb:\t0000000000000400\n") {
		t.Error(st)
	}
}

func TestStreamsAndStatus(t *testing.T) {
	needRoot(t)
	l := layersOf(t)
	t.Run("streams", func(t *testing.T) {
		b := startBox(t, l, sample("copy"))
		if _, err := io.WriteString(b.stdin, "in and out\n"); err != nil {
			t.Fatal(err)
		}
		if line, err := b.stdout.ReadString('\n'); line != "in and out\n" {
			t.Errorf("standard output: %q, %v", line, err)
		}
		if _, stderr, st := b.end(t); stderr != "to standard error\n" || st.String() != "exit status 0" {
			t.Errorf("standard error %q, %v", stderr, st)
		}
	})
	for _, tt := range []struct {
		op   string
		sig  syscall.Signal
		want Status
		text string
	}{
		{"exit 0", 0, Status{}, "exit status 0"},
		{"exit 42", 0, Status{Code: 42}, "exit status 42"},
		{"exit 255", 0, Status{Code: 255}, "exit status 255"},
		{"pause", syscall.SIGKILL, Status{Signal: syscall.SIGKILL}, "killed by signal SIGKILL"},
		{"term", syscall.SIGTERM, Status{Code: 7}, "exit status 7"},
	} {
		t.Run(tt.op, func(t *testing.T) {
			b := startBox(t, l, sample(tt.op))
			if tt.sig != 0 {
				b.ready(t)
				if err := b.Signal(tt.sig); err != nil {
					t.Fatal(err)
				}
			}
			if _, stderr, st := b.end(t); st != tt.want || st.String() != tt.text {
				t.Errorf("%v, want %v; %s", st, tt.want, stderr)
			}
			// The pidfd of what has ended reaches nobody.
			if err := b.Signal(syscall.SIGTERM); err != nil {
				t.Errorf("signal after the end: %v", err)
			}
			if err := b.Remove(t.Context()); err != nil {
				t.Error(err)
			}
			if err := b.Signal(syscall.SIGTERM); err != nil {
				t.Errorf("signal after Remove: %v", err)
			}
			if err := b.Remove(t.Context()); err != nil {
				t.Errorf("Remove again: %v", err)
			}
		})
	}
}

func TestCwd(t *testing.T) {
	needRoot(t)
	s := sample("who")
	s.Process.Cwd = "/work/here"
	got := do(t, layersOf(t, layer(t, map[string]string{"work/here/x": ""})), s)
	if !strings.Contains(got["who"].Out, "cwd=/work/here ") {
		t.Error(got)
	}
}

func TestLimits(t *testing.T) {
	needRoot(t)
	l := layersOf(t)
	t.Run("memory", func(t *testing.T) {
		swaps, _ := os.ReadFile("/proc/swaps")
		if strings.Count(string(swaps), "\n") > 1 {
			t.Skip("the host has swap, which takes what is over the limit: swapoff -a")
		}
		s := sample("allocate 200")
		stdout, stderr, st := startBox(t, l, s).end(t)
		if st.Signal != syscall.SIGKILL || !st.OutOfMemory {
			t.Errorf("200 MiB under a limit of 64: %v; %s%s", st, stdout, stderr)
		}
		if want := "killed by signal SIGKILL (over its memory limit)"; st.String() != want {
			t.Errorf("%q, want %q", st, want)
		}
		wants(t, do(t, l, sample("allocate 20")), map[string]string{"allocate 20": "1"})
	})
	t.Run("pids", func(t *testing.T) {
		s := sample("fork 30")
		s.Linux.Resources.Pids.Limit = pointer(int64(16)) // threads count too
		got := do(t, l, s)["fork 30"]
		if n, err := strconv.Atoi(got.Out); err != nil || n >= 16 || got.Err != "EAGAIN" {
			t.Errorf("%+v", got)
		}
	})
	t.Run("files", func(t *testing.T) {
		b := startBox(t, l, sample("pause"))
		b.ready(t)
		for _, f := range []struct{ controller, v1, v2, want1, want2 string }{
			{"memory", "memory.limit_in_bytes", "memory.max", "67108864", "67108864"},
			{"cpu", "cpu.cfs_quota_us", "cpu.max", "150000", "150000 100000"},
			{"cpu", "cpu.cfs_period_us", "", "100000", ""},
			{"pids", "pids.max", "pids.max", "32", "32"},
		} {
			file, want := cgroupFile(t, b.PID(), f.controller, f.v1, f.v2), f.want1
			if strings.HasSuffix(file, "/"+f.v2) && f.want2 != "" {
				want = f.want2
			}
			if file == "" {
				continue
			}
			if c, err := os.ReadFile(file); err != nil || strings.TrimSpace(string(c)) != want {
				t.Errorf("%s holds %q, %v; want %s", file, c, err, want)
			}
		}
		if pids, err := b.Cgroup().Processes(); err != nil || len(pids) != 1 || pids[0] != b.PID() {
			t.Errorf("processes of the cgroup: %v, %v; want %d", pids, err, b.PID())
		}
		if m, err := b.Cgroup().Memory(); err != nil || m <= 0 || m > 64<<20 {
			t.Errorf("memory: %d, %v", m, err)
		}
	})
	// The smallest limit that is accepted is one that a start survives: the
	// child shares this process's memory, and its death by the kernel's
	// out-of-memory killer would be ours. A helper process takes the risk.
	t.Run("least memory", func(t *testing.T) {
		h := startHelper(t, "least")
		out, err := io.ReadAll(h.out)
		if st := h.wait(); !strings.Contains(string(out), "survived") {
			t.Errorf("%s%v; the helper ended with %v", out, err, st)
		}
	})
}

// cgroupFile is a file of the group that a process is in, "" if v2 has none.
func cgroupFile(t *testing.T, pid int, controller, v1, v2 string) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		t.Fatal(err)
	}
	for s := bufio.NewScanner(strings.NewReader(string(b))); s.Scan(); {
		f := strings.SplitN(s.Text(), ":", 3)
		for _, c := range strings.Split(f[1], ",") {
			if c == controller {
				return filepath.Join("/sys/fs/cgroup", f[1], f[2], v1)
			}
		}
	}
	if v2 == "" {
		return ""
	}
	_, path, _ := strings.Cut(string(b), "0::")
	return filepath.Join("/sys/fs/cgroup", strings.TrimSpace(path), v2)
}
