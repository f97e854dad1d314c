package container_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vmctr/container"
	"vmctr/vm"
	"vmctr/vm/kernel"
)

// TestInGuest runs the tests of this package once more, inside a virtual
// machine with Debian's kernel: on cgroup v2, whatever the host has, and where
// nothing that goes wrong can reach the host. CONTAINER_GUEST_RUN names some of
// them, as -run does.
func TestInGuest(t *testing.T) {
	if os.Getenv("CONTAINER_TEST_PROBE") != "" {
		t.Skip("this is the guest")
	}
	require := func(err error, what string) {
		t.Helper()
		if err == nil {
			return
		}
		if slices.Contains(strings.Split(os.Getenv("BENCH_REQUIRE"), ","), what) {
			t.Fatal(err)
		}
		t.Skip(err, "; sudo scripts/test installs it")
	}
	qemu, err := vm.Find()
	require(err, "qemu")
	cache := os.Getenv("BENCH_CACHE")
	if cache == "" {
		cache = "/var/cache/bench"
	}
	k, err := kernel.Find(kernel.Options{Caches: []string{cache}})
	require(err, "qemu")
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin") // not in an ordinary user's
	mkfs, err := exec.LookPath("mkfs.ext4")
	require(err, "qemu")

	dir := t.TempDir()
	command := func(name string, args ...string) {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd, err, out)
		}
	}
	layer := filepath.Join(dir, "layer")
	command("go", "build", "-o", layer+"/guest", "./testdata/guest")
	if err := os.Symlink("/guest", layer+"/rm"); err != nil {
		t.Fatal(err)
	}
	command("go", "build", "-o", dir+"/disk.d/probe/probe", "./testdata/probe")
	cc, err := exec.LookPath("cc")
	require(err, "peers")
	command(cc, "-O2", "-static", "-o", dir+"/disk.d/probe/true", "testdata/true.c")
	command("go", "test", "-c", "-o", layer+"/container.test", ".")
	command("go", "build", "-o", dir+"/pid1", "vmctr/vm/guest")
	pid1, err := os.ReadFile(dir + "/pid1")
	if err != nil {
		t.Fatal(err)
	}
	disk := filepath.Join(dir, "disk")
	command(mkfs, "-q", "-d", dir+"/disk.d", disk, "256M")

	spec := container.DefaultSpec([]string{"/guest", "/container.test", "-test.v", "-test.timeout=8m",
		// It compares with golden files, which are not there, and needs no kernel.
		"-test.skip=^TestCompile$", "-test.run=" + os.Getenv("CONTAINER_GUEST_RUN")}, []string{"PATH=/", "BENCH_REQUIRE=root"}, "/")
	initramfs := filepath.Join(dir, "initramfs")
	if err := (vm.Initramfs{
		Guest: pid1, Kernel: k, Spec: spec, Layers: []string{layer},
		// ext4 asks for crc32c by an alias, which is not followed.
		Modules: []string{
			"virtio_blk", "crc32c_generic", "ext4", "overlay",
			"bridge", "veth", "nf_tables", "nft_chain_nat", "nft_nat", "nft_masq", "nft_fib_ipv4", "nft_ct", "nf_conntrack_netlink",
		},
	}).Write(initramfs); err != nil {
		t.Fatal(err)
	}
	elf, err := k.ELF(dir)
	if err != nil {
		t.Fatal(err)
	}
	choice, err := vm.Choose(t.Context(), qemu)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 9*time.Minute)
	defer cancel()
	m, err := vm.Start(ctx, vm.Config{
		Name: "bench-test-container", QEMU: qemu, Type: "q35", Accelerator: choice.Accelerator, CPUs: 2, Memory: 512 << 20,
		Kernel: elf, Initramfs: initramfs, Dir: filepath.Join(dir, "m"), Disks: []string{disk},
	})
	if err != nil {
		t.Fatal(err)
	}
	stop := context.AfterFunc(ctx, func() { m.Output().Close() })
	defer stop()
	var lines []string
	passed := 0
	for out := bufio.NewScanner(m.Output()); out.Scan(); {
		line := out.Text()
		lines = append(lines, line)
		if strings.HasPrefix(line, "--- PASS") {
			passed++
		}
		t.Log(line)
	}
	err = m.Err()
	if stopErr := m.Stop(context.Background()); stopErr != nil {
		t.Error(stopErr)
	}
	switch {
	case ctx.Err() != nil:
		t.Error("the tests did not end in time")
	case err == nil || !strings.Contains(err.Error(), "it ended by itself: exit status 0"):
		t.Errorf("the tests inside failed: %v", err)
	case !slices.Contains(lines, "PASS") || passed < 10 && os.Getenv("CONTAINER_GUEST_RUN") == "":
		t.Errorf("%d tests passed inside, and the last line is not PASS", passed)
	}
}
