package container

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/cgroup"
	"vmctr/container/seccomp"
)

// The tests of what an ordinary user can have: TestRootless starts this program
// again as one, to run those tests that are named for it here and many of the
// others, in which sample then is an ordinary user's configuration.

const (
	userID   = 12345
	userName = "benchuser"
	subIDs   = 2000000 // the first of 65,536 that are set aside for the user
)

// isUser tells whether these tests run as that user.
func isUser() bool { return os.Getenv("CONTAINER_TEST_USER") != "" }

// needUser skips a test that is about an ordinary user.
func needUser(t *testing.T) {
	t.Helper()
	if !isUser() {
		t.Skip("is about an ordinary user: TestRootless runs it as one")
	}
}

// ourGroup is the cgroup that was handed to the user, "" without one.
func ourGroup() string { return os.Getenv("CONTAINER_TEST_GROUP") }

// forUserTest makes a configuration an ordinary user's: with limits where they
// have a cgroup.
func forUserTest(s *specs.Spec) {
	path, limits := s.Linux.CgroupsPath, s.Linux.Resources
	ToRootless(s)
	if ourGroup() != "" {
		s.Linux.CgroupsPath, s.Linux.Resources = ourGroup()+path, limits
	}
}

// becomeUser executes the program that its arguments name as the user, who is
// known to the host's files of this mount namespace alone.
func becomeUser() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	for _, name := range []string{"passwd", "subuid", "subgid"} {
		file := filepath.Join(os.Getenv("CONTAINER_TEST_ETC"), name)
		if err := unix.Mount(file, "/etc/"+name, "", unix.MS_BIND, ""); err != nil && !errors.Is(err, unix.ENOENT) { // of a host without them
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	os.Unsetenv("CONTAINER_TEST_HELPER")
	if err := errors.Join(syscall.Setgroups(nil), syscall.Setresgid(userID, userID, userID), syscall.Setresuid(userID, userID, userID)); err != nil {
		return err
	}
	return unix.Exec("/proc/self/exe", os.Args, os.Environ())
}

// shared are the tests of other files that an ordinary user's containers pass
// as root's do.
const shared = "TestOverlay|TestManyLayers|TestReadOnlyRoot|TestHostileImage|TestStreamsAndStatus|TestCwd|TestCannotStart|" +
	"TestSeccomp|TestTerminal|TestLifecycle|TestStartOfCreatedFails|TestHooks|TestLeakedDescriptor|" +
	"TestEveryStepFails|TestCancelled|TestConcurrent|TestHidden|TestSharedScore|TestBoundSys"

func TestRootless(t *testing.T) {
	if isUser() {
		t.Skip("this is the user")
	}
	needRoot(t)
	dir := t.TempDir()
	for at := dir; at != "/"; at = filepath.Dir(at) { // the user has to pass
		if st, err := os.Stat(at); err != nil {
			t.Fatal(err)
		} else if err := os.Chmod(at, st.Mode()|0o111); err != nil {
			t.Fatal(err)
		}
	}
	own := func(name string) string {
		t.Helper()
		at := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(at, 0o700), os.Chown(at, userID, userID)); err != nil {
			t.Fatal(err)
		}
		return at
	}
	layer, etc := own("layer"), filepath.Join(dir, "etc")
	b, err := os.ReadFile(filepath.Join(probe(t), "probe"))
	if err == nil {
		err = os.WriteFile(filepath.Join(layer, "probe"), b, 0o755)
	}
	if err := errors.Join(err, os.Chown(filepath.Join(layer, "probe"), userID, userID), os.Chmod(layer, 0o755), os.Mkdir(etc, 0o755)); err != nil {
		t.Fatal(err)
	}
	passwd, _ := os.ReadFile("/etc/passwd")
	for name, text := range map[string]string{
		"passwd": fmt.Sprintf("%s%s:x:%d:%d::/:/bin/false\n", passwd, userName, userID, userID),
		"subuid": fmt.Sprintf("%s:%d:65536\n", userName, subIDs), "subgid": fmt.Sprintf("%s:%d:65536\n", userName, subIDs),
	} {
		if err := os.WriteFile(filepath.Join(etc, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	asUser := func(t *testing.T, tests string, least int, group string, folder *os.File) {
		t.Helper()
		temp := own("temp")
		cmd := exec.Command("/proc/self/exe", "-test.v", "-test.timeout=4m", "-test.run=^("+tests+")$")
		cmd.Env = append(os.Environ(), "CONTAINER_TEST_HELPER=user", "CONTAINER_TEST_USER=1", "CONTAINER_TEST_ETC="+etc, "CONTAINER_TEST_PROBE="+layer,
			"CONTAINER_TEST_GROUP="+group, "TMPDIR="+temp, "HOME="+temp, "XDG_RUNTIME_DIR="+temp)
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
		if folder != nil {
			cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(folder.Fd())
		}
		out, err := cmd.CombinedOutput()
		passed := 0
		for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "--- PASS") {
				passed++
			}
		}
		if err != nil || passed < least {
			t.Errorf("%v, and %d tests passed, want %d:\n%s", err, passed, least, out)
		} else {
			t.Logf("%d tests passed; those that did not run:", passed)
			for line := range strings.Lines(string(out)) {
				if strings.HasPrefix(strings.TrimSpace(line), "--- SKIP") || strings.Contains(line, "is not here") {
					t.Log(strings.TrimSpace(line))
				}
			}
		}
		if left, _ := filepath.Glob(filepath.Join(temp, "*")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
	t.Run("without a cgroup", func(t *testing.T) { asUser(t, "TestUser[A-Z].*|"+shared, 25, "", nil) })
	t.Run("with a cgroup", func(t *testing.T) {
		if hostMode(t) != "v2" {
			t.Skip("only version 2 can be handed to a user; TestInGuest runs this on it")
		}
		name := "/" + groupPrefix + "user"
		given, err := cgroup.CreateWith(name, nil, cgroup.Options{Every: true})
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := cgroup.CreateWith(name+"/tests", nil, cgroup.Options{Every: true})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := errors.Join(leaf.Remove(t.Context()), given.Remove(t.Context())); err != nil {
				t.Error(err)
			}
		}()
		if err := errors.Join(given.Delegate(userID, userID), leaf.Delegate(userID, userID)); err != nil {
			t.Fatal(err)
		}
		folder, _, err := leaf.Entrances()
		if err != nil {
			t.Fatal(err)
		}
		defer folder.Close()
		asUser(t, "TestUserInside|TestUserLife|TestUserTold|TestUserGroup|TestLimits|TestLifecycle|TestCancelled|TestConcurrent|TestStreamsAndStatus", 9, name, folder)
	})
	t.Run("forbidden", func(t *testing.T) {
		if os.Getenv("CONTAINER_TEST_PROBE") == "" {
			t.Skip("sets the kernel's switches: TestInGuest runs it in a guest")
		}
		for name, value := range map[string]string{"user/max_user_namespaces": "0", "kernel/unprivileged_userns_clone": "0"} {
			file := "/proc/sys/" + name
			before, err := os.ReadFile(file)
			if errors.Is(err, fs.ErrNotExist) {
				continue // Debian's alone
			}
			if err == nil {
				err = os.WriteFile(file, []byte(value), 0)
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Setenv("CONTAINER_TEST_SWITCH", strings.ReplaceAll(name, "/", "."))
			asUser(t, "TestForbiddenUser", 1, "", nil)
			if err := os.WriteFile(file, before, 0); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestForbiddenUser(t *testing.T) {
	needUser(t)
	name := os.Getenv("CONTAINER_TEST_SWITCH")
	dev, dir := null(t), t.TempDir()
	before := footprintOf(t, dir)
	_, err := Start(t.Context(), Config{Spec: sample("exit 0"), Layers: layersOf(t), Dir: filepath.Join(dir, "c"), Stdin: dev, Stdout: dev, Stderr: dev})
	if err == nil || !strings.Contains(err.Error(), name+" is 0") || !strings.Contains(err.Error(), "sysctl -w "+name+"=") {
		t.Errorf("Start: %v", err)
	}
	before.check(t, dir, "a start")
	_, err = Rootless(t.Context())
	if l, ok := errors.AsType[*Limitation](err); !ok || !strings.Contains(l.Why, name) || !strings.Contains(l.Fix, name) {
		t.Errorf("Rootless: %v", err)
	}
}

// TestForbiddenBy: the switches of hosts that this is not.
func TestForbiddenBy(t *testing.T) {
	for _, tt := range []struct {
		err     error
		sysctls map[string]string
		why     string
	}{
		{unix.ENOSPC, map[string]string{"user/max_user_namespaces": "0"}, "user.max_user_namespaces is 0"},
		{unix.EPERM, map[string]string{"user/max_user_namespaces": "0"}, "user.max_user_namespaces is 0"},
		{unix.ENOSPC, map[string]string{"user/max_user_namespaces": "7"}, "user.max_user_namespaces is 7"},
		{unix.EPERM, map[string]string{"user/max_user_namespaces": "7", "kernel/unprivileged_userns_clone": "0"}, "unprivileged_userns_clone is 0"},
		{unix.EPERM, map[string]string{"kernel/unprivileged_userns_clone": "1", "kernel/apparmor_restrict_unprivileged_userns": "1"}, "apparmor_restrict_unprivileged_userns is 1"},
		{unix.EACCES, map[string]string{"kernel/apparmor_restrict_unprivileged_userns": "1"}, "apparmor_restrict_unprivileged_userns is 1"},
		{unix.EPERM, nil, "inside a container"},
		{unix.EACCES, nil, ""},
		{unix.EINVAL, map[string]string{"user/max_user_namespaces": "0"}, ""},
	} {
		l := forbiddenBy(fmt.Errorf("clone3: %w", tt.err), func(name string) string { return tt.sysctls[name] })
		if (l == nil) != (tt.why == "") || l != nil && (!strings.Contains(l.Why, tt.why) || l.Fix == "") {
			t.Errorf("%v with %v: %+v", tt.err, tt.sysctls, l)
		}
	}
}

func TestSubordinate(t *testing.T) {
	got := subordinate("root:1:5\nalice:100000:65536\n# comment\n1000:300000:10\nalice:x:1\nbob:7:7\n", []string{"1000", "alice"}, 1000)
	want := []specs.LinuxIDMapping{{HostID: 1000, Size: 1}, {ContainerID: 1, HostID: 100000, Size: 65536}, {ContainerID: 65537, HostID: 300000, Size: 10}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

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

// TestHidden: a child that comes among others' programs hides its memory from
// them, which is ours too; afterwards ours is as it was.
func TestHidden(t *testing.T) {
	needRoot(t)
	dumpable := func() int {
		t.Helper()
		n, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	first := startBox(t, layersOf(t), sample("pause"))
	first.ready(t)
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0); err != nil { // whatever was before
		t.Fatal(err)
	}
	dev := null(t)
	h := &Handle{spec: first.cfg.Spec, Record: Record{State: specs.State{ID: "x", Pid: first.PID(), Status: specs.StateRunning}}}
	var err error
	if h.StartTime, err = startTime(first.PID()); err != nil {
		t.Fatal(err)
	}
	process := *first.cfg.Spec.Process
	process.Args = []string{"/probe", "exit 0"}
	process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_CORE"}} // for which we wait
	// Somebody looks all the time; an exec may be over before they come to it.
	var seen, stop atomic.Bool
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		for !stop.Load() && !seen.Load() {
			n, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
			seen.Store(err == nil && n == 0)
		}
	}()
	for end := time.Now().Add(10 * time.Second); !seen.Load() && time.Now().Before(end); {
		p, err := h.Exec(t.Context(), Exec{Process: &process, Stdin: dev, Stdout: dev, Stderr: dev})
		if err != nil {
			t.Fatal(err)
		}
		if st, err := p.Wait(t.Context()); err != nil || st != (Status{}) {
			t.Errorf("%v, %v", st, err)
		}
	}
	stop.Store(true)
	<-looked
	if !seen.Load() || dumpable() != 1 {
		t.Errorf("hidden meanwhile: %v; afterwards: %d, want 1", seen.Load(), dumpable())
	}
}

// TestSharedScore: a container's oom_score_adj is not ours too.
func TestSharedScore(t *testing.T) {
	needRoot(t)
	before, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		t.Fatal(err)
	}
	s := sample("cat /proc/self/oom_score_adj")
	s.Process.OOMScoreAdj = pointer(700)
	wants(t, do(t, layersOf(t), s), map[string]string{"cat /proc/self/oom_score_adj": "700\n"})
	if after, err := os.ReadFile("/proc/self/oom_score_adj"); err != nil || !bytes.Equal(before, after) {
		t.Errorf("ours was %q and is %q, %v", before, after, err)
	}
}

// TestBoundSys: the folder over which layers are mounted, where only we see it,
// is the host's in a container.
func TestBoundSys(t *testing.T) {
	needRoot(t)
	s := sample("ls /mnt")
	s.Mounts = append(s.Mounts, specs.Mount{Destination: "/mnt", Type: "bind", Source: "/sys", Options: []string{"rbind"}})
	if got := do(t, layersOf(t), s)["ls /mnt"]; !strings.Contains(got.Out, "devices") || !strings.Contains(got.Out, "kernel") {
		t.Errorf("/sys of the host: %+v", got)
	}
}
