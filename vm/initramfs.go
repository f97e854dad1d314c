package vm

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"

	"vmctr/vm/guest/wire"
	"vmctr/vm/initramfs"
	"vmctr/vm/kernel"
)

// An Initramfs is what a guest finds in its memory when its kernel has started:
// PID 1, the drivers, and the image with what to run in it. It is the same for
// all machines that run one workload, so it is written once.
//
// It is two archives, one behind the other, which a kernel unpacks in turn
// (buffer-format.rst). The first one, PID 1 and the drivers, is the same for all
// that runs on such a machine, and is kept (initramfs_base.go).
//
// It is not compressed: of 7.9 MB an emulated machine unpacks 3.3 MB of zstd, or 3.8
// of LZ4, 0.1 s slower than it copies them as they are (of 1.9 s of CPU time for a
// boot; each four times in turn), and under KVM a copy is faster as well.
type Initramfs struct {
	Guest  []byte         // PID 1: the program of vm/guest
	Kernel *kernel.Kernel // whose modules go in
	// Spec says what to run: process.args, env, cwd, user, rlimits, and terminal with
	// consoleSize (which needs Streams), and hostname. The rest is about what a machine of its own does not need: its
	// namespaces, and what its root may not do.
	Spec *specs.Spec
	// Layers are the folders of the image's layers, the lowest first. With Disks
	// they are what covers the image.
	Layers []string
	// Disks is how many of Config.Layers there are: the image is on these, and the
	// guest joins them. With 0, it is in Layers alone, and in memory.
	Disks int
	// Container has PID 1 start the program as a container, with all of Spec. Its
	// layers are on Disks.
	Container bool
	// Publish is a TCP port of the machine that leads to the same of the container; 0
	// for none.
	Publish uint16
	// Streams and Input say that the workload's standard error goes to the host,
	// and that its standard input comes from there: the machine has
	// Config.Streams. Without Input its input is empty.
	Streams, Input bool
	// Network says that the machine has Config.Network.
	Network bool
	// Template has PID 1 stop before it starts the workload, until the machine was saved
	// and is restored (Config.Template).
	Template bool
	// Modules are drivers that the workload needs, beside those that PID 1
	// does; each brings what it depends on.
	Modules []string
	// Cache is a folder in which the first archive is kept; "" for none.
	Cache string
}

// The modules of a guest. A kernel that has them built in needs none.
var (
	// modules are loaded first: the bus and the serial ports on it.
	modules = []string{"virtio_pci", "virtio_console"}
	// lateModules are loaded once the workload runs, and may be missing. A
	// panic before that is seen on the console.
	lateModules = []string{"pvpanic-pci"}
	// diskModules are loaded for an image that is on disks.
	diskModules = []string{"virtio_blk", "erofs", "overlay"}
	// networkModules are loaded for a machine with a network card.
	networkModules = []string{"virtio_net"}
	// containerModules are loaded for a container, beside those.
	containerModules = []string{"bridge", "veth"}
)

// Drivers are the modules that guests are made of: a kernel that has not each of
// them, as a file or built in, is no guest's (Options.Needs of package kernel).
func Drivers() []string { return slices.Concat(modules, diskModules, networkModules) }

// Write writes the archive to path. When it fails, no file is left.
func (i Initramfs) Write(path string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("writing the initramfs %s: %w", path, err)
		}
	}()
	if i.Spec == nil || i.Spec.Process == nil || len(i.Spec.Process.Args) == 0 {
		return errors.New("the configuration names no program: process.args is empty")
	}
	if i.Container && i.Disks == 0 {
		return errors.New("the layers of a container have to be on disks: the memory file system of an initramfs has no ID-mapped mounts (before Linux 6.3)")
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			os.Remove(path)
		}
	}()
	base, err := i.openBase()
	if err != nil {
		return err
	}
	_, err = io.Copy(f, base) // within the kernel, if both are files (copy_file_range(2))
	if err := errors.Join(err, base.Close()); err != nil {
		return err
	}
	b := bufio.NewWriterSize(f, 1<<20)
	if err := i.writeImage(initramfs.NewWriter(b)); err != nil {
		return err
	}
	return b.Flush()
}

// writeImage writes the second archive: what to run.
func (i Initramfs) writeImage(w *initramfs.Writer) error {
	config, err := json.Marshal(i.config())
	if err != nil {
		return err
	}
	if err := w.File(wire.Config, 0o644, config); err != nil {
		return err
	}
	// One tree written over another: what an overlay of the layers would show.
	if err := w.Dir(wire.Image, 0o755); err != nil {
		return err
	}
	for _, layer := range i.Layers {
		if err := w.AddTree(layer, wire.Image); err != nil {
			return err
		}
	}
	return w.Close()
}

func (i Initramfs) modules() []string {
	all := modules
	if i.Disks > 0 {
		all = slices.Concat(all, diskModules)
	}
	if i.Network {
		all = slices.Concat(all, networkModules)
	}
	if i.Container {
		all = slices.Concat(all, containerModules)
	}
	return slices.Concat(all, i.Modules)
}

// config is the configuration that the guest reads: a container's as it is, or a
// process in no namespaces, whose root is that of the machine.
func (i Initramfs) config() *specs.Spec {
	p := i.Spec.Process
	s := &specs.Spec{
		Version: specs.Version, Root: &specs.Root{Path: "/"}, Hostname: i.Spec.Hostname,
		Process:     &specs.Process{Args: p.Args, Env: p.Env, Cwd: p.Cwd, User: p.User, Rlimits: p.Rlimits, OOMScoreAdj: p.OOMScoreAdj, Terminal: p.Terminal, ConsoleSize: p.ConsoleSize},
		Annotations: map[string]string{},
	}
	if i.Container {
		whole := *i.Spec
		whole.Annotations = map[string]string{wire.Container: ""}
		if i.Publish != 0 {
			whole.Annotations[wire.Publish] = strconv.Itoa(int(i.Publish))
		}
		s = &whole
	}
	if i.Disks > 0 {
		s.Annotations[wire.Layers] = strconv.Itoa(i.Disks)
	}
	if i.Template {
		s.Annotations[wire.Template] = "yes"
	}
	if i.Streams {
		s.Annotations[wire.Streams] = wire.StreamError
	}
	if i.Streams && i.Input {
		s.Annotations[wire.Streams] += " " + wire.StreamInput
	}
	return s
}
