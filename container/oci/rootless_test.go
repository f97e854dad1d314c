package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestRootless: an ordinary user, without any capability, and what bench-oci
// does for them: in their own folders, from config.json on.
func TestRootless(t *testing.T) {
	needRoot(t)
	if err := built(); err != nil {
		t.Fatal(err)
	}
	const user = 12345
	if err := os.Chmod(programs, 0o755); err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir: no other user can enter that.
	dir, err := os.MkdirTemp("", "bench-oci-rootless-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	probe, err := os.ReadFile(filepath.Join(programs, "probe"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "rootfs"), 0o755), os.WriteFile(filepath.Join(dir, "rootfs/probe"), probe, 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "rootfs", "rootfs/probe"} {
		if err := os.Chown(filepath.Join(dir, name), user, user); err != nil {
			t.Fatal(err)
		}
	}
	oci := func(args ...string) (string, int) {
		t.Helper()
		cmd := exec.Command(filepath.Join(programs, "bench-oci"), args...)
		cmd.Dir = dir
		cmd.Env = []string{"PATH=/usr/bin:/bin", "XDG_RUNTIME_DIR=" + dir}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
		return output(t, cmd)
	}
	must := func(want string, args ...string) {
		t.Helper()
		if out, code := oci(args...); code != 0 || !strings.Contains(out, want) {
			t.Errorf("%q: code %d, %q, want %q", args, code, out, want)
		}
	}
	b := &bundle{t, dir}
	defer oci("delete", "--force", "c")

	must("", "spec", "--rootless")
	b.change(func(s *specs.Spec) {
		s.Process.Args, s.Process.Terminal = []string{"/probe", "who", "write /new x", "stat /new", "cat /proc/self/uid_map", "exit 7"}, false
	})
	out, code := oci("run", "one")
	for _, want := range []string{"pid=1 uid=0 gid=0", `"Op":"stat /new","Out":"100644 0:0 owner 0:0"`, fmt.Sprintf("%d          1", user)} {
		if code != 7 || !strings.Contains(out, want) {
			t.Errorf("run: code %d, %s; want %q", code, out, want)
		}
	}
	var st syscall.Stat_t
	if err := syscall.Stat(filepath.Join(dir, "rootfs/new"), &st); err != nil || st.Uid != user {
		t.Errorf("what it wrote is user %d's, %v", st.Uid, err)
	}

	b.change(func(s *specs.Spec) { s.Process.Args = []string{"/probe", "pause"} })
	must("", "create", "--pid-file", filepath.Join(dir, "pid"), "c")
	must(`"status": "created"`, "state", "c")
	must("", "start", "c")
	must(`"status": "running"`, "state", "c")
	must("uid=0 gid=0", "exec", "c", "/probe", "who")
	if _, code := oci("exec", "c", "/probe", "exit 5"); code != 5 {
		t.Errorf("exec of a program that ends with 5: code %d", code)
	}
	must("pause", "ps", "c")
	must("c", "list", "-q")
	if out, code := oci("pause", "c"); code == 0 || !strings.Contains(out, "no cgroup") {
		t.Errorf("pause without a cgroup: code %d, %s", code, out)
	}
	must("", "kill", "--all", "c", "KILL")
	for range 500 {
		if out, _ := oci("state", "c"); strings.Contains(out, "stopped") {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	must(`"status": "stopped"`, "state", "c")
	must("", "delete", "c")
	if left, _ := filepath.Glob(filepath.Join(dir, "bench-oci/*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}

	b.change(func(s *specs.Spec) {
		limit := int64(5)
		s.Linux.Resources = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}}
	})
	if out, code := oci("run", "two"); code != 1 || !strings.Contains(out, "linux.resources") || !strings.Contains(out, "systemd-run") {
		t.Errorf("limits that they cannot have: code %d, %s", code, out)
	}

	// And who is root of a user namespace already, as in an engine's without
	// root: no other namespace for users is needed.
	if err := os.Remove(filepath.Join(dir, "config.json")); err != nil {
		t.Fatal(err)
	}
	must("", "spec")
	b.change(func(s *specs.Spec) {
		s.Process.Args, s.Process.Terminal = []string{"/probe", "who", "ls /dev", "exit 7"}, false
		s.Mounts[2].Options = []string{"newinstance", "ptmxmode=0666"}
	})
	cmd := exec.Command(filepath.Join(programs, "bench-oci"), "--root", filepath.Join(dir, "nested"), "run", "three")
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: user, Size: 1}}, GidMappings: []syscall.SysProcIDMap{{HostID: user, Size: 1}},
		Credential: &syscall.Credential{NoSetGroups: true},
	}
	if out, code := output(t, cmd); code != 7 || !strings.Contains(out, "uid=0") || !strings.Contains(out, "urandom") {
		t.Errorf("run as root of a user namespace: code %d, %s", code, out)
	}
}
