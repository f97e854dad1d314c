// Package kernel finds the kernel of a guest, and takes it apart as far as a
// virtual machine needs.
//
// A container borrows the kernel that runs already. A virtual machine brings
// its own, and this package is about what that is: on x86 a file called
// vmlinuz, in the format bzImage (Documentation/arch/x86/boot.rst), and a
// folder of modules, lib/modules/RELEASE, that fits that kernel only. (On arm64
// the file of that name is the kernel's memory as it is to be: image.go.)
//
// A bzImage is three programs in one file. First comes the setup code, 16-bit
// real-mode code of some 16 KiB, that a BIOS boot loader starts; the setup
// header lies in it, at 0x1f1, and says where all else is (header.go). Behind
// it comes the decompressor, and inside that, as its data, the payload: the
// kernel proper, an ELF file called vmlinux, compressed in one of seven ways
// (unpack.go).
//
// So there are two ways in. QEMU can load the bzImage as a BIOS boot loader
// would, and the guest then runs all three programs. Or it can be given the ELF
// file, unpacked ahead on the host ([Kernel.ELF]), if that has a PVH entry
// point ([HasPVH]): then it starts in 32-bit protected mode at the kernel's
// own first instruction, and neither setup nor decompressor runs at all. The
// compressed form saves a disk space that it costs again at each boot.
//
// A distribution builds its kernel once for all machines, so nearly every
// driver is a module: a relocatable ELF file (.ko), often compressed, that
// PID 1 gives to finit_module(2). A module that uses symbols of another can
// only be loaded after it; which those are stands in its section .modinfo.
// modprobe reads a digest of these sections, modules.dep, which depmod makes
// when a kernel is installed. A kernel here need not be installed, so
// [Kernel.ModuleFiles] reads the sections.
//
// A soft dependency (softdep=) is a wish, and names an alias rather than a
// module. It is not followed: who needs one names it.
package kernel

import (
	"errors"
	"fmt"
	"strings"

	"vmctr/vm/cache"
)

// A Kernel is a guest kernel and the modules that belong to it.
type Kernel struct {
	Release string // as uname -r says it in the guest
	Image   string // path of the bzImage, or arm64's Image
	Modules string // folder lib/modules/RELEASE; "" if there is none
	Arch    string // that it is for, as Go names it
	Source  string // where it was found: "given", "host", "fetched" or "installed"
	// Passed are the kernels that would have come before it, and why they do not
	// serve.
	Passed []error

	config string // path of the options that it was built with; "" if there is none
}

// String describes the kernel for people.
func (k *Kernel) String() string {
	s := fmt.Sprintf("Linux %s (%s: %s", k.Release, k.Source, k.Image)
	if k.Modules == "" {
		s += ", no modules"
	}
	return s + ")"
}

// Identity tells the kernel's files from any other that were, or will be, in their
// places. It cannot be relied on when they have just been written (cache.Settled).
func (k *Kernel) Identity() (identity string, settled bool, err error) {
	settled = true
	for _, path := range []string{k.Image, k.Modules, k.config} {
		if path == "" {
			continue
		}
		id, err := cache.Identity(path)
		if err != nil {
			return "", false, fmt.Errorf("kernel %s: %w", k.Image, err)
		}
		identity += id + "\n"
		settled = settled && cache.Settled(path)
	}
	return identity, settled, nil
}

// PassedOver says, in a line, which kernels do not serve, and why.
func (k *Kernel) PassedOver() string {
	return strings.ReplaceAll(errors.Join(k.Passed...).Error(), "\n", "; ")
}
