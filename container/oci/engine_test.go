package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/container/cgroup"
	"vmctr/container/cgroup/cgrouptest"
)

// The engines of these tests run on an island: in PID, mount and network
// namespaces of their own, where what they write to /run, /etc and /var is in
// memory. So they neither meet an engine of this host nor leave anything to it,
// and all their processes end with the island's first.
type island struct {
	t     *testing.T
	dir   string // for the engine's data
	group string // the cgroup that its containers are to be in
	first *exec.Cmd
}

// The first process: it makes the island, says so, and then waits until we
// close its standard input, or die. As a shell it reaps who is orphaned.
const makeIsland = `set -e
mount --make-rslave /
mount --make-rshared / # as systemd has it
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
for d in etc var; do
	mkdir -p /run/$d/upper /run/$d/work
	mount -t overlay -o lowerdir=/$d,upperdir=/run/$d/upper,workdir=/run/$d/work overlay /$d
done
echo ready
cat
exit 0`

// newIsland makes one for an engine that is made of these programs.
func newIsland(t *testing.T, engine string, programs ...string) *island {
	t.Helper()
	needRoot(t)
	if err := built(); err != nil {
		t.Fatal(err)
	}
	for _, p := range append([]string{"nsenter", "mount"}, programs...) {
		if _, err := exec.LookPath(p); err != nil {
			if required(engine) {
				t.Fatal(err)
			}
			t.Skip(err, "; sudo scripts/test installs it")
		}
	}
	l := &island{t: t, dir: t.TempDir(), group: strings.TrimPrefix(cgrouptest.Group(t), "/")}
	l.first = exec.Command("sh", "-c", makeIsland)
	l.first.SysProcAttr = &unix.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET}
	in, err := l.first.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := l.first.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errOut bytes.Buffer
	l.first.Stderr = &errOut
	if err := l.first.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		l.first.Process.Kill()
		l.first.Wait()
		l.leftovers()
	})
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		l.first.Wait()
		t.Fatalf("making namespaces for %s: %s", engine, &errOut)
	}
	return l
}

// leftovers removes the cgroups, and complains of what else there is.
func (l *island) leftovers() {
	if _, err := cgroup.Sweep(context.Background(), func(name string) bool { return name == l.group }); err != nil {
		l.t.Error(err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		l.t.Error(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, l.dir) {
			l.t.Errorf("a mount is left: %s", line)
		}
	}
	processes, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range processes {
		if b, _ := os.ReadFile(p); bytes.Contains(b, []byte(l.dir)) && !strings.HasPrefix(p, "/proc/"+strconv.Itoa(os.Getpid())+"/") {
			l.t.Errorf("a process is left: %s: %q", p, b)
		}
	}
}

// command is one that runs on the island.
func (l *island) command(args ...string) *exec.Cmd {
	cmd := exec.Command("nsenter", append([]string{"--target", strconv.Itoa(l.first.Process.Pid), "--pid", "--mount", "--net", "--"}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+l.dir, "TMPDIR="+l.dir)
	return cmd
}

// daemon starts an engine's, which ends with the island. What it says is shown
// if the test fails.
func (l *island) daemon(args ...string) {
	l.t.Helper()
	log, err := os.Create(filepath.Join(l.dir, "log"))
	if err != nil {
		l.t.Fatal(err)
	}
	cmd := l.command(args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		cmd.Process.Kill() // of nsenter; it itself is the island's
		cmd.Wait()
		log.Close()
		if b, err := os.ReadFile(log.Name()); l.t.Failed() {
			l.t.Logf("%s said (%v):\n%s", args[0], err, b)
		}
	})
}

// An expectation is a command line of an engine and what is to come of it.
type expectation struct {
	args []string
	code int
	want string // in its output, or several such, joined by also
	soon bool   // within some seconds, and not at once
}

// also stands between things that are expected.
const also = "\x00"

// words are arguments, separated by spaces but within quotes.
func words(line string) []string {
	var list []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			list = append(list, part)
		} else {
			list = append(list, strings.Fields(part)...)
		}
	}
	return list
}

// meet runs them in turn.
func (l *island) meet(engine func(args ...string) *exec.Cmd, list []expectation) {
	l.t.Helper()
	for _, e := range list {
		out, code := output(l.t, engine(e.args...))
		for end := time.Now().Add(20 * time.Second); e.soon && (code != 0 || !strings.Contains(out, e.want)) && time.Now().Before(end); {
			time.Sleep(20 * time.Millisecond)
			out, code = output(l.t, engine(e.args...))
		}
		if code != e.code {
			l.t.Errorf("%q: code %d, want %d:\n%s", e.args, code, e.code, out)
		}
		for want := range strings.SplitSeq(e.want, also) {
			if !strings.Contains(out, want) {
				l.t.Errorf("%q: no %q in:\n%s", e.args, want, out)
			}
		}
	}
}

// archive makes an image named "probe" with the probe alone, in the form of
// `docker save` (image-spec; moby, image/spec/spec.md).
func archive(t *testing.T) string {
	t.Helper()
	probe, err := os.ReadFile(filepath.Join(programs, "probe"))
	if err != nil {
		t.Fatal(err)
	}
	type file struct {
		name    string
		mode    int64
		content []byte
	}
	pack := func(files ...file) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, f := range files {
			if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.content)), Typeflag: tar.TypeReg}); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(f.content); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	asJSON := func(v any) []byte {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	layer := pack(file{"probe", 0o755, probe}, file{"etc/passwd", 0o644, []byte("root:x:0:0::/:/probe\nstudent:x:1234:5678::/:/probe\n")}, file{"etc/group", 0o644, []byte("root:x:0:\n")})
	config := asJSON(map[string]any{
		"architecture": "amd64", "os": "linux",
		"config": map[string]any{"Cmd": []string{"/probe", "who"}, "Env": []string{"PATH=/bin:/"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))}},
	})
	name := fmt.Sprintf("%x.json", sha256.Sum256(config))
	manifest := asJSON([]map[string]any{{"Config": name, "RepoTags": []string{"probe:latest"}, "Layers": []string{"layer.tar"}}})
	path := filepath.Join(t.TempDir(), "image.tar")
	if err := os.WriteFile(path, pack(file{"layer.tar", 0o644, layer}, file{name, 0o644, config}, file{"manifest.json", 0o644, manifest}), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
