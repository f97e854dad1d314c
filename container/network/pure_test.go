package network

import (
	"encoding/binary"
	"encoding/hex"
	"flag"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"vmctr/container/step"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := "testdata/" + name + ".golden"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; go test -update ./container/network writes it", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// example is an endpoint of a network that does not exist.
func example() *Endpoint {
	n := &Network{id: "abcdefgh", group: group("abcdefgh"), ipv6: true}
	n.subnet, n.bits = netip.MustParsePrefix("10.222.0.0/16"), 22
	return &Endpoint{network: n, addr: netip.MustParseAddr("10.222.5.3")}
}

// dump shows each request of a conversation in hexadecimal.
func dump(c *conversation) string {
	var s strings.Builder
	b := c.bytes
	for _, what := range c.what {
		length := binary.NativeEndian.Uint32(b)
		s.WriteString("# " + what + "\n" + hex.Dump(b[:length]))
		b = b[length:]
	}
	if len(b) != 0 {
		s.WriteString("# too much: " + hex.Dump(b))
	}
	return s.String()
}

// TestGolden holds the bytes of the messages and the calls of the child.
func TestGolden(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the golden files are little-endian")
	}
	e := example()
	p := step.New()
	cfg := Configure(p, e)
	cfg.Settle(p)
	golden(t, "child", p.String())
	golden(t, "child-messages", dump(cfg.sent))
	golden(t, "host-messages", dump(e.attachment(1234)))
	var c conversation
	c.addBridge("abcdefgh-b0401", index(e.Gateway()), mac(e.Gateway()), e.network.group)
	c.join("abcdefgh-t0503", index(e.Gateway()), e.network.group)
	c.removeLink("abcdefgh-v0503")
	c.removeGroup(e.network.group)
	golden(t, "other-messages", dump(&c))

	e.network.ipv6 = false
	p = step.New()
	if got := dump(Configure(p, e).sent) + dump(e.attachment(1)); strings.Contains(got, "IPv6") {
		t.Errorf("without IPv6: %s", got)
	}
}

func TestNames(t *testing.T) {
	e := example()
	n := e.network
	if e.Addr() != netip.MustParsePrefix("10.222.5.3/22") || e.Gateway() != netip.MustParseAddr("10.222.4.1") || e.MAC().String() != "02:42:0a:de:05:03" {
		t.Errorf("%s by %s, %s", e.Addr(), e.Gateway(), e.MAC())
	}
	if got := last(e.Addr()); got != netip.MustParseAddr("10.222.7.255") {
		t.Errorf("broadcasts go to %s", got)
	}
	if name := n.name(kindVeth, e.addr); name != "abcdefgh-v0503" || len(name) >= unix.IFNAMSIZ {
		t.Errorf("its interface is %q", name)
	}
	if index(e.addr) == insideIndex || index(e.addr) <= 0 {
		// A veth with the same number at both ends is told of its carrier late.
		t.Errorf("its number is %d", index(e.addr))
	}
	for _, tt := range []struct {
		name, id string
	}{
		{"abcdefgh-v0503", "abcdefgh"}, {"a-b0001", "a"}, {"a-t00ff", "a"},
		{"a-x0001", ""}, {"a-v001", ""}, {"a-v00FF", ""}, {"-v0001", ""}, {"eth0", ""}, {"A-v0001", ""}, {"abcdefghi-v0001", ""}, {"a-v0001-v0001", ""}, {"a-", ""}, {"", ""},
	} {
		if id, ok := parseName(tt.name); id != tt.id || ok != (tt.id != "") {
			t.Errorf("the ID in %q is %q, %v", tt.name, id, ok)
		}
	}
}

// TestTake: the order in which addresses are given.
func TestTake(t *testing.T) {
	subnet := netip.MustParsePrefix("10.222.0.0/16")
	var sh shared
	seen := map[netip.Addr]bool{}
	for i := range 64 * 1021 {
		a, err := sh.take(subnet, 22)
		if err != nil {
			t.Fatalf("address %d: %v", i, err)
		}
		if seen[a] || !subnet.Contains(a) {
			t.Fatalf("address %d is %s", i, a)
		}
		seen[a] = true
		if n := number32(a) & 1023; n < 2 || n == 1023 {
			t.Fatalf("%s is not for a container", a)
		}
	}
	if a, err := sh.take(subnet, 22); err == nil {
		t.Errorf("one too many: %s", a)
	}
	sh = shared{}
	first, _ := sh.take(subnet, 22)
	sh.give(subnet, first)
	if second, _ := sh.take(subnet, 22); second == first {
		t.Errorf("%s is given again at once", second)
	}
}

// FuzzFailure: what comes from the socket is looked into with care.
func FuzzFailure(f *testing.F) {
	good := make([]byte, 60)
	binary.NativeEndian.PutUint32(good, 60)
	binary.NativeEndian.PutUint16(good[4:], unix.NLMSG_ERROR)
	binary.NativeEndian.PutUint16(good[6:], unix.NLM_F_CAPPED|unix.NLM_F_ACK_TLVS)
	errno := -int32(unix.EEXIST)
	binary.NativeEndian.PutUint32(good[16:], uint32(errno))
	binary.NativeEndian.PutUint32(good[28:], 1)
	copy(good[36:], text(1, "because"))
	c := &conversation{what: []string{"trying"}}
	if err := c.failure(good); err == nil || err.Error() != "trying: file exists (because)" {
		f.Errorf("decoded: %v", err)
	}
	f.Add(good)
	f.Add(good[:36])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) { c.failure(b) })
}
