package probe

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMountPoints(t *testing.T) {
	const table = `22 27 0:21 / /proc rw,relatime - proc proc rw
41 24 0:39 / /dev/shm/probe-1 rw,relatime shared:7 - tmpfs canary-1 rw,size=4k
42 24 0:40 / /dev/shm/probe-2 rw,relatime - tmpfs canary-2 rw
43 24 0:41 / /mnt/canary-1 rw,relatime - tmpfs none rw
`
	for source, want := range map[string][]string{"canary-1": {"/dev/shm/probe-1"}, "canary": nil, "none": {"/mnt/canary-1"}} {
		if diff := cmp.Diff(want, mountPoints(table, source)); diff != "" {
			t.Errorf("mounts of %q (-want +got):\n%s", source, diff)
		}
	}
}

func TestGateways(t *testing.T) {
	const table = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	0100DE0A	0003	0	0	0	00000000	0	0	0
eth0	0000DE0A	00000000	0001	0	0	0	00FFFFFF	0	0	0
tun0	00000000	00000000	0001	0	0	0	00000000	0	0	0
`
	want := []netip.Addr{netip.MustParseAddr("10.222.0.1")}
	if got := gateways(table); len(got) != 1 || got[0] != want[0] {
		t.Errorf("the gateways are %v; want %v", got, want)
	}
	if got := gateways(""); got != nil {
		t.Errorf("the gateways of no table are %v", got)
	}
}

func TestLoopbackListeners(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0405037F:B0AD 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1 0 100 0 0 10 0
   2: 0100007F:B0AE 0100007F:0050 01 00000000:00000000 00:00000000 00000000     0        0 3 1 0 100 0 0 10 0
`
	if diff := cmp.Diff([]string{"127.3.5.4:45229"}, loopbackListeners(table)); diff != "" {
		t.Errorf("who listens (-want +got):\n%s", diff)
	}
}

func TestInterfaces(t *testing.T) {
	const table = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0
bnp0a1b2c3d: 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
`
	if diff := cmp.Diff([]string{"bnp0a1b2c3d"}, interfaces(table)); diff != "" {
		t.Errorf("interfaces (-want +got):\n%s", diff)
	}
}

// TestUDPPacket is against the bytes of RFC 791 and 768.
func TestUDPPacket(t *testing.T) {
	want := []byte{
		0x45, 0, 0, 31, 0, 0, 0, 0, 64, 17, 0, 0, 127, 66, 66, 66, 127, 0, 0, 1,
		0, 9, 0x12, 0x34, 0, 11, 0, 0, 'y', 'e', 's',
	}
	if diff := cmp.Diff(want, udpPacket(forged, netip.MustParseAddrPort("127.0.0.1:4660"), "yes")); diff != "" {
		t.Errorf("the packet (-want +got):\n%s", diff)
	}
}

func TestByHostKernel(t *testing.T) {
	if BootID() == "" {
		t.Skip("needs /proc/sys/kernel/random/boot_id")
	}
	for _, tt := range []struct {
		name string
		a    Attempt
		want bool
	}{
		{"carried out by this kernel", served("bpf(2)"), true},
		{"carried out by another", did("bpf(2)", "the kernel of boot 11111111-2222-3333-4444-555555555555"), false},
		{"carried out by one that says nothing", did("bpf(2)", ""), false},
		{"refused by this one", Attempt{Errno: "EPERM", Saw: "the kernel of boot " + BootID()}, false},
	} {
		if got, _ := byHostKernel(nil, "", tt.a); got != tt.want {
			t.Errorf("%s: reached is %t", tt.name, got)
		}
	}
}
