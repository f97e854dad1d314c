package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/bench/isolation/ftrace"
	"vmctr/report/result/isolation"
	"vmctr/vm"
)

// machineDir is where the disk of a saved machine is mounted (bench/experiment,
// machineDisk).
const machineDir = "/run/machine"

// machinePatience is for a machine, emulated in a machine that may be emulated itself.
const machinePatience = 4 * time.Minute

// traceMachine has a saved machine go on here, and traces all of QEMU's threads.
func traceMachine(t *ftrace.Tracer, tr *isolation.Tracing) (err error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), machinePatience, fmt.Errorf("it did not do its work within %v", machinePatience))
	defer cancel()
	if err := mountMachine(); err != nil {
		return err
	}
	f, err := os.Open(filepath.Join(machineDir, "snapshot"))
	if err != nil {
		return err
	}
	defer f.Close()
	saved, err := vm.Import(f)
	if err != nil {
		return err
	}
	defer saved.Close()
	m, err := saved.Restore(ctx, vm.Clone{Name: "inner", Dir: "/run/inner"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Stop(context.Background())) }()
	if err = ftrace.Work(ctx, t, []int{m.PID()}, isolation.FunctionsInnerWait, nil, linesOf(m.Output()).line, tr); err != nil {
		if own := m.Err(); own != nil {
			err = errors.Join(err, own)
		}
	}
	return err
}

// mountMachine has the files of the disk be where they were on the host that saved the
// machine.
func mountMachine() error {
	if err := os.MkdirAll(machineDir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("/dev/vda", machineDir, "erofs", unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("mounting the disk of the saved machine: %w", err)
	}
	root := filepath.Join(machineDir, "root")
	return filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		there := path[len(root):]
		if err := os.MkdirAll(filepath.Dir(there), 0o755); err != nil {
			return err
		}
		if err := os.Symlink(path, there); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil
	})
}
