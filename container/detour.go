package container

import (
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

// CVE-2019-5736. The program of a container is named by its image, and an image
// may name "/proc/self/exe", as the program or as what interprets it
// ("#!/proc/self/exe"). At its execve(2) the child still is a copy of the
// runtime, so that file is the runtime's, on the host: it would run once more, now
// inside, where the container's processes can get hold of it and, as the root
// that they are, write to it.
//
// So a child whose users own that file on the host becomes the program in two
// steps. It first executes a program of a few bytes, in memory and sealed
// (memfd_create(2)), that only executes the container's: then /proc/self/exe is
// nothing to be had. That costs a tenth of a millisecond. In a user namespace of
// its own a container is nobody to the host's files, and needs none of it.

// detour is that program's code, for an ELF file (elf(5)). Its arguments are a descriptor on which to tell a failure (step.Failure),
// the files to try, "", and the arguments of the program.
func detour() []byte {
	return []byte{
		0x48, 0x89, 0xe3, //             mov   rbx, rsp: the number of arguments, and they
		0x48, 0x8b, 0x03, //             mov   rax, [rbx]
		0x48, 0x8d, 0x6c, 0xc3, 0x10, // lea   rbp, [rbx+8*rax+16]: the environment
		0x48, 0x8b, 0x73, 0x08, //       mov   rsi, [rbx+8]
		0x45, 0x31, 0xe4, //             xor   r12d, r12d: the descriptor, a decimal number
		0x0f, 0xb6, 0x06, //      digit: movzx eax, byte [rsi]
		0x85, 0xc0, //                   test  eax, eax
		0x74, 0x0e, //                   jz    mark
		0x45, 0x6b, 0xe4, 0x0a, //       imul  r12d, r12d, 10
		0x45, 0x8d, 0x64, 0x04, 0xd0, // lea   r12d, [r12+rax-'0']
		0x48, 0xff, 0xc6, //             inc   rsi
		0xeb, 0xeb, //                   jmp   digit
		0x44, 0x89, 0xe7, //       mark: mov   edi, r12d: to be closed by the execve
		0x6a, 0x02, 0x5e, //             mov   esi, F_SETFD
		0x6a, 0x01, 0x5a, //             mov   edx, FD_CLOEXEC
		0x6a, 0x48, 0x58, //             mov   eax, SYS_fcntl
		0x0f, 0x05, //                   syscall
		0x85, 0xc0, //                   test  eax, eax
		0x74, 0x09, //                   jz    files
		0x6a, 0x03, 0x58, //             mov   eax, SYS_close: a filter forbids fcntl, so now
		0x0f, 0x05, //                   syscall
		0x85, 0xc0, //                   test  eax, eax
		0x75, 0x3e, //                   jnz   fail
		0x4c, 0x8d, 0x6b, 0x10, // files: lea  r13, [rbx+16]
		0x4d, 0x89, 0xee, //             mov   r14, r13
		0x49, 0x8b, 0x06, // separator:  mov   rax, [r14]
		0x49, 0x83, 0xc6, 0x08, //       add   r14, 8
		0x80, 0x38, 0x00, //             cmp   byte [rax], 0
		0x75, 0xf4, //                   jne   separator: then r14 are the arguments
		0x49, 0x8b, 0x7d, 0x00, // next: mov   rdi, [r13]
		0x4c, 0x89, 0xf6, //             mov   rsi, r14
		0x48, 0x89, 0xea, //             mov   rdx, rbp
		0x6a, 0x3b, 0x58, //             mov   eax, SYS_execve
		0x0f, 0x05, //                   syscall
		0x49, 0x83, 0xc5, 0x08, //       add   r13, 8
		0x49, 0x8b, 0x55, 0x00, //       mov   rdx, [r13]
		0x80, 0x3a, 0x00, //             cmp   byte [rdx], 0: that was the last
		0x74, 0x0f, //                   je    fail
		0x83, 0xf8, 0xfe, //             cmp   eax, -ENOENT
		0x74, 0xdf, //                   je    next
		0x83, 0xf8, 0xf3, //             cmp   eax, -EACCES
		0x74, 0xda, //                   je    next
		0x83, 0xf8, 0xec, //             cmp   eax, -ENOTDIR
		0x74, 0xd5, //                   je    next
		0xf7, 0xd8, //             fail: neg   eax
		0x50,       //                   push  rax: Failure.Errno
		0x6a, 0xff, //                   push  -1:  Failure.Index, the last call
		0x44, 0x89, 0xe7, //             mov   edi, r12d
		0x48, 0x89, 0xe6, //             mov   rsi, rsp
		0x6a, 0x10, 0x5a, //             mov   edx, 16
		0x6a, 0x01, 0x58, //             mov   eax, SYS_write
		0x0f, 0x05, //                   syscall
		0x6a, 0x7f, 0x5f, //             mov   edi, 127
		0xb8, 0xe7, 0, 0, 0, //          mov   eax, SYS_exit_group
		0x0f, 0x05, //                   syscall
		0xf4, //                         hlt
	}
}

// executable makes an ELF file of instructions that need no fixed address: a
// header, one segment, a stack that is not executable, and them.
func executable(code []byte) []byte {
	const base, headers = 0x400000, 64 + 2*56
	le := binary.LittleEndian
	// e_ident: 64 bits, little-endian, version 1.
	b := append(make([]byte, 0, headers+len(code)), "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00"...)
	b = le.AppendUint16(b, 2)            // e_type: ET_EXEC
	b = le.AppendUint16(b, 62)           // e_machine: EM_X86_64
	b = le.AppendUint32(b, 1)            // e_version
	b = le.AppendUint64(b, base+headers) // e_entry
	b = le.AppendUint64(b, 64)           // e_phoff: the segments' headers follow this one
	b = le.AppendUint64(b, 0)            // e_shoff
	b = le.AppendUint32(b, 0)            // e_flags
	for _, n := range []uint16{64, 56, 2, 64, 0, 0} {
		b = le.AppendUint16(b, n) // e_ehsize, e_phentsize, e_phnum, e_shentsize, e_shnum, e_shstrndx
	}
	size := uint64(headers + len(code))
	b = le.AppendUint32(b, 1) // p_type: PT_LOAD
	b = le.AppendUint32(b, 5) // p_flags: to be read and executed
	for _, n := range []uint64{0, base, base, size, size, 4096} {
		b = le.AppendUint64(b, n) // p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_align
	}
	b = le.AppendUint32(b, 0x6474e551) // PT_GNU_STACK
	b = le.AppendUint32(b, 6)          // to be read and written
	for _, n := range []uint64{0, 0, 0, 0, 0, 16} {
		b = le.AppendUint64(b, n)
	}
	return append(b, code...)
}

// sealed gives a function that makes, once, a file in memory of a program that
// nobody can write to any more.
func sealed(name string, code func() ([]byte, error)) func() (int, error) {
	return sync.OnceValues(func() (int, error) {
		instructions, err := code()
		if err != nil {
			return -1, err
		}
		fd, err := executableMemory(name)
		if err != nil {
			return -1, err
		}
		if _, err = unix.Write(fd, executable(instructions)); err == nil {
			_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE)
		}
		if err != nil {
			unix.Close(fd)
			return -1, fmt.Errorf("sealing a program in memory: %w", err)
		}
		return fd, nil
	})
}

// detourFile is a descriptor of it.
var detourFile = sealed("program", func() ([]byte, error) { return detour(), nil })

// openDetour is that file for a child whose program gets n descriptors.
func openDetour(n int, opened *[]int) (int, error) {
	fd, err := detourFile()
	if err != nil {
		return -1, err
	}
	return aside(fd, n, opened)
}

// executableMemory is a file in memory that may be executed, which since Linux
// 6.3 has to be said (MFD_EXEC).
func executableMemory(name string) (int, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) {
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if errors.Is(err, unix.EACCES) {
		return -1, fmt.Errorf("memfd_create: %w (sysctl vm.memfd_noexec=2 forbids programs in memory, and without one a container that is the host's root could overwrite its runtime: allow them, or give it a user namespace)", err)
	}
	return fd, os.NewSyscallError("memfd_create", err)
}

// needsDetour tells whether a process of the container may write to our program.
func needsDetour(s *specs.Spec) bool {
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

// detourPatience is how long the few instructions between the two executions
// may take.
const detourPatience = 10 * time.Second

// A report is a pipe on which a child tells that it has failed after it has left
// our memory.
type report struct{ r, w *os.File }

func newReport() (report, error) {
	r, w, err := os.Pipe()
	return report{r, w}, os.NewSyscallError("pipe", err)
}

func (r report) Close() {
	r.r.Close()
	r.w.Close()
}

// await waits until the child has executed its program, and gives the error if
// it could not.
func (r report) await(ctx context.Context, p *step.Program) error {
	r.w.Close()
	ctx, cancel := context.WithTimeout(ctx, detourPatience)
	defer cancel()
	f, err := readFailure(ctx, r.r)
	if err != nil || f.Index == 0 {
		return err
	}
	return p.Failed(f)
}

// arguments of the detour; see there.
func detourArguments(report int, files, args []string) []string {
	list := append([]string{strconv.Itoa(report)}, files...)
	return append(append(list, ""), args...)
}
