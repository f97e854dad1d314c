package platform

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"

	"vmctr/bench/embedded"
	"vmctr/images/erofs"
	"vmctr/vm"
	"vmctr/vm/kernel"
)

// memoryImage is how large an image may be, in bytes of its files, that a guest
// holds in memory: it is then part of the initramfs, which the kernel unpacks in
// each boot. A larger one is on disks, of which a guest reads what it needs.
const memoryImage = 16 << 20

// A Guest is an image as a machine boots it, and what runs in it.
type Guest struct {
	Spec   *specs.Spec
	Layers []string // the image's folders, the lowest first
	// Disks gives the same as read-only disks; it is called for an image that is
	// not put into memory. Nil is for layers that no store keeps: disks are then
	// written to Dir.
	Disks func(context.Context) ([]string, error)
	Cover []string // folders that cover the image
	// Container has the program started as a container in the guest, whose layers
	// are the disks.
	Container bool
	Publish   uint16   // a port of the machine that leads to the container's; 0 for none
	Modules   []string // drivers, as in vm.Initramfs

	Streams, Input bool // as in vm.Initramfs
	Network        bool // it has a network card
	// Vsock leads the guest's reports over virtio-vsock, if host and guest have it. Not
	// where the delay of the workload's output is taken from that of a report: they go
	// by the same device then.
	Vsock bool

	// Remember takes the word of an accelerator that was found since the host has
	// booted. Who measures finds out.
	Remember bool

	Dir    string // for files that are this guest's alone
	Cache  string // for those that outlive it
	Kernel kernel.Options
	Memory int64 // bytes
	CPUs   int
	Boot   Boot
}

// KernelDir is the folder of unpacked kernels, in the folder of a cache.
func KernelDir(cache string) string { return filepath.Join(cache, "vmlinux") }

// Machine prepares a machine of a QEMU machine type: it finds out who runs the
// guests' instructions, unpacks the kernel, writes the initramfs, and the image's
// disks unless it is small. What is left to say is the machine's name and folder.
func (g Guest) Machine(ctx context.Context, typ string) (cfg vm.Config, facts Facts, err error) {
	arch := vm.Architecture(typ)
	qemu, err := findQEMU(arch)
	if err != nil {
		return cfg, facts, err
	}
	g.Kernel.Arch = arch
	k, err := kernel.Find(g.Kernel)
	if err != nil {
		return cfg, facts, &UnavailableError{Reason: err.Error(), Fix: "fetch one: " + setup(arch) + "; or name one: --kernel FILE"}
	}
	var choice vm.Choice
	if g.Remember {
		choice, err = vm.ChooseOnce(ctx, qemu, arch, g.Cache)
	} else {
		choice, err = vm.ChooseFor(ctx, qemu, arch)
	}
	if err != nil {
		return cfg, facts, err
	}
	image, format, err := g.Boot.kernel(k, KernelDir(g.Cache))
	if err != nil {
		return cfg, facts, err
	}
	if err := g.Boot.check(ctx, qemu, typ); err != nil {
		return cfg, facts, err
	}
	guest, err := embedded.Guest(arch)
	if err != nil {
		return cfg, facts, err
	}
	i := vm.Initramfs{Guest: guest, Kernel: k, Spec: g.Spec, Streams: g.Streams, Input: g.Input, Container: g.Container, Publish: g.Publish, Modules: g.Modules, Network: g.Network, Template: g.Boot.Template, Cache: g.Cache}
	vsock := g.Vsock && vm.CheckVsock() == nil
	if vsock {
		_, err := k.ModuleFiles(vm.VsockModule)
		vsock = err == nil
	}
	if vsock {
		i.Modules = append(slices.Clip(i.Modules), vm.VsockModule)
	}
	disks, where, err := g.place(ctx, i)
	if err != nil {
		return cfg, facts, err
	}
	initramfs := g.initramfs()
	size, err := os.Stat(initramfs)
	if err != nil {
		return cfg, facts, err
	}
	cfg = vm.Config{
		QEMU: qemu, Type: typ, Firmware: g.Boot.Firmware, Defaults: g.Boot.Defaults, Template: g.Boot.Template, Accelerator: choice.Accelerator, CPUs: g.CPUs, Memory: g.Memory,
		Kernel: image, Initramfs: initramfs, Layers: disks, Streams: g.Streams, Vsock: vsock,
		SmallPages: choice.Accelerator == vm.TCG && !g.Boot.Template && !g.Boot.Defaults,
	}
	if err := cfg.Fits(); err != nil {
		return cfg, facts, err
	}
	facts = Facts{
		Accelerator: string(choice.Accelerator), Emulated: choice.Accelerator == vm.TCG,
		Details: map[string]string{
			"machine type":  typ,
			"accelerator":   choice.String(),
			"guest kernel":  k.String(),
			"kernel format": format,
			"image":         where,
			"initramfs":     strconv.FormatInt(size.Size(), 10) + " bytes",
			"guest channel": cfg.Channel(),
			"guest memory":  fmt.Sprintf("%d MiB", g.Memory>>20),
			"guest CPUs":    strconv.Itoa(g.CPUs),
		},
	}
	if g.Boot.Firmware != "" {
		facts.Details["firmware"] = g.Boot.Firmware
	}
	if len(k.Passed) > 0 {
		facts.Details["guest kernels passed over"] = k.PassedOver()
	}
	facts.Parts, err = parts(image, initramfs, disks)
	return cfg, facts, err
}

// findQEMU finds the QEMU of machines of an architecture.
func findQEMU(arch string) (path string, err error) {
	if path, err = vm.FindFor(arch); err != nil {
		return "", &UnavailableError{Reason: err.Error(), Fix: "install it: " + setup(arch) + ", or apt-get install " + vm.Package(arch)}
	}
	return path, nil
}

// setup is the command that gets what machines of an architecture need.
func setup(arch string) string {
	if arch == runtime.GOARCH {
		return "sudo scripts/setup"
	}
	return "sudo scripts/setup " + arch
}

// parts are the files that a guest boots from.
func parts(kernel, initramfs string, disks []string) ([]Part, error) {
	list := []Part{{Name: "guest kernel"}, {Name: "initramfs", WithImage: len(disks) == 0}}
	for n := range disks {
		list = append(list, Part{Name: fmt.Sprintf("disk of layer %d", n+1), WithImage: true})
	}
	for n, path := range append([]string{kernel, initramfs}, disks...) {
		st, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		list[n].Bytes = st.Size()
	}
	return list, nil
}

func (g Guest) initramfs() string { return filepath.Join(g.Dir, "initramfs") }

// place puts the image where the guest finds it, and writes the initramfs: with the
// image in it, if it is small and the format can say it (where one layer hides what
// is in another it cannot, package initramfs); otherwise it is on disks.
func (g Guest) place(ctx context.Context, i vm.Initramfs) (disks []string, where string, err error) {
	bytes, err := measure(g.Layers)
	if err != nil {
		return nil, "", fmt.Errorf("measuring the image: %w", err)
	}
	if bytes <= memoryImage && !g.Container {
		i.Layers = append(g.Layers[:len(g.Layers):len(g.Layers)], g.Cover...)
		if err := i.Write(g.initramfs()); err == nil {
			return nil, fmt.Sprintf("in the initramfs, %d bytes in %d layers", bytes, len(g.Layers)), nil
		}
	}
	if g.Disks != nil {
		disks, err = g.Disks(ctx)
	} else {
		disks, err = g.writeDisks(ctx)
	}
	if err != nil {
		return nil, "", err
	}
	var total int64
	for _, d := range disks {
		st, err := os.Stat(d)
		if err != nil {
			return nil, "", err
		}
		total += st.Size()
	}
	i.Layers, i.Disks = g.Cover, len(disks)
	return disks, fmt.Sprintf("on %d read-only EROFS disks, %d bytes", len(disks), total), i.Write(g.initramfs())
}

// measure adds up the files of an image, until they are too many for memory.
func measure(layers []string) (bytes int64, err error) {
	for _, layer := range layers {
		err := filepath.WalkDir(layer, func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			info, err := e.Info()
			if err != nil {
				return err
			}
			if bytes += info.Size(); bytes > memoryImage {
				return fs.SkipAll
			}
			return nil
		})
		if err != nil || bytes > memoryImage {
			return bytes, err
		}
	}
	return bytes, nil
}

// writeDisks writes disks that no store keeps.
func (g Guest) writeDisks(ctx context.Context) (disks []string, err error) {
	for n, layer := range g.Layers {
		path := filepath.Join(g.Dir, "layer"+strconv.Itoa(n)+".erofs")
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, err
		}
		if err := errors.Join(erofs.Write(ctx, f, layer), f.Close()); err != nil {
			return nil, errors.Join(err, os.Remove(path))
		}
		disks = append(disks, path)
	}
	return disks, nil
}
