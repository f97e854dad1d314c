package platform

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"vmctr/bench/engine"
	"vmctr/bench/peers/peer"
	"vmctr/container/cgroup/cgrouptest"
)

// startEngine gives the test an engine of its own, of which this host sees a bridge at
// most, and points the engine's command at it.
func startEngine(t *testing.T, name string) {
	t.Helper()
	for _, program := range map[string][]string{"docker": {"docker", "dockerd", "containerd"}, "podman": {"podman", "conmon"}}[name] {
		if _, err := exec.LookPath(program); err != nil {
			if required(name) {
				t.Fatal(err)
			}
			t.Skip(err, "; sudo scripts/setup test installs it")
		}
	}
	if os.Geteuid() != 0 {
		if required("root") {
			t.Fatal("not root")
		}
		t.Skip("engines are started by root: sudo scripts/test")
	}
	dir, err := os.MkdirTemp("", "bench-engine-") // short, for the names of sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	subnet := netip.MustParsePrefix(fmt.Sprintf("10.%d.%d.0/24", 214+os.Getpid()%6, os.Getpid()/6%250))
	bridge := fmt.Sprintf("bt%d", os.Getpid())
	t.Cleanup(func() {
		if l, err := netlink.LinkByName(bridge); err == nil {
			if err := netlink.LinkDel(l); err != nil {
				t.Error(err)
			}
		}
	})
	if name == "docker" {
		startDocker(t, dir, bridge, subnet)
	} else {
		configurePodman(t, dir, bridge, subnet)
	}
}

// write writes a file into dir, and gives its path.
func write(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
		t.Fatal(err)
	}
	return path
}

// startDocker starts a daemon on a bridge of the test's.
func startDocker(t *testing.T, dir, bridge string, subnet netip.Prefix) {
	attributes := netlink.NewLinkAttrs()
	attributes.Name = bridge
	link := &netlink.Bridge{LinkAttrs: attributes}
	address, err := netlink.ParseAddr(netip.PrefixFrom(subnet.Addr().Next(), subnet.Bits()).String())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(netlink.LinkAdd(link), netlink.AddrAdd(link, address), netlink.LinkSetUp(link)); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	socket := "unix://" + filepath.Join(dir, "docker.sock")
	cmd := exec.Command("dockerd", "--config-file", write(t, dir, "daemon.json", "{}"), "--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"),
		"--host", socket, "--pidfile", filepath.Join(dir, "pid"), "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false", "--bridge", bridge,
		"--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", cgrouptest.Group(t))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM) // it takes its containerd with it
		timer := time.AfterFunc(20*time.Second, func() {
			t.Error("dockerd does not end")
			cmd.Process.Kill()
		})
		cmd.Wait()
		timer.Stop()
		log.Close()
		if b, err := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("dockerd said (%v):\n%s", err, b)
		}
	})
	t.Setenv("DOCKER_HOST", socket)
	ready(t, "docker")
}

// configurePodman has podman keep all that it keeps in dir, and make a bridge of the
// test's.
func configurePodman(t *testing.T, dir, bridge string, subnet netip.Prefix) {
	runtime, network := "", ""
	if peer.Hybrid() { // before 1.9, crun takes no such host
		runtime = "runtime=\"runc\"\n"
	}
	out, err := exec.Command("podman", "info", "--format", "{{.Host.NetworkBackend}}").Output()
	if err != nil {
		t.Fatal(err)
	}
	if strings.TrimSpace(string(out)) == "cni" {
		network = fmt.Sprintf("[network]\nnetwork_backend=\"cni\"\nnetwork_config_dir=%q\ndefault_network=\"bench\"\n", filepath.Join(dir, "net"))
		write(t, dir, "net/bench.conflist", fmt.Sprintf(`{"cniVersion":"0.4.0","name":"bench","plugins":[{"type":"bridge","bridge":%q,"isGateway":true,
"ipam":{"type":"host-local","dataDir":%q,"ranges":[[{"subnet":%q}]]}}]}`, bridge, filepath.Join(dir, "ipam"), subnet))
	}
	// podman raises these limits for a container, which not every root may.
	t.Setenv("CONTAINERS_CONF", write(t, dir, "containers.conf", fmt.Sprintf(
		"[containers]\ndefault_ulimits=[\"nofile=1024:1024\",\"nproc=1024:1024\"]\n[engine]\ncgroup_manager=\"cgroupfs\"\nevents_logger=\"file\"\ntmp_dir=%q\n%s%s", filepath.Join(dir, "tmp"), runtime, network)))
	t.Setenv("CONTAINERS_STORAGE_CONF", write(t, dir, "storage.conf", fmt.Sprintf(
		"[storage]\ndriver=\"overlay\"\ngraphroot=%q\nrunroot=%q\n", filepath.Join(dir, "root"), filepath.Join(dir, "run"))))
	ready(t, "podman")
	t.Cleanup(func() { // overlay's own folder is a mount
		mounts, _ := os.ReadFile("/proc/self/mountinfo")
		for line := range strings.Lines(string(mounts)) {
			if f := strings.Fields(line); strings.HasPrefix(f[4], dir) {
				syscall.Unmount(f[4], syscall.MNT_DETACH)
			}
		}
	})
}

// ready waits until the engine answers.
func ready(t *testing.T, name string) {
	t.Helper()
	c, err := engine.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err = c.Ask(t.Context()); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// held is what an engine has: containers and images.
func held(t *testing.T, name string) string {
	t.Helper()
	c, err := engine.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, args := range [][]string{{"ps", "-aq"}, {"images", "-q"}} {
		out, err := c.Output(t.Context(), 10*time.Second, args...)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, out)
	}
	return strings.TrimSpace(strings.Join(all, "\n"))
}

// TestEngines: a container of an engine is a platform as others are; of one that
// nobody stops, a sweep of the run's folder leaves nothing in the engine.
func TestEngines(t *testing.T) {
	for _, name := range engine.Names {
		t.Run(name, func(t *testing.T) {
			startEngine(t, name)
			p, err := Find(name)
			if err != nil {
				t.Fatal(err)
			}
			t.Run("contract", func(t *testing.T) { testContract(t, p) })
			if left := held(t, name); left != "" {
				t.Errorf("the engine still has: %s", left)
			}
			t.Run("ends by itself", func(t *testing.T) { testEndsByItself(t, p) })
			t.Run("swept", func(t *testing.T) { testSwept(t, p) })
			if left := held(t, name); left != "" {
				t.Errorf("the engine still has: %s", left)
			}
		})
	}
}

// testSwept leaves an instance behind, as a run does that is killed.
func testSwept(t *testing.T, p Platform) {
	prepared, w := prepare(t, p, "serve", ":8080")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	i, err := prepared.Start(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.Output().FirstInstruction(ctx); err != nil {
		t.Fatal(err, i.Err())
	}
	if _, err := i.Output().Identity(ctx); err != nil {
		t.Fatal(err)
	}
	address, err := i.Address(ctx)
	if err != nil {
		t.Errorf("the host does not reach it: %v; %v", err, prepared.Facts().Details["network"])
	}
	pids, err := i.Processes()
	if err != nil || len(pids) < 2 {
		t.Errorf("processes %v of a container and its monitor: %v", pids, err)
	}
	delay, err := i.Delay(ctx)
	if err != nil || delay <= 0 || delay > time.Second {
		t.Errorf("its output is under way for %v: %v", delay, err)
	}
	t.Logf("at %v, %d processes, output under way for %v, facts %q", address, len(pids), delay, prepared.Facts().Details)
	removed, err := engine.Sweep(ctx, w.NetworkDir)
	if err != nil {
		t.Fatal(err)
	}
	// A monitor ends by itself when its container has; one that has not yet is ended too.
	removed = slices.DeleteFunc(removed, func(what string) bool { return strings.HasPrefix(what, "process ") })
	if len(removed) != 2 || !strings.Contains(removed[0], " container ") || !strings.Contains(removed[1], " image localhost/"+w.RunID+":") {
		t.Errorf("removed %q", removed)
	}
	if left, err := filepath.Glob(filepath.Join(w.NetworkDir, "engine-*")); len(left) > 0 || err != nil {
		t.Errorf("left behind: %q, %v", left, err)
	}
	if err := i.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// TestNoEngine: a command without an engine is no engine.
func TestNoEngine(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root is told so: sudo scripts/test")
	}
	dir := t.TempDir()
	for _, tt := range []struct{ name, script, want string }{
		{"nothing", "", "the command docker is not on PATH"},
		{"no daemon", "echo Cannot connect to the Docker daemon >&2; exit 1", "Cannot connect to the Docker daemon"},
		{"says nothing of an engine", "echo; echo ERROR >&2", "no engine answers"},
		{"an engine", `printf '20.10\trunc\toverlay2\tsystemd, version 2\n'`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bin := filepath.Join(dir, strings.ReplaceAll(tt.name, " ", "-"))
			if tt.script != "" {
				path := write(t, bin, "docker", "#!/bin/sh\n"+tt.script+"\n")
				if err := os.Chmod(path, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			t.Setenv("PATH", bin)
			err := byEngine{"docker"}.Available(t.Context())
			var u *UnavailableError
			switch {
			case tt.want == "" && err == nil:
			case errors.As(err, &u) && strings.Contains(u.Reason, tt.want) && tt.want != "" && u.Fix != "":
			default:
				t.Errorf("%v, want %q and what to do", err, tt.want)
			}
		})
	}
}

func TestGroupOf(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	for _, tt := range []struct{ text, want string }{
		{"9:name=systemd:/\n4:memory:/docker/" + id + "\n0::/\n", "/docker/" + id},
		{"0::/system.slice/docker-" + id + ".scope\n", "/system.slice/docker-" + id + ".scope"},
		{"0::/machine.slice/libpod-" + id + ".scope/container\n", "/machine.slice/libpod-" + id + ".scope"},
		{"0::/machine.slice/libpod-conmon-" + id + ".scope\n", ""},
		{"4:memory:/docker/" + strings.Repeat("0", 64) + "\n", ""},
		{"nonsense\n", ""},
	} {
		if got := groupOf([]byte(tt.text), id); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.text, got, tt.want)
		}
	}
}

func TestLocalAddresses(t *testing.T) {
	const trie = `Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 10.214.0.0/24 2 0 2
        |-- 10.214.0.0
           /24 link UNICAST
        |-- 10.214.0.2
           /32 host LOCAL
        |-- 10.214.0.255
           /32 link BROADCAST
        |-- 127.0.0.1
           /32 host LOCAL
Local:
        |-- 10.214.0.2
           /32 host LOCAL
`
	want := []netip.Addr{netip.MustParseAddr("10.214.0.2")}
	if got := localAddresses([]byte(trie)); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
