package vm

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

func sample() Config {
	return Config{
		Name: "bench-abcdefgh-m1", QEMU: "/usr/bin/qemu-system-x86_64", Type: "q35", Accelerator: KVM, CPUs: 1, Memory: 256 << 20,
		Kernel: "/cache/vmlinux", Initramfs: "/run/bench/initramfs", Dir: "/run/bench/m1",
	}
}

func onTap() *Network {
	return &Network{
		MAC:     []byte{2, 0x42, 10, 222, 0, 2},
		Address: netip.MustParsePrefix("10.222.0.2/22"), Gateway: netip.MustParseAddr("10.222.0.1"), Tap: os.Stdin,
	}
}

// TestCommand holds QEMU's command line against golden files, an option a line.
func TestCommand(t *testing.T) {
	for _, tt := range []struct {
		name   string
		mutate func(*Config)
	}{
		{"q35-kvm", func(*Config) {}},
		{"q35-tcg", func(c *Config) { c.Accelerator = TCG }},
		{"pc", func(c *Config) { c.Type, c.CPUs, c.Memory = "pc", 4, 1<<30 }},
		{"microvm", func(c *Config) { c.Type, c.Accelerator, c.TSC = "microvm", TCG, 2_596_135 }},
		{"microvm-seabios", func(c *Config) { c.Type, c.Firmware = "microvm", SeaBIOS }},
		{"virt", func(c *Config) { c.QEMU, c.Type, c.Accelerator = "/usr/bin/qemu-system-aarch64", "virt", TCG }},
		{"qboot", func(c *Config) { c.Firmware = Qboot }},
		{"cpu", func(c *Config) { c.CPU, c.Accelerator = "max", TCG }},
		{"defaults", func(c *Config) { c.Type, c.Accelerator, c.Defaults = "pc", TCG, true }},
		{"tap", func(c *Config) { c.Network = onTap() }},
		{"vhost", func(c *Config) { c.Type, c.Network = "pc", onTap(); c.Network.Vhost = true }},
		{"user-network", func(c *Config) {
			c.Network = UserNetwork(Forward{"tcp", netip.MustParseAddrPort("127.0.0.1:8080"), 80}, Forward{"udp", netip.AddrPort{}, 53})
		}},
		{"no-address", func(c *Config) {
			c.Network = &Network{MAC: []byte{2, 0x42, 10, 222, 0, 2}, Tap: os.Stdin}
		}},
		{"balloon", func(c *Config) { c.Balloon = true }},
		{"free-page-reporting", func(c *Config) { c.FreePageReporting = true }},
		{"vsock", func(c *Config) { c.Vsock, c.vsock = true, vsockAddress{cid: 4711, port: 1024} }},
		{"commas-and-cmdline", func(c *Config) {
			c.Name, c.Cmdline = "a,accel=kvm", "nokaslr loglevel=7"
			c.Kernel = "/with,comma/vmlinux"
			c.Disks = []Disk{{Path: "/images/a.raw"}, {Path: "/images/b,c.qcow2", Format: Qcow2}, {Path: "/images/c.iso", ReadOnly: true}}
		}},
		{"boot-sector", func(c *Config) { c.BootSector, c.Kernel, c.Initramfs = SignalSector("x"), "", "" }},
		{"template", func(c *Config) { c.Template = true }},
		{"small-pages", func(c *Config) { c.SmallPages = true }},
		{"restored", func(c *Config) { c.Template, c.restored, c.Network = true, &Snapshot{}, UserNetwork() }},
		{"layers", func(c *Config) {
			c.Streams = true
			c.Disks = []Disk{{Path: "/images/scratch.raw"}}
			for i := range 9 {
				c.Layers = append(c.Layers, fmt.Sprintf("/images/%d.erofs", i))
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := sample()
			tt.mutate(&c)
			var b strings.Builder
			for i, arg := range c.command() {
				switch {
				case i == 0:
				case strings.HasPrefix(arg, "-"):
					b.WriteString("\n")
				default:
					b.WriteString(" ")
				}
				b.WriteString(arg)
			}
			got := b.String() + "\n"
			golden := filepath.Join("testdata", tt.name+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatalf("%v; go test -update ./vm writes it", err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestConfigCheck(t *testing.T) {
	good := sample()
	if err := good.check(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		want   string
		mutate func(*Config)
	}{
		{"name: missing", func(c *Config) { c.Name = "" }},
		{"kernel: missing", func(c *Config) { c.Kernel = "" }},
		{"accelerator: missing", func(c *Config) { c.Accelerator = "" }},
		{`initramfs: "a\x00b" holds a NUL`, func(c *Config) { c.Initramfs = "a\x00b" }},
		{`type: "q36" is none of`, func(c *Config) { c.Type = "q36" }},
		{`firmware: "bios" is none of`, func(c *Config) { c.Firmware = "bios" }},
		{`firmware: "qboot": a machine of type virt has none`, func(c *Config) { c.Type, c.Firmware = "virt", Qboot }},
		{`kernel: "/cache/vmlinux", and a boot sector`, func(c *Config) { c.BootSector = SignalSector("x") }},
		{"boot sector: 1 bytes", func(c *Config) { c.BootSector, c.Kernel, c.Initramfs = []byte{0xf4}, "", "" }},
		{"boot sector: only the BIOS of a PC", func(c *Config) { c.Type, c.BootSector, c.Kernel, c.Initramfs = "microvm", SignalSector("x"), "", "" }},
		{"template: it needs a PID 1", func(c *Config) { c.Template, c.BootSector, c.Kernel, c.Initramfs = true, SignalSector("x"), "", "" }},
		{"disks: what is restored from a template shares them", func(c *Config) { c.Template, c.Disks = true, []Disk{{Path: "/a"}} }},
		{"CPUs: 0: it needs at least one", func(c *Config) { c.CPUs = 0 }},
		{"memory: 1048577 bytes are not whole MiB", func(c *Config) { c.Memory = 1<<20 + 1 }},
		{"memory: -1048576 bytes", func(c *Config) { c.Memory = -1 << 20 }},
		{"template: its RAM is a file of its own", func(c *Config) { c.Template, c.SmallPages = true, true }},
		{"vsock: its connection", func(c *Config) { c.Template, c.Vsock = true, true }},
		{"disks: 9: it has room for 8", func(c *Config) { c.Disks = make([]Disk, 9) }},
		{`disks: "nbd:localhost:1": not an absolute path`, func(c *Config) { c.Disks = []Disk{{Path: "nbd:localhost:1"}} }},
		{`disks: /d: the format "vmdk" is none of`, func(c *Config) { c.Disks = []Disk{{Path: "/d", Format: "vmdk"}} }},
		{`network: "" is no MAC address`, func(c *Config) { c.Network = &Network{} }},
		{"gateway 10.223.0.1 is not in the IPv4 subnet of the address 10.222.0.2/22", func(c *Config) { c.Network = onTap(); c.Network.Gateway = netip.MustParseAddr("10.223.0.1") }},
		{"gateway fe80::1 is not in the IPv4 subnet", func(c *Config) {
			c.Network = onTap()
			c.Network.Address, c.Network.Gateway = netip.MustParsePrefix("fe80::2/64"), netip.MustParseAddr("fe80::1")
		}},
		{"vhost-net needs a tap", func(c *Config) { c.Network = UserNetwork(); c.Network.Vhost = true }},
		{"QEMU forwards no ports to a tap", func(c *Config) { c.Network = onTap(); c.Network.Forward = []Forward{{"tcp", netip.AddrPort{}, 80}} }},
	} {
		c := sample()
		tt.mutate(&c)
		if err := c.check(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
	}
}
