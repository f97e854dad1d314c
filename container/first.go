package container

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/step"
)

// A child of ours can become a program of ours of a few hundred bytes before it
// becomes the container's, for two reasons. It is a static executable in memory,
// sealed so that no container can change it: the instructions of first_amd64.s
// behind the headers of elf(5).
//
// # An init
//
// The first process of a PID namespace is its init (pid_namespaces(7)): it
// inherits orphans, and has to wait for each or a zombie stays; and it gets no
// signal for which it has no handler. Few programs are written for that. So a
// container can have a small one as its first process, which starts the program,
// sends the signals that it gets on to it, waits for whatever ends, and exits
// with the program's status (docker run --init).
//
// # A detour
//
// The program of a container is named by its image, and an image may name
// /proc/self/exe, as the program or as what interprets it ("#!/proc/self/exe").
// At its execve(2) the child still is a copy of the runtime, so that is the
// runtime's file, on the host: it would run once more, now inside, where the
// container's processes can get hold of it and, as the root that they are, write
// to it (CVE-2019-5736). So a child whose users may write to that file first
// becomes the small program, which does nothing but execute the container's:
// then /proc/self/exe is nothing to be had. That costs a tenth of a millisecond.
// In a user namespace of its own a container is nobody to the host's files, and
// needs none of it.

// firstFile is a descriptor of that executable.
var firstFile = sync.OnceValues(func() (int, error) {
	code := firstCode()
	if code == nil {
		return -1, errors.New("the few instructions of an init are not written for this CPU yet")
	}
	fd, err := unix.MemfdCreate("first", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3 each is executable
		fd, err = unix.MemfdCreate("first", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if errors.Is(err, unix.EACCES) {
		return -1, fmt.Errorf("memfd_create: %w (the sysctl vm.memfd_noexec forbids programs in memory, and without one a container that is the host's root could overwrite its runtime: set it to 1 or 0, or give the container a user namespace)", err)
	}
	if err != nil {
		return -1, os.NewSyscallError("memfd_create", err)
	}
	if _, err = unix.Write(fd, executable(code)); err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE)
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("sealing a program in memory: %w", err)
	}
	return fd, nil
})

// openFirst is that file for a child whose program gets n descriptors.
func openFirst(n int, opened *[]int) (int, error) {
	fd, err := firstFile()
	if err != nil {
		return -1, err
	}
	return aside(fd, n, opened)
}

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

// executeFirst appends the calls that execute it. Its arguments are what it is to
// be, "init" or "exec", the descriptor on which it says that it failed (a
// step.Failure), the files that the program may be, an empty one, and the
// program's arguments.
func executeFirst(p *step.Program, files, args []string, envp step.Arg, e ending) {
	name := "exec"
	if e.init {
		name = "init"
		// Where it is not PID 1, orphans still come to it.
		p.Call("prctl", unix.SYS_PRCTL, step.Flag(unix.PR_SET_CHILD_SUBREAPER, "PR_SET_CHILD_SUBREAPER"), step.Int(1))
	}
	p.Call("fcntl", unix.SYS_FCNTL, step.Flag(e.report, "failed"), step.Flag(unix.F_SETFD, "F_SETFD"), step.Int(0))
	all := append([]string{name, strconv.Itoa(e.report)}, files...)
	all = append(append(all, ""), args...)
	p.Call("execveat", unix.SYS_EXECVEAT, step.Flag(e.first, "first"), p.Str(""),
		p.Vector(all, fmt.Sprintf("[%q %q %q]", name, files, args)), envp, step.Flag(unix.AT_EMPTY_PATH, "AT_EMPTY_PATH"))
}

// needsDetour tells whether a process of the container may write to our program,
// and could not come by it otherwise: one that sees the host's files as we do, such
// as QEMU, or the program of a machine, needs no /proc/self/exe for that.
func needsDetour(s *specs.Spec) bool {
	if !has(s, specs.MountNamespace) && s.Root != nil && s.Root.Path == "/" {
		return false
	}
	owner, err := owner()
	if err != nil || !isNew(s, specs.UserNamespace) {
		return true
	}
	for _, m := range s.Linux.UIDMappings {
		if owner >= m.HostID && owner-m.HostID < m.Size {
			return true
		}
	}
	return false
}

// owner is the user to whom our own program belongs.
var owner = sync.OnceValues(func() (uint32, error) {
	var st unix.Stat_t
	err := unix.Stat("/proc/self/exe", &st)
	return st.Uid, err
})

// hide appends the call that keeps the processes of a container that runs from
// looking at the child while it is a copy of ours: it is about the memory, which
// the child shares with us (PR_SET_DUMPABLE(2const), ptrace(2)).
func hide(p *step.Program) {
	p.Call("prctl", unix.SYS_PRCTL, step.Flag(unix.PR_SET_DUMPABLE, "PR_SET_DUMPABLE"), step.Int(0))
}

// firstPatience is how long the few instructions between the two executions
// may take.
const firstPatience = 10 * time.Second

// A report is a pipe on which a child tells that it has failed after it has left
// our memory.
type report struct{ r, w *os.File }

// newReport makes it, and gives the number of its end for a child whose program
// gets n descriptors.
func newReport(n int, opened *[]int) (r report, failed int, err error) {
	if r.r, r.w, err = os.Pipe(); err != nil {
		return report{}, -1, os.NewSyscallError("pipe", err)
	}
	if failed, err = aside(int(r.w.Fd()), n, opened); err != nil {
		r.Close()
		return report{}, -1, err
	}
	return r, failed, nil
}

func (r report) Close() {
	r.r.Close()
	r.w.Close()
}

// await waits until the child has executed its program. If it could not, it is
// killed and reaped, and the error says why. Nobody else of ours may still have
// the child's end open.
func (r report) await(ctx context.Context, p *step.Program, pidfd int) error {
	r.w.Close()
	ctx, cancel := context.WithTimeout(ctx, firstPatience)
	defer cancel()
	f, err := readFailure(ctx, r.r)
	if err == nil && f.Index != 0 {
		err = p.Failed(f)
	}
	if err != nil {
		unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0)
		reapChild(pidfd)
	}
	return err
}
