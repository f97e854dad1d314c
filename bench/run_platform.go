package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	processor "golang.org/x/sys/cpu"

	"vmctr/bench/platform"
	"vmctr/images"
	"vmctr/vm"
)

// binfmtMisc is where the kernel shows the interpreters that execute programs
// for it which it cannot (Linux, admin-guide/binfmt-misc.rst).
const binfmtMisc = "/proc/sys/fs/binfmt_misc"

// checkPlatform tells whether this host executes the programs of an image, so
// that who asks for another processor's is told so, and not "exec format error"
// by the kernel.
func checkPlatform(img *images.Image) error {
	p := img.Platform()
	if runsHere(p) {
		return nil
	}
	image, host := images.FormatPlatform(p), images.FormatPlatform(images.HostPlatform())
	err := fmt.Errorf("the image %s is for %s, and this host runs %s", img.Name, image, host)
	if p.OS != "linux" {
		return fmt.Errorf("%w: a container has the host's kernel", err)
	}
	if p.Architecture == images.HostPlatform().Architecture {
		return fmt.Errorf("%w: its processor lacks instructions of %s", err, p.Variant)
	}
	name, fixed := interpreter(binfmtMisc, p.Architecture)
	switch {
	case name == "":
		err = fmt.Errorf("%w: its programs are made of another processor's instructions; leave --platform out if the image has another, or have QEMU emulate that processor: apt-get install qemu-user-static binfmt-support", err)
		if machine, ok := machineFor(p); ok {
			err = fmt.Errorf("%w; or run it in a machine with that processor: --on %s", err, machine)
		}
		return err
	case !fixed:
		return fmt.Errorf("%w: the emulator %s is not found inside a container; one registered with the flag F is (Debian's qemu-user-static)", err, name)
	}
	return nil // by emulation
}

// checkMachine tells whether the processor of the machine executes the programs of
// an image. A host may have an emulator for others, which is not in the guest.
func (c *runCommand) checkMachine(img *images.Image) error {
	of, has := img.Platform(), machinePlatform(c.On)
	if has.Architecture == images.HostPlatform().Architecture && runsHere(of) || of.Architecture == "" || images.Runs(has, of) {
		return nil
	}
	err := fmt.Errorf("the image %s is for %s, and the machine %s has a processor for %s", img.Name, images.FormatPlatform(of), c.On, images.FormatPlatform(has))
	if name, ok := machineFor(of); ok {
		return fmt.Errorf("%w: --on %s has one for %s", err, name, images.FormatPlatform(machinePlatform(name)))
	}
	return err
}

// machineFor is a virtual machine that executes what is for a platform.
func machineFor(of v1.Platform) (name string, ok bool) {
	for _, name := range platform.Machines() {
		if images.Runs(machinePlatform(name), of) {
			return name, true
		}
	}
	return "", false
}

// machinePlatform is what a virtual machine's processor executes.
func machinePlatform(name string) v1.Platform {
	typ, _ := platform.MachineType(name)
	return v1.Platform{OS: "linux", Architecture: vm.Architecture(typ)}
}

// runsHere tells whether the processor executes what is for a platform. An image
// that does not say what it is for has nothing that could not be executed.
func runsHere(p v1.Platform) bool {
	if p.OS == "" || p.Architecture == "" {
		return true
	}
	host := images.HostPlatform()
	if host.Architecture == "amd64" && p.Architecture == "amd64" && p.OS == host.OS {
		// The levels of the x86-64 psABI.
		x := processor.X86
		v2 := x.HasSSE42 && x.HasSSSE3 && x.HasPOPCNT && x.HasCX16
		v3 := v2 && x.HasAVX2 && x.HasBMI1 && x.HasBMI2 && x.HasFMA && x.HasOSXSAVE
		v4 := v3 && x.HasAVX512F && x.HasAVX512BW && x.HasAVX512CD && x.HasAVX512DQ && x.HasAVX512VL
		return map[string]bool{"": true, "v2": v2, "v3": v3, "v4": v4}[p.Variant]
	}
	return images.Runs(host, p)
}

// machines are the ELF headers of architectures, as Go names them.
var machines = map[string]struct {
	machine elf.Machine
	class   elf.Class
	order   elf.Data
}{
	"386":      {elf.EM_386, elf.ELFCLASS32, elf.ELFDATA2LSB},
	"amd64":    {elf.EM_X86_64, elf.ELFCLASS64, elf.ELFDATA2LSB},
	"arm":      {elf.EM_ARM, elf.ELFCLASS32, elf.ELFDATA2LSB},
	"arm64":    {elf.EM_AARCH64, elf.ELFCLASS64, elf.ELFDATA2LSB},
	"loong64":  {elf.EM_LOONGARCH, elf.ELFCLASS64, elf.ELFDATA2LSB},
	"mips64le": {elf.EM_MIPS, elf.ELFCLASS64, elf.ELFDATA2LSB},
	"ppc64le":  {elf.EM_PPC64, elf.ELFCLASS64, elf.ELFDATA2LSB},
	"riscv64":  {elf.EM_RISCV, elf.ELFCLASS64, elf.ELFDATA2LSB},
	"s390x":    {elf.EM_S390, elf.ELFCLASS64, elf.ELFDATA2MSB},
}

// interpreter finds the program that the kernel has execute an architecture's
// programs. A fixed one was opened when it was registered, and works where its
// path leads nowhere.
func interpreter(dir, arch string) (name string, fixed bool) {
	m, ok := machines[arch]
	if !ok {
		return "", false
	}
	// The beginning of a program: e_ident, e_type, e_machine (elf(5)).
	header := make([]byte, 20)
	copy(header, elf.ELFMAG)
	header[elf.EI_CLASS], header[elf.EI_DATA], header[elf.EI_VERSION] = byte(m.class), byte(m.order), byte(elf.EV_CURRENT)
	var order binary.ByteOrder = binary.LittleEndian
	if m.order == elf.ELFDATA2MSB {
		order = binary.BigEndian
	}
	order.PutUint16(header[16:], uint16(elf.ET_EXEC))
	order.PutUint16(header[18:], uint16(m.machine))

	if status, err := os.ReadFile(filepath.Join(dir, "status")); err != nil || strings.TrimSpace(string(status)) != "enabled" {
		return "", false
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", false
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil || e.Name() == "status" {
			continue
		}
		if r := parseBinfmt(string(b)); r.enabled && r.matches(header) {
			return r.interpreter, strings.Contains(r.flags, "F")
		}
	}
	return "", false
}

// binfmt is one registered interpreter.
type binfmt struct {
	enabled            bool
	interpreter, flags string
	offset             int
	magic, mask        []byte
}

func parseBinfmt(text string) binfmt {
	var r binfmt
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch key {
		case "enabled":
			r.enabled = true
		case "interpreter":
			r.interpreter = value
		case "flags:":
			r.flags = value
		case "offset":
			r.offset, _ = strconv.Atoi(value)
		case "magic":
			r.magic, _ = hex.DecodeString(value)
		case "mask":
			r.mask, _ = hex.DecodeString(value)
		}
	}
	return r
}

func (r binfmt) matches(header []byte) bool {
	if len(r.magic) == 0 || r.offset < 0 || r.offset+len(r.magic) > len(header) {
		return false
	}
	got := bytes.Clone(header[r.offset : r.offset+len(r.magic)])
	want := bytes.Clone(r.magic)
	for i := range min(len(r.mask), len(got)) {
		got[i] &= r.mask[i]
		want[i] &= r.mask[i]
	}
	return bytes.Equal(got, want)
}
