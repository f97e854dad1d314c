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
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/cgroup"
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
