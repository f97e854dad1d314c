package vm

import (
	"context"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// QEMUVersion asks a QEMU for its version: "QEMU emulator version 7.2.22 (...)".
func QEMUVersion(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var stderr strings.Builder
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w: %s", path, err, lastLine(stderr.String()))
	}
	first, _, _ := strings.Cut(string(out), "\n")
	return first, nil
}

// Config is what a machine is made of.
type Config struct {
	Name        string      // in QEMU's command line, so that it can be told whose it is
	QEMU        string      // path of the QEMU for the type's architecture (FindFor)
	Type        string      // machine type: "pc", "q35", "microvm"; "virt" for arm64
	Firmware    string      // SeaBIOS or Qboot; "" for the type's own
	Accelerator Accelerator // who runs the guest's instructions
	CPUs        int
	Memory      int64  // RAM of the guest in bytes, whole MiB
	CPU         string // model (qemu-system-x86_64 -cpu help); "" for one that suits the accelerator
	// Defaults leaves to QEMU all that it has a default for: devices (a screen, a disk
	// drive, a network), the type's options, the CPU's model; and to the kernel what
	// it does when it starts. It is what choosing them is held against.
	Defaults bool
	// TSC is the frequency in kHz of the counter by which an emulated guest tells the
	// time. Start measures it, if it is 0.
	TSC int64

	Kernel    string // path of an ELF file with a PVH entry, or of a bzImage; on arm64, of an Image
	Initramfs string // path, as [Initramfs.Write] makes it
	Cmdline   string // more for the kernel's command line
	// BootSector is, in the place of all that, a guest with no operating system: the
	// first sector of a disk that the firmware starts (such as [SignalSector]). It has
	// no PID 1, no ports and no other devices. What it writes to [OutputIOPort] is its
	// output.
	BootSector []byte
	// Layers are the disks of the image's layers, the lowest first, if it is not in
	// the initramfs: read-only, each with a serial number by which the guest finds
	// it (wire.Serial). At most 136.
	Layers []string
	Disks  []Disk // which the guest finds as /dev/vda and so on, before the layers; at most 8
	// Template is a machine that is booted to be saved (Machine.Save), before it starts
	// its workload: its RAM is a file in memory. Its initramfs has Template too.
	Template bool
	restored *Snapshot // that it comes from
	// SmallPages has the host back the RAM by pages of 4 KiB (shared memory) where it
	// would otherwise take huge ones: zeroing 2 MiB for a page that the guest touches is
	// most of what ten emulated guests that boot at once take from each other. A guest on
	// the processor itself is faster with huge ones, and KSM merges only memory that is
	// not shared.
	SmallPages bool
	// Network is the machine's network card; nil for none.
	Network *Network
	// Streams adds ports for the workload's standard error and input.
	Streams bool
	// Vsock leads the guest's reports and the host's commands over virtio-vsock, where
	// otherwise a port of virtio-serial does. For a host that has it (CheckVsock), and a
	// guest with the module VsockModule.
	Vsock bool
	vsock vsockAddress // Start chooses it
	// Balloon adds a balloon (Machine.Balloon), and FreePageReporting one whose driver
	// tells the host which of the guest's pages are free. The guest needs the module
	// BalloonModule.
	Balloon, FreePageReporting bool

	// Dir is a folder for the sockets of this machine alone. Start makes it,
	// and Stop removes it.
	Dir string
	// Cgroup is the control group that QEMU is born in, "" for none.
	Cgroup string
}

// The firmwares that there are for PCs.
const (
	SeaBIOS = "seabios" // a PC's BIOS, which looks for all that a PC could have
	Qboot   = "qboot"   // starts a kernel, and can do nothing else
)

// BalloonModule is the driver of a balloon.
const BalloonModule = "virtio_balloon"

func (c Config) balloon() bool { return c.Balloon || c.FreePageReporting }

func (c Config) check() error {
	bad := func(field, format string, args ...any) error {
		return fmt.Errorf("a machine's %s: %s", field, fmt.Sprintf(format, args...))
	}
	for _, f := range []struct{ field, value string }{
		{"name", c.Name}, {"QEMU", c.QEMU}, {"type", c.Type}, {"accelerator", string(c.Accelerator)},
		{"kernel", c.Kernel}, {"initramfs", c.Initramfs}, {"folder", c.Dir},
	} {
		if c.BootSector != nil && (f.field == "kernel" || f.field == "initramfs") {
			if f.value != "" {
				return bad(f.field, "%q, and a boot sector in its place", f.value)
			}
			continue
		}
		if f.value == "" {
			return bad(f.field, "missing")
		}
		if strings.IndexByte(f.value, 0) >= 0 {
			return bad(f.field, "%q holds a NUL", f.value)
		}
	}
	t, knownType := machineTypes[c.Type]
	if n := c.Network; n != nil {
		if wrong := n.check(); wrong != "" {
			return bad("network", "%s", wrong)
		}
	}
	switch {
	case !knownType:
		return bad("type", "%q is none of %q", c.Type, slices.Sorted(maps.Keys(machineTypes)))
	case c.Firmware != "" && len(t.firmware) == 0:
		return bad("firmware", "%q: a machine of type %s has none, QEMU itself starts its kernel", c.Firmware, c.Type)
	case c.Firmware != "" && t.firmware[c.Firmware] == "":
		return bad("firmware", "%q is none of %q", c.Firmware, slices.Sorted(maps.Keys(t.firmware)))
	case c.BootSector != nil && len(c.BootSector) != sectorSize:
		return bad("boot sector", "%d bytes: a sector has %d", len(c.BootSector), sectorSize)
	case c.BootSector != nil && (c.Type != "pc" && c.Type != "q35" || c.Firmware == Qboot):
		return bad("boot sector", "only the BIOS of a PC, pc or q35, starts what is on a disk")
	case c.Template && c.SmallPages:
		return bad("template", "its RAM is a file of its own, and is not given SmallPages")
	case c.Template && c.Vsock:
		return bad("vsock", "its connection does not outlive a machine that is restored from a template")
	case c.Template && c.BootSector != nil:
		return bad("template", "it needs a PID 1 that waits to be saved, and a boot sector has none")
	case c.Template && slices.ContainsFunc(c.Disks, func(d Disk) bool { return !d.ReadOnly }):
		return bad("disks", "what is restored from a template shares them, so none may be written")
	case len(c.Layers) > maxLayers:
		return bad("layers", "%d: it has room for %d disks of layers", len(c.Layers), maxLayers)
	case c.CPUs < 1:
		return bad("CPUs", "%d: it needs at least one", c.CPUs)
	case c.Memory < 1<<20 || c.Memory%(1<<20) != 0:
		return bad("memory", "%d bytes are not whole MiB", c.Memory)
	}
	if len(c.Disks) > maxDisks {
		return bad("disks", "%d: it has room for %d", len(c.Disks), maxDisks)
	}
	for _, d := range c.Disks {
		if err := d.check(); err != nil {
			return bad("disks", "%v", err)
		}
	}
	return nil
}
