package container

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/rootfs"
)

// Escapes that were known of other runtimes, one test each. TestLeakedDescriptor
// (features_test.go) is CVE-2024-21626.

// image makes a layer of folders (names that end in "/"), symbolic links
// ("name" to "->target") and files, and gives it to a container that is in the
// host's user namespace: there an escape would do the most harm.
func image(t *testing.T, files map[string]string) *rootfs.Layers {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if to, ok := strings.CutPrefix(content, "->"); ok {
			err = errors.Join(err, os.Symlink(to, path))
		} else if strings.HasSuffix(name, "/") {
			err = errors.Join(err, os.MkdirAll(path, 0o755))
		} else {
			err = errors.Join(err, os.WriteFile(path, []byte(content), 0o644))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	l, err := rootfs.OpenLayers([]string{probe(t), dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// victim is a file of the host, and a function that looks whether it is as it
// was, and alone.
func victim(t *testing.T) (path string, untouched func(when string)) {
	t.Helper()
	dir := t.TempDir()
	path = filepath.Join(dir, "victim")
	if err := os.WriteFile(path, []byte("of the host"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, func(when string) {
		t.Helper()
		info, err := os.Lstat(path)
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: the host's file is %v, %v", when, info, err)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != "of the host" {
			t.Errorf("%s: the host's file holds %q, %v", when, b, err)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Errorf("%s: beside it there is %v, %v", when, entries, err)
		}
		if mounts, err := os.ReadFile("/proc/self/mountinfo"); err != nil || bytes.Contains(mounts, []byte(" "+dir)) {
			t.Errorf("%s: something is mounted at %s", when, dir)
		}
	}
}

// swap exchanges two names in a folder as fast as it can.
func swap(t *testing.T, a, b string) {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				if err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE); err != nil {
					t.Error(err)
					return
				}
				runtime.Gosched()
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-done })
}

// TestMountTargetRace: a mount target below a volume that somebody else
// exchanges for a link while the container starts (CVE-2021-30465).
func TestMountTargetRace(t *testing.T) {
	needRoot(t)
	path, untouched := victim(t)
	volume := t.TempDir()
	a, b := filepath.Join(volume, "target"), filepath.Join(volume, "other")
	if err := errors.Join(os.Mkdir(a, 0o755), os.Symlink(filepath.Dir(path), b)); err != nil {
		t.Fatal(err)
	}
	l := plainLayers(t)
	swap(t, a, b)
	started := 0
	for range 60 {
		s := without(sample("cat /proc/self/mountinfo", "ls /vol/target"), specs.UserNamespace)
		s.Mounts = append(s.Mounts,
			specs.Mount{Destination: "/vol", Source: volume, Options: []string{"rbind"}},
			specs.Mount{Destination: "/vol/target/below", Source: "racing", Type: "tmpfs"})
		box, err := tryBox(t, l, s)
		if err == nil {
			started++
			out, _, _ := box.end(t)
			if strings.Contains(out, "victim") {
				t.Errorf("the host's folder is inside: %s", out)
			}
			if err := box.Remove(t.Context()); err != nil {
				t.Error(err)
			}
		}
		untouched("a start")
		if t.Failed() {
			return
		}
	}
	t.Logf("%d of 60 started", started)
	if started == 0 {
		t.Error("none started: nothing was tried")
	}
}

// TestRenames: other processes rename and mount all the time; a path with ".."
// in it is found all the same. openat2(2) gives up with EAGAIN then, and says
// that the caller may try again.
func TestRenames(t *testing.T) {
	needRoot(t)
	l := image(t, map[string]string{"var/link": "->../real/../real", "real/": ""})
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	if err := errors.Join(os.Mkdir(a, 0o755), os.Mkdir(b, 0o755)); err != nil {
		t.Fatal(err)
	}
	swap(t, a, b)
	for range 100 {
		s := without(sample("exit 0"), specs.UserNamespace)
		for _, name := range []string{"1", "2", "3", "4", "5"} {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/var/link/" + name, Type: "tmpfs"})
		}
		if err := startBox(t, l, s).Remove(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKernelFileSystemLinks: /proc and /sys that lead somewhere else in the
// image, so that what hides parts of them would miss (CVE-2019-19921,
// CVE-2023-27561).
func TestKernelFileSystemLinks(t *testing.T) {
	needRoot(t)
	for _, name := range []string{"proc", "sys"} {
		l := image(t, map[string]string{name: "->/elsewhere", "elsewhere/": ""})
		b, err := tryBox(t, l, without(sample("who"), specs.UserNamespace))
		if err == nil {
			b.Remove(context.Background())
			t.Errorf("/%s is a link, and it started", name)
			continue
		}
		if !errors.Is(err, unix.ELOOP) && !errors.Is(err, unix.ENOTDIR) || !strings.Contains(err.Error(), "/"+name) {
			t.Errorf("/%s: %v", name, err)
		}
	}
}

// TestDeviceLinks: devices whose names are links in the image.
func TestDeviceLinks(t *testing.T) {
	needRoot(t)
	path, untouched := victim(t)
	l := image(t, map[string]string{"dev/file": "->" + path, "dev/dir": "->" + filepath.Dir(path), strings.TrimPrefix(filepath.Dir(path), "/") + "/": ""})
	s := without(sample("stat /dev/file", "stat /dev/dir/victim"), specs.UserNamespace)
	s.Mounts = deleteMount(deleteMount(deleteMount(deleteMount(s.Mounts, "/dev"), "/dev/pts"), "/dev/shm"), "/dev/mqueue")
	mode := os.FileMode(0o666)
	for _, name := range []string{"/dev/file", "/dev/dir/victim"} {
		s.Linux.Devices = append(s.Linux.Devices, specs.LinuxDevice{Path: name, Type: "c", Major: 1, Minor: 3, FileMode: &mode})
	}
	wants(t, do(t, l, s), map[string]string{"stat /dev/file": "20666 1:3 owner 0:0", "stat /dev/dir/victim": "20666 1:3 owner 0:0"})
	untouched("devices")
}

// TestMaskSource: what masks a file is the host's /dev/null, and not what the
// image has under that name (CVE-2025-31133).
func TestMaskSource(t *testing.T) {
	needRoot(t)
	path, untouched := victim(t)
	l := image(t, map[string]string{"dev/null": "->" + path, "secret": "a secret"})
	s := without(sample("stat /secret", "write /secret x"), specs.UserNamespace)
	s.Mounts = deleteMount(deleteMount(deleteMount(deleteMount(s.Mounts, "/dev"), "/dev/pts"), "/dev/shm"), "/dev/mqueue")
	s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/secret")
	got := do(t, l, s)
	wants(t, got, map[string]string{"write /secret x": ""})
	if !strings.HasPrefix(got["stat /secret"].Out, "20666 1:3 ") {
		t.Errorf("the mask is %+v", got["stat /secret"])
	}
	untouched("a mask")
}

// TestConsoleLinks: /dev/console and the terminals behind it are links in the
// image (CVE-2025-52565).
func TestConsoleLinks(t *testing.T) {
	needRoot(t)
	path, untouched := victim(t)
	start := func(files map[string]string, drop ...string) (*Container, string, error) {
		ours, theirs, err := socketPair()
		if err != nil {
			t.Fatal(err)
		}
		defer ours.Close()
		defer theirs.Close()
		s := without(sample("stat /dev/console", "exit 0"), specs.UserNamespace)
		for _, d := range append(drop, "/dev", "/dev/shm", "/dev/mqueue") {
			s.Mounts = deleteMount(s.Mounts, d)
		}
		s.Process.Terminal = true
		dev := null(t)
		c, err := Start(t.Context(), Config{Spec: s, Layers: image(t, files), Dir: filepath.Join(t.TempDir(), "c"), Stdin: dev, Stdout: dev, Stderr: dev, Console: theirs})
		if err != nil {
			return nil, "", err
		}
		defer c.Remove(context.Background())
		master, err := receive(int(ours.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		defer master.Close()
		var out bytes.Buffer
		out.ReadFrom(master)
		return c, out.String(), nil
	}
	// A link for the console: the mount stays inside.
	if _, out, err := start(map[string]string{"dev/console": "->" + path, "dev/pts/": ""}); err == nil && !strings.Contains(out, "ENOENT") {
		t.Errorf("the console: %s", out)
	}
	untouched("a console")
	// A link for the multiplexer: it is no terminal.
	if _, out, err := start(map[string]string{"dev/console": "", "dev/pts/ptmx": "->../../proc/sys/kernel/hostname"}, "/dev/pts"); !errors.Is(err, unix.ENOTTY) {
		t.Errorf("a multiplexer that is none: %v, %s", err, out)
	}
	untouched("a multiplexer")
}

// receive takes a descriptor from a socket.
func receive(socket int) (*os.File, error) {
	b, oob := make([]byte, 4096), make([]byte, 100)
	_, n, _, _, err := unix.Recvmsg(socket, b, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, err
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(msgs) != 1 {
		return nil, errors.Join(err, errors.New("no control message"))
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		return nil, errors.Join(err, errors.New("no descriptor"))
	}
	return os.NewFile(uintptr(fds[0]), "received"), nil
}

// TestFakeProc: values for the kernel are written to its own files, and not to
// what the image or a volume shows in their place (CVE-2025-52881).
func TestFakeProc(t *testing.T) {
	needRoot(t)
	const name = "proc/sys/net/ipv4/ip_unprivileged_port_start"
	l := image(t, map[string]string{name: "->/loot", "loot": "untouched"})
	s := without(sample("cat /loot", "pause"), specs.UserNamespace)
	s.Mounts = deleteMount(s.Mounts, "/proc")
	s.Linux.ReadonlyPaths, s.Linux.MaskedPaths = nil, nil
	s.Linux.Sysctl = map[string]string{"net.ipv4.ip_unprivileged_port_start": "77"}
	b := startBox(t, l, s)
	if line, err := b.stdout.ReadString('\n'); !strings.Contains(line, `"untouched"`) {
		t.Errorf("the file in its place: %s, %v", line, err)
	}
	b.ready(t)
	var got []byte
	inNetwork(t, b.PID(), func() { got, _ = os.ReadFile("/" + name) })
	if string(got) != "77\n" {
		t.Errorf("the setting is %q", got)
	}
}

// inNetwork calls f on a thread in the network namespace of a process.
func inNetwork(t *testing.T, pid int, f func()) {
	t.Helper()
	done := make(chan error)
	var enter func() error
	enter = func() error {
		runtime.LockOSThread() // and the thread ends with the goroutine
		if unix.Gettid() == os.Getpid() {
			defer runtime.UnlockOSThread() // but the first one would not
			other := make(chan error)
			go func() { other <- enter() }()
			return <-other
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
			return err
		}
		f()
		return nil
	}
	go func() { done <- enter() }()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// TestSharedRoot: where the host's mounts are shared, as systemd makes them,
// those of a container do not show up in the host's tree.
func TestSharedRoot(t *testing.T) {
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
	if err := errors.Join(unix.Mount("", dir, "", unix.MS_SHARED, ""), os.Mkdir(root, 0o755), os.WriteFile(root+"/probe", program, 0o755)); err != nil {
		t.Fatal(err)
	}
	before := hostMounts(t, dir)
	s := without(sample("pause"), specs.UserNamespace)
	s.Root.Path = root
	startBox(t, nil, s).ready(t)
	if diff := cmp.Diff(before, hostMounts(t, dir)); diff != "" {
		t.Errorf("mounts of the host: %s", diff)
	}
}
