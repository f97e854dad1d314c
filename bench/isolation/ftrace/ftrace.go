// Package ftrace finds out which functions of the kernel run on behalf of some processes:
// with the kernel's own function tracer (Documentation/trace/ftrace.rst), which has each
// function note its address as it begins.
//
// It traces in an instance of its own ("Instances", ibid.), which nobody else who traces
// notices, and there only the threads that it is told of and what they start
// (set_ftrace_pid, options/function-fork). What the kernel does while one of them is on a
// CPU counts, interrupts as well: [Function.Interrupt] tells functions apart that ran in
// these alone.
//
// It reads the ring buffer as it is (per_cpu/cpuN/trace_pipe_raw) and looks the addresses
// up in /proc/kallsyms: to have the kernel print each call would take longer than the work,
// the more so where the CPU is emulated.
//
// tracefs(5) is mounted where no path leads to (fsmount(2)), so that the mount goes with
// the process. The instance does not; [Sweep] removes it after a kill -9.
package ftrace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Refused is an error of a kernel that does not trace functions, or not for us.
type Refused struct{ Err error }

func (e *Refused) Error() string {
	why := "this host's kernel does not let functions be traced: " + e.Err.Error()
	if errors.Is(e.Err, unix.EPERM) || errors.Is(e.Err, unix.EACCES) {
		why += " (is it locked down? kernel_lockdown(7) forbids tracefs also to root)"
	}
	return why
}

func (e *Refused) Unwrap() error { return e.Err }

// A Tracer is an instance of the function tracer. One goroutine uses it.
type Tracer struct {
	root    *os.File // of tracefs
	dir     string   // the instance
	id      uint16   // of the event "function"
	symbols symbols
	lines   map[string][]int // of available_filter_functions, once they are needed (Skip)
}

// note is the file in a run's folder that tells that there may be an instance of its name.
const note = "traced"

// Open makes an instance of the tracer with a name, that of the run, and room for this
// many bytes of calls on each CPU: some 24 a call. runDir is the run's folder, which then
// tells [Sweep] of it; "" for a machine that is thrown away. An error is a [*Refused] if
// it is the kernel that does not want to.
func Open(name, runDir string, bytes int) (_ *Tracer, err error) {
	root, err := mount()
	if err != nil {
		return nil, &Refused{err}
	}
	t := &Tracer{root: root}
	t.dir = filepath.Join(t.path(), "instances", name)
	if runDir != "" {
		if err := os.WriteFile(filepath.Join(runDir, note), nil, 0o600); err != nil {
			root.Close()
			return nil, err
		}
	}
	if err := os.Mkdir(t.dir, 0o700); err != nil {
		root.Close()
		return nil, &Refused{err}
	}
	defer func() {
		if err != nil {
			err = &Refused{errors.Join(err, t.Close())}
		}
	}()
	if t.id, err = t.eventID(); err != nil {
		return nil, err
	}
	for _, w := range []struct{ file, value string }{
		{"tracing_on", "0"},
		{"buffer_size_kb", strconv.Itoa(bytes >> 10)},
		{"options/function-fork", "1"},
		{"options/overwrite", "0"}, // what does not fit is counted, and costs no more
		// Only then the tracer: without a PID it would trace all.
		{"set_ftrace_pid", strconv.Itoa(os.Getpid())},
		{"current_tracer", "function"},
	} {
		if err := t.write(w.file, w.value); err != nil {
			return nil, err
		}
	}
	if t.symbols, err = readSymbols("/proc/kallsyms"); err != nil {
		return nil, err
	}
	return t, nil
}

// mount gives the root of tracefs, mounted for this process alone.
func mount() (*os.File, error) {
	f, err := unix.Fsopen("tracefs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("fsopen tracefs: %w", err)
	}
	defer unix.Close(f)
	if err := unix.FsconfigCreate(f); err != nil {
		return nil, fmt.Errorf("fsconfig of tracefs: %w", err)
	}
	m, err := unix.Fsmount(f, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("fsmount of tracefs: %w", err)
	}
	return os.NewFile(uintptr(m), "tracefs"), nil
}

func (t *Tracer) path() string { return fmt.Sprintf("/proc/self/fd/%d", t.root.Fd()) }

// write writes to a file of the instance what it takes at once.
func (t *Tracer) write(file, value string) error {
	f, err := os.OpenFile(filepath.Join(t.dir, file), os.O_WRONLY|os.O_TRUNC, 0)
	if err == nil {
		_, err = f.WriteString(value)
		err = errors.Join(err, f.Close())
	}
	if p, ok := errors.AsType[*os.PathError](err); ok {
		err = p.Err // of a path that only this process has
	}
	if err != nil {
		return fmt.Errorf("writing %q to tracefs's %s: %w", value, file, err)
	}
	return nil
}

// eventID is the number of the event that stands for a call.
func (t *Tracer) eventID() (uint16, error) {
	b, err := os.ReadFile(filepath.Join(t.path(), "events/ftrace/function/format"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if id, ok := strings.CutPrefix(line, "ID:"); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(id), 10, 16)
			return uint16(n), err
		}
	}
	return 0, errors.New("events/ftrace/function/format has no ID")
}

// A Trace is what ran.
type Trace struct {
	Functions Functions
	Calls     int // of functions
	// Lost counts the calls that were not noted: with any, Functions may lack some.
	Lost int
}

// Trace tells what the kernel runs for the threads tids, and for those that they start,
// while during runs.
func (t *Tracer) Trace(ctx context.Context, tids []int, during func(context.Context) error) (tr Trace, err error) {
	var list []string
	for _, tid := range tids {
		list = append(list, strconv.Itoa(tid))
	}
	if len(list) == 0 {
		return tr, errors.New("tracing functions: of no thread")
	}
	// To truncate the file "trace" empties the buffers, and their counts.
	for _, w := range []struct{ file, value string }{{"tracing_on", "0"}, {"trace", ""}, {"set_ftrace_pid", strings.Join(list, " ")}, {"tracing_on", "1"}} {
		if err := t.write(w.file, w.value); err != nil {
			return tr, fmt.Errorf("tracing functions: %w", err)
		}
	}
	err = during(ctx)
	err = errors.Join(err, t.write("tracing_on", "0"))
	if err != nil {
		return tr, err
	}
	return t.read()
}

// read empties the buffers of all CPUs.
func (t *Tracer) read() (tr Trace, err error) {
	cpus, err := filepath.Glob(filepath.Join(t.dir, "per_cpu/cpu*"))
	if err != nil {
		return tr, err
	}
	addresses := map[uint64]bool{} // whether it ran outside interrupts too
	for _, cpu := range cpus {
		stats, err := os.ReadFile(filepath.Join(cpu, "stats"))
		if err != nil {
			return tr, fmt.Errorf("reading what was lost: %w", err)
		}
		lost, err := lostOf(string(stats))
		if err != nil {
			return tr, err
		}
		tr.Lost += lost
		err = readPages(filepath.Join(cpu, "trace_pipe_raw"), func(page []byte) error {
			return parsePage(page, t.id, func(c call) {
				tr.Calls++
				addresses[c.function] = addresses[c.function] || !c.interrupt
			})
		})
		if err != nil {
			return tr, err
		}
	}
	tr.Functions = Functions{}
	for address, outside := range addresses {
		name := t.symbols.name(address)
		tr.Functions[name] = tr.Functions[name] || outside
	}
	return tr, nil
}

// readPages gives each page of the ring buffer of a CPU to f, until it is empty.
func readPages(file string, f func(page []byte) error) error {
	fd, err := unix.Open(file, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: file, Err: err}
	}
	defer unix.Close(fd)
	page := make([]byte, os.Getpagesize())
	for {
		n, err := unix.Read(fd, page)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN || err == nil && n == 0:
			return nil
		case err == unix.ENODEV: // a CPU that is switched off
			return nil
		case err != nil:
			return &os.PathError{Op: "read", Path: file, Err: err}
		}
		if err := f(page[:n]); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
}

// lostOf adds up what a CPU's "stats" says of calls that are not in the buffer.
func lostOf(stats string) (lost int, err error) {
	for line := range strings.Lines(stats) {
		name, value, _ := strings.Cut(line, ":")
		switch name {
		case "overrun", "commit overrun", "dropped events":
			n, err := strconv.Atoi(strings.TrimSpace(value))
			if err != nil {
				return 0, fmt.Errorf("stats of a CPU's trace: %q: %w", line, err)
			}
			lost += n
		}
	}
	return lost, nil
}

// Close removes the instance, and with it all that was set.
func (t *Tracer) Close() error {
	err := errors.Join(stop(t.dir), os.Remove(t.dir))
	return errors.Join(err, t.root.Close())
}

// stop has an instance trace nothing.
func stop(dir string) error {
	return os.WriteFile(filepath.Join(dir, "current_tracer"), []byte("nop"), 0)
}

// Sweep removes the instance of a run that has ended, if its folder tells of one.
func Sweep(name, runDir string) error {
	if _, err := os.Lstat(filepath.Join(runDir, note)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	root, err := mount()
	if err != nil {
		return fmt.Errorf("looking for what %s has traced: %w", name, err)
	}
	defer root.Close()
	dir := fmt.Sprintf("/proc/self/fd/%d/instances/%s", root.Fd(), name)
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errors.Join(stop(dir), os.Remove(dir))
}
