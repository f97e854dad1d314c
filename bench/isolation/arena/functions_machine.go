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

// functionsOpening is what it may take to open the tracer, of the time that the machine waits.
const functionsOpening = 10 * time.Second

// machinePatience is for a machine, emulated in a machine that may be emulated itself.
const machinePatience = 4 * time.Minute

// traceMachine has a saved machine go on here, and traces all of QEMU's threads. Until its
// program runs, it has all CPUs, and no tracer that makes it slower still.
func traceMachine(tr *isolation.Tracing) (err error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), machinePatience, fmt.Errorf("it did not do its work within %v", machinePatience))
	defer cancel()
	if err := errors.Join(mountMachine(), otherCPUs(true)); err != nil {
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
	out := linesOf(m.Output())
	if _, err = out.line(ctx, 0); err == nil {
		err = traceQEMU(ctx, m, out, tr)
	}
	if err != nil {
		if own := m.Err(); own != nil {
			err = errors.Join(err, own)
		}
	}
	return err
}

func traceQEMU(ctx context.Context, m *vm.Machine, out *lines, tr *isolation.Tracing) error {
	t, err := openTracer()
	if err != nil {
		return err
	}
	return errors.Join(ftrace.Work(ctx, t, []int{m.PID()}, isolation.FunctionsInnerWait-functionsOpening, nil, out.line, tr), t.Close())
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
