package container

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/step"
)

// The first process of a PID namespace is its init (pid_namespaces(7)): it
// inherits orphans, and has to wait for each or a zombie stays; and it gets no
// signal for which it has no handler. Few programs are written for that. So a
// container can have a small one as its first process, which starts the program,
// sends the signals that it gets on to it, waits for whatever ends, and exits
// with the program's status (docker run --init).
//
// It is a static executable of less than a page, in memory, that no container
// can change: the instructions of init_amd64.s behind the headers of elf(5).

// initFile is that executable. It is a High descriptor.
var initFile = sync.OnceValues(func() (int, error) {
	code := initCode()
	if code == nil {
		return -1, errors.New("an init: its few instructions are not written for this CPU yet")
	}
	fd, err := unix.MemfdCreate("init", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3 each is executable
		fd, err = unix.MemfdCreate("init", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return -1, fmt.Errorf("a file for the init: memfd_create: %w", err)
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, executable(code)); err != nil {
		return -1, fmt.Errorf("writing the init: %w", err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE); err != nil {
		return -1, fmt.Errorf("sealing the init: %w", err)
	}
	// The kernel does not execute what somebody could still write.
	again, err := unix.Open("/proc/self/fd/"+strconv.Itoa(fd), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("opening the init: %w", err)
	}
	defer unix.Close(again)
	return step.High(again)
})

// executable makes an ELF file of instructions that need no fixed address.
func executable(code []byte) []byte {
	const header, entry, base, page = 64, 56, 0x400000, 4096
	start := uint64(header + 2*entry)
	size := start + uint64(len(code))
	var b bytes.Buffer
	b.WriteString("\x7fELF\x02\x01\x01") // 64 bits, little endian, version 1
	b.Write(make([]byte, 9))
	for _, v := range []any{
		uint16(2), uint16(62), uint32(1), // ET_EXEC, EM_X86_64, EV_CURRENT
		base + start, uint64(header), uint64(0), // entry point, program headers, no section headers
		uint32(0), uint16(header), uint16(entry), uint16(2), uint16(0), uint16(0), uint16(0),

		uint32(1), uint32(4 | 1), uint64(0), uint64(base), uint64(base), size, size, uint64(page), // PT_LOAD, PF_R|PF_X
		uint32(0x6474e551), uint32(4 | 2), uint64(0), uint64(0), uint64(0), uint64(0), uint64(0), uint64(16), // PT_GNU_STACK, PF_R|PF_W
	} {
		binary.Write(&b, binary.LittleEndian, v)
	}
	b.Write(code)
	return b.Bytes()
}

// initFailed is the number, among the calls of a start, of the execve(2) that
// the init's child makes.
const initFailed = -1

// initFailure is the error of that call.
func initFailure(proc *specs.Process) step.Error {
	return step.Error{Phase: "exec", Call: fmt.Sprintf("execve(%q, ...) by the init", proc.Args[0]), Index: initFailed}
}

// executeInit appends the last calls of a container with an init: its arguments
// are the descriptor on which it says that it failed (a step.Failure), the files
// that the program may be, an empty one, and the program's arguments.
func executeInit(p *step.Program, proc *specs.Process, self, nfiles, report, init int) {
	finish(p, proc.Cwd, self, nfiles, report, init)
	// Where it is not PID 1, orphans still come to it.
	p.Call("prctl", unix.SYS_PRCTL, step.Flag(unix.PR_SET_CHILD_SUBREAPER, "PR_SET_CHILD_SUBREAPER"), step.Int(1))
	p.Call("fcntl", unix.SYS_FCNTL, step.Flag(report, "failed"), step.Flag(unix.F_SETFD, "F_SETFD"), step.Int(0))
	files := candidates(proc.Args[0], proc.Env)
	args := append([]string{"init", strconv.Itoa(report)}, files...)
	args = append(append(args, ""), proc.Args...)
	p.Call("execveat", unix.SYS_EXECVEAT, step.Flag(init, "init"), p.Str(""),
		p.Vector(args, fmt.Sprintf("[%s %q]", strings.Join(files, " "), proc.Args)), p.Vector(proc.Env, fmt.Sprintf("[/* %d vars */]", len(proc.Env))),
		step.Flag(unix.AT_EMPTY_PATH, "AT_EMPTY_PATH"))
}

// awaitProgram waits until the init's child has executed the program, and reaps
// the init if it could not. failed is the reading end of a pipe whose only
// writers are these two.
func awaitProgram(ctx context.Context, failed *os.File, proc *specs.Process, pidfd int) error {
	stop := context.AfterFunc(ctx, func() { failed.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var f step.Failure
	err := readFailure(failed, &f)
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case err == nil && f.Index == math.MaxUint:
		e := initFailure(proc)
		e.Errno = syscall.Errno(f.Errno)
		err = &e
	}
	if err != nil {
		unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0)
		reapChild(pidfd)
	}
	return err
}
