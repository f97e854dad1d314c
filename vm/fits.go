package vm

import (
	"fmt"
	"os"

	"vmctr/vm/kernel"
)

// A TooSmallError is that of a machine whose RAM has no room for what it boots.
type TooSmallError struct {
	Memory            int64 // RAM in bytes
	Kernel, Initramfs int64 // up to where the one needs memory, and the size of the other
}

func (e *TooSmallError) Error() string {
	const mib = 1 << 20
	up := func(n int64) int64 { return (n + mib - 1) / mib }
	// It is unpacked beside the packed one, and then the kernel has to have room to work.
	least := e.Kernel + 2*e.Initramfs
	const step = 16 * mib
	return fmt.Sprintf("the guest's RAM, %d MiB, is too small: its kernel needs the first %d MiB to start in, and the initramfs %d MiB above; give it %d MiB or more",
		e.Memory/mib, up(e.Kernel), up(e.Initramfs), (least+least/4+step-1)/step*step/mib)
}

// Fits tells by a [*TooSmallError] that kernel and initramfs do not fit into the
// machine's RAM: firmware and kernel look for no such thing, and a guest that has too
// little resets itself, or hangs, with no word. It is nil if they do, which is not yet
// enough to boot, and where the kernel does not say what it needs.
func (c Config) Fits() error {
	end, err := kernel.Footprint(c.Kernel)
	if err != nil {
		return nil
	}
	initramfs, err := os.Stat(c.Initramfs)
	if err != nil || end+initramfs.Size() <= c.Memory {
		return nil
	}
	return &TooSmallError{c.Memory, end, initramfs.Size()}
}
