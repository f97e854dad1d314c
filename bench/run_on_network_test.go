package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vmctr/container/network"
)

// web is a script for a machine: it says where it is, and serves a page.
const web = `cat /etc/hosts /etc/resolv.conf; echo hello >/tmp/index.html; httpd -p 80 -h /tmp; echo ready; exec sleep 100`

// getPage asks for web's page.
func getPage(t *testing.T, address string) {
	t.Helper()
	client := &http.Client{Timeout: time.Minute}
	defer client.CloseIdleConnections()
	r, err := client.Get("http://" + address + "/index.html")
	if err != nil {
		t.Error(err)
		return
	}
	defer r.Body.Close()
	if b, err := io.ReadAll(r.Body); err != nil || string(b) != "hello\n" {
		t.Errorf("%s: %q, %v", address, b, err)
	}
}

// TestRunOnPorts: a server in a machine, on a bridge as a container's is: called by the
// host over its published port and by its address. Whatever ends bench, nothing stays.
func TestRunOnPorts(t *testing.T) {
	root := machineShell(t)
	cmd, _ := started(t, nil, "--on", "vm-q35", "--name", "bench-test-machine", "-p", "127.0.0.1:18097:80", root, "sh", "-c", web)
	getPage(t, "127.0.0.1:18097")
	dir, err := filepath.EvalSymlinks("/run/bench/name-bench-test-machine")
	if err != nil {
		t.Fatal(err)
	}
	id := filepath.Base(dir)
	bridge, err := net.InterfaceByName(strings.TrimPrefix(id, "bench-") + "-b0001")
	if err != nil {
		t.Fatal(err)
	}
	addresses, err := bridge.Addrs()
	if err != nil || len(addresses) != 1 {
		t.Fatal(addresses, err)
	}
	machine := netip.MustParsePrefix(addresses[0].String()).Addr().Next() // the first after the bridge's
	getPage(t, machine.String()+":80")
	if _, stderr, code := benchRun(t, "--network", "container:bench-test-machine", "--userns", "host", root, "true"); code != exitRun || !strings.Contains(stderr, "it is a virtual machine") {
		t.Errorf("to join a machine's network: status %d, %s", code, stderr)
	}
	pids, _ := of(t, id)
	if len(pids) == 0 {
		t.Error("there is no QEMU")
	}
	cmd.Process.Kill()
	cmd.Wait()
	for _, pid := range pids {
		waitFor(t, 5*time.Second, func() bool { return gone(pid) })
	}
	// The tap has gone with QEMU; a bridge and rules are left to be swept.
	waitFor(t, 5*time.Second, func() bool {
		taps, err := filepath.Glob("/sys/class/net/" + strings.TrimPrefix(id, "bench-") + "-t*")
		return len(taps) == 0 && err == nil
	})
	stdout, stderr, code := benchClean(t)
	if code != 0 || !strings.Contains(stdout, bridge.Name) || !strings.Contains(stdout, "table") {
		t.Errorf("bench clean: status %d\n%s%s", code, stdout, stderr)
	}
	if processes, rest := of(t, id); len(processes)+len(rest) > 0 {
		t.Errorf("left: processes %v, %q", processes, rest)
	}
	if left, err := network.Sweep(t.Context(), func(i string) bool { return i == strings.TrimPrefix(id, "bench-") }); len(left) > 0 || err != nil {
		t.Errorf("left: %q, %v", left, err)
	}
}

// TestRunOnPortsNoRoot: a user who may make no interfaces has a network that QEMU plays.
func TestRunOnPortsNoRoot(t *testing.T) {
	root := machineShell(t)
	// Not t.TempDir: no other user can enter that.
	dir, err := os.MkdirTemp("/tmp", "bench-noroot-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	const nobody = 65534
	home := filepath.Join(dir, "home")
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(home, 0o700), os.Mkdir(filepath.Join(home, "cache"), 0o700), os.Symlink(filepath.Join(cacheDir(), "kernel"), filepath.Join(home, "cache", "kernel")),
		os.Chown(home, nobody, nobody), os.Chown(filepath.Join(home, "cache"), nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	bench := filepath.Join(dir, "bench")
	copyFile(t, bench)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command(bench, "run", "--on", "vm-q35", "--hostname", "guest", "-p", "127.0.0.1:18096:80", root, "sh", "-c", web)
	cmd.Dir = home
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "XDG_RUNTIME_DIR=" + home, "BENCH_CACHE=" + filepath.Join(home, "cache")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	defer func() {
		cmd.Process.Signal(syscall.SIGTERM)
		ended := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
		cmd.Wait()
		if !ended.Stop() {
			t.Error("it does not end after SIGTERM")
		}
		if left, err := os.ReadDir(filepath.Join(home, "bench")); err != nil || len(left) != 1 { // the lock
			t.Errorf("left: %v, %v", left, err)
		}
	}()
	said := expect(t, r, "ready")
	for _, want := range []string{"10.0.2.15\tguest\n", "nameserver 10.0.2.3\n"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not in\n%s", want, said)
		}
	}
	getPage(t, "127.0.0.1:18096")
	// A port that is taken.
	second := exec.Command(bench, cmd.Args[1:]...)
	second.Dir, second.Env, second.SysProcAttr = cmd.Dir, cmd.Env, cmd.SysProcAttr
	var out bytes.Buffer
	second.Stdout, second.Stderr = &out, &out
	err = second.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != exitRun || !strings.Contains(out.String(), "Could not set up host forwarding rule 'tcp:127.0.0.1:18096-:80'") {
		t.Errorf("the port again: %v, %s", err, &out)
	}
}

func TestWithServer(t *testing.T) {
	const given = "# comment\nsearch example.org\nnameserver 127.0.0.53\nnameserver 192.0.2.1\n\noptions edns0\n"
	want := "nameserver 10.0.2.3\n# comment\nsearch example.org\noptions edns0\n"
	if diff := cmp.Diff(want, string(withServer([]byte(given), netip.MustParseAddr("10.0.2.3")))); diff != "" {
		t.Error(diff)
	}
}
