package container_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"vmctr/container"
	"vmctr/vm"
	"vmctr/vm/guesttest"
)

// TestInGuest runs the tests of this package once more, inside a virtual
// machine with Debian's kernel: on cgroup v2, whatever the host has, and where
// nothing that goes wrong can reach the host. CONTAINER_GUEST_RUN names some of
// them, as -run does.
func TestInGuest(t *testing.T) {
	if os.Getenv("CONTAINER_TEST_PROBE") != "" {
		t.Skip("this is the guest")
	}
	g := guesttest.New(t)
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin") // not in an ordinary user's
	mkfs, err := exec.LookPath("mkfs.ext4")
	g.Require(err, "qemu")
	cc, err := exec.LookPath("cc")
	g.Require(err, "peers")

	g.Command("go", "build", "-o", g.Layer+"/guest", "./testdata/guest")
	if err := os.Symlink("/guest", g.Layer+"/rm"); err != nil {
		t.Fatal(err)
	}
	g.Command("go", "build", "-o", g.Dir+"/disk.d/probe/probe", "./testdata/probe")
	g.Command(cc, "-O2", "-static", "-o", g.Dir+"/disk.d/probe/true", "testdata/true.c")
	g.Command("go", "test", "-c", "-o", g.Layer+"/container.test", ".")
	disk := filepath.Join(g.Dir, "disk")
	g.Command(mkfs, "-q", "-d", g.Dir+"/disk.d", disk, "256M")

	some := os.Getenv("CONTAINER_GUEST_RUN")
	least := 10
	if some != "" {
		least = 0
	}
	g.Run(guesttest.Run{
		Name: "bench-test-container",
		Spec: container.DefaultSpec([]string{"/guest", "/container.test", "-test.v", "-test.timeout=8m",
			// It compares with golden files, which are not there, and needs no kernel.
			"-test.skip=^TestCompile$", "-test.run=" + some}, []string{"PATH=/", "BENCH_REQUIRE=root"}, "/"),
		// ext4 asks for crc32c by an alias, which is not followed.
		Modules: []string{
			"virtio_blk", "crc32c_generic", "ext4", "overlay",
			"bridge", "veth", "nf_tables", "nft_chain_nat", "nft_nat", "nft_masq", "nft_fib_ipv4", "nft_ct", "nf_conntrack_netlink",
		},
		Disks:    []vm.Disk{{Path: disk}},
		Deadline: 9 * time.Minute,
		Least:    least,
	})
}
