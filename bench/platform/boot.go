package platform

import (
	"context"
	"errors"
	"os"

	"vmctr/vm"
	"vmctr/vm/kernel"
)

// Boot is how a machine boots, if not in the way that suits its type best.
type Boot struct {
	Format   string // of the kernel; "" for the one that boots fastest
	Firmware string // as in vm.Config
	Defaults bool   // as in vm.Config
	Template bool   // as in vm.Config
}

// The formats of an amd64 kernel (package vm/kernel).
const (
	formatELF     = "elf"     // unpacked ahead
	formatBzImage = "bzimage" // compressed, as distributions have it
)

// kernel is the file that is booted, and what it is.
func (b Boot) kernel(k *kernel.Kernel, cache string) (path, format string, err error) {
	switch {
	case k.Arch == "arm64":
		path, err = k.Plain(cache)
		return path, "Image", err
	case b.Format == formatBzImage:
		return k.Image, "bzImage", nil
	}
	path, err = k.ELF(cache)
	if errors.Is(err, kernel.ErrCompression) && b.Format == "" {
		return k.Image, "bzImage: " + err.Error(), nil
	}
	if err != nil {
		return "", "", err
	}
	elf, err := os.Open(path)
	if err != nil {
		return "", "", err
	}
	defer elf.Close()
	switch pvh, err := kernel.HasPVH(elf); {
	case err != nil:
		return "", "", err
	case pvh:
		return path, "unpacked ELF, entered over PVH", nil
	case b.Format == formatELF:
		return "", "", &UnavailableError{Reason: "the kernel has no PVH entry, so its ELF file cannot be booted", Fix: "take one that was built with CONFIG_PVH: --kernel FILE"}
	}
	return k.Image, "bzImage: the kernel has no PVH entry", nil
}

// check tells whether QEMU has the firmware.
func (b Boot) check(ctx context.Context, qemu, typ string) error {
	if b.Firmware == "" {
		return nil
	}
	_, err := vm.FindFirmware(ctx, qemu, typ, b.Firmware)
	if errors.Is(err, vm.ErrNoFirmware) {
		return &UnavailableError{Reason: err.Error(), Fix: "install what QEMU's package recommends: apt-get install seabios qemu-system-data"}
	}
	return err
}
