package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/bench/embedded"
	"vmctr/container"
	"vmctr/vm"
	"vmctr/vm/kernel"
)

// TestGuestLayers: layers on disks, joined in a guest, hide what they are to hide,
// and keep what an initramfs cannot say: owners, times, attributes, hard links.
// Which disk is which is no luck: there are more than slots of the bus.
func TestGuestLayers(t *testing.T) {
	busybox := busyboxGuest(t)
	if os.Geteuid() != 0 {
		t.Skip("gives files to others: run as root (sudo scripts/test)")
	}
	dir := t.TempDir()
	var layers []string
	var layer string
	begin := func() {
		layer = filepath.Join(dir, fmt.Sprint("layer", len(layers)))
		layers = append(layers, layer)
		must(t, os.Mkdir(layer, 0o755))
	}
	write := func(name, content string) {
		path := filepath.Join(layer, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(content), 0o644))
	}

	begin()
	write("bin/busybox", string(busybox))
	must(t, os.Chmod(layer+"/bin/busybox", 0o755))
	must(t, os.Symlink("busybox", layer+"/bin/sh"))
	write("data/gone", "hidden by a whiteout")
	write("data/stays", "lowest")
	write("data/changes", "lowest")
	write("opaque/old", "hidden by an opaque folder")
	write("folder/file", "hidden by a file in its folder's place")
	write("data/owned", "x")
	must(t, os.Chown(layer+"/data/owned", 1234, 4321))
	must(t, unix.Chmod(layer+"/data/owned", 0o4750))
	must(t, os.Chtimes(layer+"/data/owned", time.Time{}, time.Unix(1e9, 0)))
	must(t, os.Link(layer+"/data/stays", layer+"/data/linked"))
	begin()
	must(t, os.Mkdir(layer+"/data", 0o755))
	must(t, unix.Mknod(layer+"/data/gone", unix.S_IFCHR, 0))
	write("opaque/new", "of the second")
	must(t, unix.Setxattr(layer+"/opaque", "trusted.overlay.opaque", []byte("y"), 0))
	write("folder", "a file")
	write("data/changes", "second")
	for range 38 { // each covers the one before
		begin()
		write("data/number", fmt.Sprint(len(layers)))
	}

	spec := container.DefaultSpec([]string{"sh", "-c", `export PATH=/bin; for p in / /data /opaque; do busybox ls $p; done
		busybox cat /folder /data/changes /data/number; echo; busybox stat -c '%a %u:%g %Y %h' /data/owned; busybox stat -c %h /data/stays; busybox uname -r
		[ $(busybox stat -c %d / /bin/sh /data/changes /data/number | busybox sort -u | busybox wc -l) = 1 ] && echo one device
		echo changed >/data/stays && busybox cat /data/stays`}, nil, "/")
	g := Guest{Spec: spec, Layers: layers, Streams: true, Dir: t.TempDir(), Cache: filepath.Join(dir, "cache"), Kernel: kernel.Options{Caches: []string{cache()}, Needs: vm.Drivers()}, Memory: 256 << 20, CPUs: 1}
	stdout, stderr, facts, k := boot(t, g)
	want := "bin\ndata\ndev\nfolder\nopaque\nproc\nsys\n" + // root: what the layers have, and what a system mounts
		"changes\nlinked\nnumber\nowned\nstays\n" + "new\n" +
		"a filesecond40\n" + "4750 1234:4321 1000000000 1\n" + "2\n" + k + "\none device\nchanged\n"
	if stdout != want || stderr != "" {
		t.Errorf("it says\n%s%s\nwant\n%s", stdout, stderr, want)
	}
	if got := facts.Details["image"]; !strings.HasPrefix(got, "on 40 read-only EROFS disks, ") {
		t.Errorf("the image is %q", got)
	}

	// The same where nothing is hidden, small: in memory.
	g.Layers, g.Dir = layers[:1], t.TempDir()
	spec.Process.Args[2] = "/bin/busybox cat /data/changes"
	stdout, stderr, facts, _ = boot(t, g)
	if stdout != "lowest" || stderr != "" || !strings.HasPrefix(facts.Details["image"], "in the initramfs, ") {
		t.Errorf("it says %q, %q; the image is %q", stdout, stderr, facts.Details["image"])
	}
}

// busyboxGuest skips a test that runs a static busybox in a guest, or gives its program.
func busyboxGuest(t *testing.T) []byte {
	t.Helper()
	path, err := exec.LookPath("busybox")
	if err == nil {
		_, err = embedded.Guest("amd64")
	}
	if err == nil {
		err = machine{"q35"}.Available(t.Context())
	}
	if err != nil {
		if required("qemu") {
			t.Fatal(err)
		}
		t.Skip(err, "; sudo scripts/test installs it (busybox-static)")
	}
	program, err := os.ReadFile(path)
	must(t, err)
	return program
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// boot boots a guest, whose program must end with status 0, and tells the release
// of its kernel.
func boot(t *testing.T, g Guest) (stdout, stderr string, facts Facts, release string) {
	t.Helper()
	k, err := kernel.Find(g.Kernel)
	if err != nil && !required("qemu") {
		t.Skip(err)
	}
	must(t, err)
	stdout, stderr, facts, status := run(t, g)
	if status.ExitCode() != 0 {
		t.Errorf("%v", status)
	}
	return stdout, stderr, facts, k.Release
}

// run boots a guest, whose program must end by itself.
func run(t *testing.T, g Guest) (stdout, stderr string, facts Facts, status container.Status) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cfg, facts, err := g.Machine(ctx, "q35")
	if unavailable := new(UnavailableError); errors.As(err, &unavailable) && !required("qemu") {
		t.Skip(err)
	}
	must(t, err)
	cfg.Name, cfg.Dir = "bench-test", filepath.Join(g.Dir, "m")
	m, err := vm.Start(ctx, cfg)
	must(t, err)
	stop := context.AfterFunc(ctx, func() { m.Output().Close(); m.ErrorOutput().Close() })
	defer stop()
	errs := make(chan string)
	go func() {
		b, _ := io.ReadAll(m.ErrorOutput())
		errs <- string(b)
	}()
	out, readErr := io.ReadAll(m.Output())
	stderr = <-errs
	select {
	case <-m.Done():
	case <-ctx.Done():
	}
	status, ended := m.Exited()
	if readErr != nil || !ended {
		t.Errorf("%v: %v", readErr, m.Err())
	}
	must(t, m.Stop(context.Background()))
	return string(out), stderr, facts, status
}
