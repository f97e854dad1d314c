package container

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/cgroup"
	"vmctr/container/seccomp"
)

// The tests that TestRootless runs as an ordinary user.

// TestUserInside is what a program finds in an ordinary user's container.
func TestUserInside(t *testing.T) {
	needUser(t)
	old := unix.Umask(0o077) // which must not go in
	defer unix.Umask(old)
	l := layersOf(t, layer(t, map[string]string{"etc/motd": "hello", "etc/old": "x"}))
	want := map[string]string{
		"who":                      "pid=1 uid=0 gid=0 groups=[] host=container cwd=/ umask=022 sid=1",
		"fds":                      "0 1 2",
		"ls /":                     "dev etc probe proc sys",
		"ls /dev":                  "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero",
		"cat /etc/motd":            "hello",
		"cat /proc/1/comm":         "probe\n",
		"cat /proc/self/uid_map":   "         0      12345          1\n",
		"cat /proc/self/gid_map":   "         0      12345          1\n",
		"cat /proc/self/setgroups": "deny\n",
		"stat /":                   "40755 0:0 owner 0:0",
		"stat /probe":              "100755 0:0 owner 0:0",
		"stat /dev/null":           "20666 1:3 owner 65534:65534",
		"stat /dev/pts/ptmx":       "20666 5:2 owner 0:0",
		"write /dev/null x":        "",
		"write /dev/full x":        "!ENOSPC",
		"rm /etc/old":              "",
		"mkdir /etc/old":           "", // a whiteout becomes an opaque folder
		"write /etc/old/file x":    "",
		"ls /etc/old":              "file",
		"write /etc/motd x":        "",
		"mkdir /new":               "",
		"write /new/file x":        "",
		"chmod /new 0":             "", // its root may look all the same, and who removes it, too
		"ls /new":                  "file",
		"mount /new":               "!EPERM",
		"settime":                  "!EPERM",
		"mknod /new/disk 254 0":    "!EPERM",
		"chown /new 7":             "!EINVAL", // an ID that there is not
		"loopback":                 "hello",
	}
	s := sample("who", "fds", "ls /", "ls /dev", "cat /etc/motd", "cat /proc/1/comm", "cat /proc/self/uid_map", "cat /proc/self/gid_map",
		"cat /proc/self/setgroups", "stat /", "stat /probe", "stat /dev/null", "stat /dev/pts/ptmx", "write /dev/null x", "write /dev/full x",
		"rm /etc/old", "mkdir /etc/old", "write /etc/old/file x", "ls /etc/old", "write /etc/motd x", "mkdir /new", "write /new/file x",
		"mount /new", "settime", "mknod /new/disk 254 0", "chown /new 7", "chmod /new 0", "ls /new", "loopback", "cat /proc/self/status", "cat /proc/self/mountinfo")
	profile, err := seccomp.Default(DefaultCapabilities)
	if err != nil {
		t.Fatal(err)
	}
	s.Linux.Seccomp = profile
	b := startBox(t, l, s)
	stdout, stderr, st := b.end(t)
	if st != (Status{}) {
		t.Fatalf("%v\n%s%s", st, stdout, stderr)
	}
	got := results(t, stdout)
	wants(t, got, want)
	for _, want := range []string{"CapEff:\t00000000a80425fb\n", "CapBnd:\t00000000a80425fb\n", "NoNewPrivs:\t1\n", "Seccomp:\t2\n"} {
		if !strings.Contains(got["cat /proc/self/status"].Out, want) {
			t.Errorf("not %q:\n%s", want, got["cat /proc/self/status"].Out)
		}
	}
	for line := range strings.Lines(got["cat /proc/self/mountinfo"].Out) {
		f := strings.Fields(line)
		if strings.Contains(line, " - ext4 ") || f[4] == "/" && !strings.Contains(line, " - overlay ") {
			t.Errorf("mounted: %s", line)
		}
	}
	var on unix.Stat_t
	if err := unix.Stat(filepath.Join(b.cfg.Dir, "upper/etc/motd"), &on); err != nil || on.Uid != userID || on.Gid != userID {
		t.Errorf("a file that it wrote is user %d's and group %d's (%v)", on.Uid, on.Gid, err)
	}
	if err := b.Remove(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(b.cfg.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Remove: %v", err)
	}
}

// TestUserBinds: bind mounts, and the host's network with the /sys that belongs
// to it.
func TestUserBinds(t *testing.T) {
	needUser(t)
	host := layer(t, map[string]string{"dir/a": "a", "file": "a file"})
	s := DefaultSpec([]string{"/probe", "cat /data/a", "write /data/b x", "write /data/../file x", "cat /etc/file", "ls /sys/class/net", "readlink /proc/self/ns/net", "write /rw/b x"}, []string{"PATH=/"}, "/")
	without(s, specs.NetworkNamespace)
	ToRootless(s)
	s.Mounts = append(s.Mounts,
		specs.Mount{Destination: "/data", Source: filepath.Join(host, "dir"), Options: []string{"rbind", "ro", "nosuid"}},
		specs.Mount{Destination: "/rw", Source: filepath.Join(host, "dir"), Options: []string{"bind"}},
		specs.Mount{Destination: "/etc/file", Source: filepath.Join(host, "file"), Type: "bind", Options: []string{"bind"}},
	)
	got := do(t, layersOf(t), s)
	wants(t, got, map[string]string{"cat /data/a": "a", "write /data/b x": "!EROFS", "cat /etc/file": "a file", "write /rw/b x": ""})
	if net, err := os.Readlink("/proc/self/ns/net"); err != nil || got["readlink /proc/self/ns/net"].Out != net {
		t.Errorf("the host's network namespace is %q, the container's %q, %v", net, got["readlink /proc/self/ns/net"].Out, err)
	}
	if ls := got["ls /sys/class/net"]; ls.Err != "" || !strings.Contains(ls.Out, "lo") {
		t.Errorf("/sys/class/net: %+v", ls)
	}
}

// TestUserFolder: without layers the root is a folder of the user's.
func TestUserFolder(t *testing.T) {
	needUser(t)
	root := layer(t, map[string]string{"etc/motd": "hello"})
	b, err := os.ReadFile(filepath.Join(probe(t), "probe"))
	if err == nil {
		err = os.WriteFile(filepath.Join(root, "probe"), b, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	s := sample("cat /etc/motd", "write /etc/new x", "stat /etc/new")
	s.Root.Path = root
	wants(t, do(t, nil, s), map[string]string{"cat /etc/motd": "hello", "write /etc/new x": "", "stat /etc/new": "100644 0:0 owner 0:0"})
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(root, "etc/new"), &st); err != nil || st.Uid != userID {
		t.Errorf("on the host it is user %d's (%v)", st.Uid, err)
	}
}

// TestUserRefused: what an ordinary user cannot have is refused by the name of
// the field, with what would help, and nothing is left.
func TestUserRefused(t *testing.T) {
	needUser(t)
	l, dev := layersOf(t), null(t)
	for _, tt := range []struct {
		name   string
		mutate func(*specs.Spec)
		want   []string
	}{
		{"no user namespace", func(s *specs.Spec) { without(s, specs.UserNamespace) }, []string{"linux.namespaces", "user namespace", "--rootless"}},
		{"another's ID", func(s *specs.Spec) { s.Linux.UIDMappings[0].HostID = 54321 }, []string{"linux.uidMappings", "54321", "12345"}},
		{"IDs that are not set aside", func(s *specs.Spec) {
			s.Linux.UIDMappings = append(s.Linux.UIDMappings, specs.LinuxIDMapping{ContainerID: 1, HostID: 700000, Size: 10})
		}, []string{"linux.uidMappings", "newuidmap"}},
		{"groups", func(s *specs.Spec) { s.Process.User.AdditionalGids = []uint32{4} }, []string{"process.user.additionalGids"}},
		{"limits", func(s *specs.Spec) {
			s.Linux.Resources = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: pointer(int64(5))}}
		}, []string{"linux.resources", "systemd-run --user"}},
		{"a cgroup of the host's", func(s *specs.Spec) { s.Linux.CgroupsPath = "/" + groupPrefix + "refused" }, []string{"linux.cgroupsPath", "permission denied", "systemd-run --user"}},
		{"sysfs of the host's network", func(s *specs.Spec) { without(s, specs.NetworkNamespace) }, []string{"mounts[5]", "network namespace", "rbind"}},
		{"the host's proc", func(s *specs.Spec) { without(s, specs.PIDNamespace) }, []string{"mounts[0]", "pid namespace"}},
		{"a group that is not mapped", func(s *specs.Spec) { s.Mounts[2].Options = append(s.Mounts[2].Options, "gid=5") }, []string{"mounts[2]", "gid=5"}},
		{"an ID-mapped mount", func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/x", Source: "/tmp", Options: []string{"bind", "idmap"}})
		}, []string{"mounts[6]", "ID-mapped"}},
		{"a source that is missing", func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/x", Source: "/no/such", Options: []string{"bind"}})
		}, []string{"mounts[6].source", "/no/such"}},
		{"a folder without what is mounted in it", func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/x", Source: "/", Options: []string{"bind"}})
		}, []string{"open_tree", "rbind"}},
		{"more files", func(s *specs.Spec) {
			s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Hard: 1 << 30, Soft: 1 << 30}}
		}, []string{"RLIMIT_NOFILE", "only root raises"}},
		{"longer life", func(s *specs.Spec) { s.Process.OOMScoreAdj = pointer(-1000) }, []string{"oomScoreAdj", "only root lowers"}},
		{"a namespace of the host's", func(s *specs.Spec) {
			_, i := namespace(s, specs.IPCNamespace)
			s.Linux.Namespaces[i].Path = "/proc/1/ns/ipc"
		}, []string{"linux.namespaces[4].path"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := DefaultSpec([]string{"/probe", "exit 0"}, nil, "/")
			ToRootless(s)
			tt.mutate(s)
			dir := t.TempDir()
			before := footprintOf(t, dir)
			c, err := Start(t.Context(), Config{Spec: s, Layers: l, Dir: filepath.Join(dir, "c"), Stdin: dev, Stdout: dev, Stderr: dev})
			if err == nil {
				c.Remove(t.Context())
				t.Fatal("it started")
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("the error does not say %q: %v", w, err)
				}
			}
			before.check(t, dir, tt.name)
		})
	}
}

// TestUserLife: a container that is made, entered and removed by one process
// after the other, without a cgroup or with one's own.
func TestUserLife(t *testing.T) {
	needUser(t)
	root, dev := filepath.Join(t.TempDir(), "state"), null(t)
	s := DefaultSpec([]string{"/probe", "pause"}, []string{"PATH=/"}, "/")
	ToRootless(s)
	// As engines write it; in a user namespace it says nothing.
	s.Linux.Resources = &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}}}
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	dir := filepath.Join(t.TempDir(), "c")
	_, err = Create(t.Context(), root, Config{ID: "one", Spec: s, Layers: layersOf(t), Dir: dir, Stdin: dev, Stdout: out, Stderr: out})
	if err != nil {
		t.Fatal(err)
	}
	load := func(want specs.ContainerState) *Handle {
		t.Helper()
		h, err := Load(root, "one")
		if err != nil {
			t.Fatal(err)
		}
		if h.Status != want {
			t.Fatalf("it is %s, want %s", h.Status, want)
		}
		return h
	}
	defer func() {
		if h, err := Load(root, "one"); err == nil {
			h.Delete(t.Context(), true)
		}
	}()
	if err := load(specs.StateCreated).Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := load(specs.StateRunning)
	if (h.Cgroup != "") != (ourGroup() != "") {
		t.Errorf("the cgroup is %q, and the user's %q", h.Cgroup, ourGroup())
	}
	said, err := os.Create(filepath.Join(t.TempDir(), "said"))
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	process := *s.Process
	process.Args = []string{"/probe", "who", "cat /proc/self/uid_map", "cat /proc/self/status", "cat /proc/self/oom_score_adj", "readlink /proc/self/ns/net"}
	process.OOMScoreAdj = pointer(300)
	p, err := h.Exec(t.Context(), Exec{Process: &process, Stdin: dev, Stdout: said, Stderr: said})
	if err != nil {
		t.Fatal(err)
	}
	if st, err := p.Wait(t.Context()); err != nil || st != (Status{}) {
		t.Errorf("exec: %v, %v", st, err)
	}
	b, err := os.ReadFile(said.Name())
	if err != nil {
		t.Fatal(err)
	}
	got := results(t, string(b))
	wants(t, got, map[string]string{"cat /proc/self/uid_map": "         0      12345          1\n", "cat /proc/self/oom_score_adj": "300\n"})
	if who := got["who"].Out; strings.Contains(who, "pid=1 ") || !strings.Contains(who, "uid=0 gid=0") {
		t.Errorf("exec: %s", who)
	}
	if !strings.Contains(got["cat /proc/self/status"].Out, "CapEff:\t00000000a80425fb\n") {
		t.Errorf("exec: %s", got["cat /proc/self/status"].Out)
	}
	if net, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", h.Pid)); err != nil || net != got["readlink /proc/self/ns/net"].Out {
		t.Errorf("exec is in %q, the container in %q, %v", got["readlink /proc/self/ns/net"].Out, net, err)
	}
	if pids, err := h.Processes(); err != nil || !slices.Equal(pids, []int{h.Pid}) {
		t.Errorf("its processes are %v, %v; the first %d", pids, err, h.Pid)
	}
	if err := h.Pause(t.Context()); ourGroup() == "" {
		if err == nil || !strings.Contains(err.Error(), "no cgroup") || !strings.Contains(err.Error(), "systemd-run") {
			t.Errorf("pause: %v", err)
		}
	} else if err != nil {
		t.Errorf("pause: %v", err)
	} else if err := load(statePaused).Resume(t.Context()); err != nil {
		t.Errorf("resume: %v", err)
	}
	if err := h.Kill(unix.SIGKILL, true); err != nil {
		t.Error(err)
	}
	for end := time.Now().Add(10 * time.Second); h.Status != specs.StateStopped && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if h, err = Load(root, "one"); err != nil {
			t.Fatal(err)
		}
	}
	if err := load(specs.StateStopped).Delete(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(root); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestUserPod: a second container in the namespaces of a first, and a new PID
// namespace within its user namespace.
func TestUserPod(t *testing.T) {
	needUser(t)
	l := layersOf(t)
	first := startBox(t, l, sample("pause"))
	first.ready(t)
	for _, own := range []bool{false, true} {
		s := sample("who", "cat /proc/self/uid_map", "readlink /proc/self/ns/net", "readlink /proc/self/ns/pid", "loopback")
		s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil
		for i, n := range s.Linux.Namespaces {
			file := map[specs.LinuxNamespaceType]string{specs.UserNamespace: "user", specs.NetworkNamespace: "net", specs.IPCNamespace: "ipc", specs.PIDNamespace: "pid"}[n.Type]
			if file != "" && !(own && file == "pid") {
				s.Linux.Namespaces[i].Path = fmt.Sprintf("/proc/%d/ns/%s", first.PID(), file)
			}
		}
		got := do(t, l, s)
		wants(t, got, map[string]string{"cat /proc/self/uid_map": "         0      12345          1\n", "loopback": "hello"})
		for _, ns := range []string{"net", "pid"} {
			theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", first.PID(), ns))
			if same := got["readlink /proc/self/ns/"+ns].Out == theirs; err != nil || same == (own && ns == "pid") {
				t.Errorf("own PID namespace %v: %s namespace %q, the first's %q, %v", own, ns, got["readlink /proc/self/ns/"+ns].Out, theirs, err)
			}
		}
		if who := got["who"].Out; !strings.HasPrefix(who, map[bool]string{true: "pid=1 ", false: "pid="}[own]) || !own && strings.HasPrefix(who, "pid=1 ") {
			t.Errorf("own PID namespace %v: %s", own, who)
		}
	}
}

// TestUserSubordinate: more IDs by newuidmap; what belongs to them is removed
// too. Several times in one process, since what a child becomes, its parent's
// memory is marked by.
func TestUserSubordinate(t *testing.T) {
	needUser(t)
	uids, gids, err := SubordinateIDs()
	if err != nil {
		t.Skip("newuidmap is not here (package uidmap; sudo scripts/setup test installs it): ", err)
	}
	want := []specs.LinuxIDMapping{{HostID: userID, Size: 1}, {ContainerID: 1, HostID: subIDs, Size: 65536}}
	if diff := cmp.Diff([][]specs.LinuxIDMapping{want, want}, [][]specs.LinuxIDMapping{uids, gids}); diff != "" {
		t.Fatal(diff)
	}
	open := layer(t, map[string]string{"tmp/x": ""})
	if err := os.Chmod(filepath.Join(open, "tmp"), 0o777); err != nil {
		t.Fatal(err)
	}
	l := layersOf(t, open)
	for i := range 3 {
		s := sample("who", "cat /proc/self/setgroups", "mkdir /tmp/dir", "write /tmp/dir/file x", "stat /tmp/dir/file", "chmod /tmp/dir 700")
		s.Linux.UIDMappings, s.Linux.GIDMappings = uids, gids
		s.Process.User = specs.User{UID: 33, GID: 34, AdditionalGids: []uint32{5, 44}}
		s.Mounts[2].Options = append(s.Mounts[2].Options, "gid=5")
		b := startBox(t, l, s)
		stdout, stderr, st := b.end(t)
		if st != (Status{}) {
			t.Fatalf("%v\n%s%s", st, stdout, stderr)
		}
		wants(t, results(t, stdout), map[string]string{
			"who":                      "pid=1 uid=33 gid=34 groups=[5 44] host=container cwd=/ umask=022 sid=1",
			"cat /proc/self/setgroups": "allow\n", "stat /tmp/dir/file": "100644 0:0 owner 33:34", "chmod /tmp/dir 700": "",
		})
		var on unix.Stat_t
		if err := unix.Stat(filepath.Join(b.cfg.Dir, "upper/tmp/dir"), &on); err != nil || on.Uid != subIDs+32 || on.Gid != subIDs+33 {
			t.Errorf("round %d: its folder is user %d's and group %d's (%v)", i, on.Uid, on.Gid, err)
		}
		if err := os.RemoveAll(filepath.Join(b.cfg.Dir, "upper/tmp/dir")); err == nil {
			t.Error("the control: the user could remove it without further ado")
		}
		if err := b.Remove(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(b.cfg.Dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after Remove: %v", err)
		}
	}
}

// TestUserTold: what is missing here is told, and no more.
func TestUserTold(t *testing.T) {
	needUser(t)
	list, err := Rootless(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var what []string
	for _, l := range list {
		if l.Why == "" {
			t.Errorf("%q: no reason", l.What)
		}
		what = append(what, l.What)
	}
	want := []string{"network", "devices", "more of what you have"}
	if ourGroup() == "" {
		want = append([]string{"limits"}, want...)
	}
	if _, _, err := SubordinateIDs(); err != nil {
		want = append([]string{"users and groups"}, want...)
	}
	if diff := cmp.Diff(want, what); diff != "" {
		t.Errorf("%s\n%+v", diff, list)
	}
}

// TestUserGroup: in a cgroup of one's own limits hold, and a controller that was
// not handed down is named.
func TestUserGroup(t *testing.T) {
	needUser(t)
	if ourGroup() == "" {
		t.Skip("needs a cgroup of the user's")
	}
	d, err := cgroup.Delegated()
	if err != nil || d == nil || d.Name != ourGroup() || !slices.Contains(d.Controllers, "memory") {
		t.Fatalf("the user's group: %+v, %v; want %s", d, err, ourGroup())
	}
	s := sample("fork 40")
	got := do(t, layersOf(t), s)
	if r := got["fork 40"]; r.Err != "EAGAIN" {
		t.Errorf("40 processes with a limit of 32: %+v", r)
	}
	s = sample("exit 0")
	s.Linux.CgroupsPath = "/" + groupPrefix + "foreign"
	if _, err := tryBox(t, layersOf(t), s); err == nil || !strings.Contains(err.Error(), "linux.cgroupsPath") {
		t.Errorf("a group outside of their own: %v", err)
	}
}
