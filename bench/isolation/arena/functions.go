package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/bench/isolation/ftrace"
	"vmctr/report/result/isolation"
	"vmctr/vm"
)

func init() { verbs["functions"] = functions }

const (
	// functionsRest is for an instance to come to rest, and to be traced while it idles.
	functionsRest = 2 * time.Second
	// functionsPatience is for one instance.
	functionsPatience = 60 * time.Second
)

// functions traces a process and a container at the same work, and with the argument
// "machine" also the machine that is on a disk, and prints a Tracing of each.
func functions(args []string) error {
	if _, err := theEngine(); err != nil {
		return err
	}
	t, err := openTracer()
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	for _, s := range []struct{ subject, variant string }{{"process", isolation.Bare}, {"container", isolation.Contained}} {
		tr := isolation.Tracing{Subject: s.subject, Kernel: ftrace.Release()}
		if err := traceInstance(t, s.variant, &tr); err != nil {
			tr.Error = err.Error()
		}
		if err := out.Encode(tr); err != nil {
			return err
		}
	}
	if err := t.Close(); err != nil || !slices.Contains(args, "machine") {
		return err
	}
	tr := isolation.Tracing{Subject: "vm-q35", Kernel: ftrace.Release(), Accelerator: string(vm.TCG)}
	if err := traceMachine(&tr); err != nil {
		tr.Error = err.Error()
	}
	return out.Encode(tr)
}

// openTracer opens the tracer on one CPU alone.
func openTracer() (*ftrace.Tracer, error) {
	if err := otherCPUs(false); err != nil {
		return nil, err
	}
	return ftrace.Open("arena", "", ftrace.Room)
}

// otherCPUs switches all CPUs but the first on or off. The tracer rewrites the kernel's code
// while it runs. With a second CPU of QEMU's emulator (7.2) both hang now and then while it
// does (soft lockups of whoever rewrites and of the other CPU); with one that was not seen.
// Why is not known: perhaps the other CPU goes on with what stood there before.
func otherCPUs(on bool) error {
	cpus, err := filepath.Glob("/sys/devices/system/cpu/cpu[1-9]*/online")
	if err != nil {
		return err
	}
	state := map[bool]string{false: "0", true: "1"}[on]
	for _, c := range cpus {
		if err := os.WriteFile(c, []byte(state), 0); err != nil {
			return fmt.Errorf("switching CPUs on or off: %w", err)
		}
	}
	return nil
}

func traceInstance(t *ftrace.Tracer, variant string, tr *isolation.Tracing) (err error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), functionsPatience, fmt.Errorf("it did not do its work within %v", functionsPatience))
	defer cancel()
	r, err := start(ctx, variant, isolation.FunctionsWork, isolation.FunctionsOnSignal)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Stop()) }()
	pids, err := r.Cgroup().Processes()
	if err != nil {
		return err
	}
	return ftrace.Work(ctx, t, pids, functionsRest, func() error { return unix.Kill(r.PID, unix.SIGUSR1) }, linesOf(r.Stdout).line, tr)
}

// lines are what a program prints.
type lines struct {
	in   chan []byte // closed at the end
	have [][]byte
}

func linesOf(r io.Reader) *lines {
	l := &lines{in: make(chan []byte, 16)} // more than the program prints: the reader ends with it
	go func() {
		defer close(l.in)
		for in := bufio.NewScanner(r); in.Scan(); {
			l.in <- bytes.Clone(in.Bytes())
		}
	}()
	return l
}

// line waits for line n, from 0; one that is there is given also when ctx is over.
func (l *lines) line(ctx context.Context, n int) ([]byte, error) {
	for len(l.have) <= n {
		var next []byte
		var ok bool
		select {
		case next, ok = <-l.in:
		default:
			select {
			case next, ok = <-l.in:
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
		if !ok {
			return nil, errors.New("its output has ended")
		}
		l.have = append(l.have, next)
	}
	return l.have[n], nil
}
