package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"vmctr/vm/guest/wire"
)

// moduleDir is a folder of modules. It is held open, since no path leads to it
// once the root has changed.
type moduleDir struct {
	dir   *os.File
	names []string
}

func openModules(path string) (*moduleDir, error) {
	d, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &moduleDir{}, nil // the kernel has all built in
	}
	if err != nil {
		return nil, fmt.Errorf("opening the modules: %w", err)
	}
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("listing the modules, %s: %w", path, err)
	}
	slices.Sort(names)
	return &moduleDir{d, names}, nil
}

// load gives each module to the kernel (finit_module(2)), in the order of the
// names: the host has put them in the order of their dependencies.
func (m *moduleDir) load() error {
	for _, name := range m.names {
		fd, err := unix.Openat(int(m.dir.Fd()), name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("loading the module %s: open: %w", name, err)
		}
		err = unix.FinitModule(fd, "", 0)
		unix.Close(fd)
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("loading the module %s: finit_module: %w (does it belong to this kernel?)", name, err)
		}
	}
	return nil
}

func (g *guest) loadModules() (err error) {
	if g.late, err = openModules("/" + wire.Late); err != nil {
		return err
	}
	if g.modules, err = openModules("/" + wire.Modules); err != nil {
		return err
	}
	return g.modules.load()
}

// loadLate loads what the workload does not need. That it fails is no reason
// to stop one that runs.
func (g *guest) loadLate() {
	if err := g.late.load(); err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
	}
}
