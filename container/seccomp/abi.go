package seccomp

import (
	"runtime"
	"sort"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

//go:generate go run gen.go

// A systemCall is one row of the table in syscalls.go.
type systemCall struct {
	name string
	nr   [6]int16 // one for each column
}

// The columns of the table.
const (
	columnX86_64 = iota
	columnI386
	columnARM64
	columnARM
	columnX32
	columnARMPrivate
)

// lookup finds a name and its place, nil if there is none.
func lookup(name string) (int, *systemCall) {
	i := sort.Search(len(syscalls), func(i int) bool { return syscalls[i].name >= name })
	if i == len(syscalls) || syscalls[i].name != name {
		return i - 1, nil
	}
	return i, &syscalls[i]
}

// Native are the names of all system calls of this machine's own ABI, by number. It is nil
// where this package has no table.
func Native() map[int]string {
	if host == nil {
		return nil
	}
	all := map[int]string{}
	for _, row := range &syscalls {
		if nr := int(row.nr[host[0].column]); nr >= 0 {
			all[nr] = row.name
		}
	}
	return all
}

// An abi is a set of numbers for system calls: a window onto the number space
// of an audit architecture, which is what the kernel tells a filter
// (linux/audit.h, AUDIT_ARCH_*).
type abi struct {
	arch   specs.Arch
	audit  uint32
	base   uint32 // what the table's numbers count from
	column int
	// narrow: arguments have 32 bits. What a program left in the upper halves
	// of registers does not count, to the kernel or to a filter.
	narrow bool
	// multiplexed: some calls go through others, by their first argument.
	multiplexed bool
}

// x32Bit marks the numbers of x32, which the kernel reports as x86-64
// otherwise (arch/x86/include/uapi/asm/unistd.h, __X32_SYSCALL_BIT). A filter
// that forgets it can be passed by setting it (seccomp(2), "Architecture").
const x32Bit = 0x40000000

// hosts holds, for each kind of kernel, the ABIs that it can run: the native
// one first, windows onto one number space together and in order.
var hosts = map[string][]abi{
	"amd64": {
		{arch: specs.ArchX86_64, audit: unix.AUDIT_ARCH_X86_64, column: columnX86_64},
		// x32 has the registers of x86-64, whole, and the kernel's functions
		// read them whole: so not narrow, as it is to libseccomp.
		{arch: specs.ArchX32, audit: unix.AUDIT_ARCH_X86_64, base: x32Bit, column: columnX32},
		{arch: specs.ArchX86, audit: unix.AUDIT_ARCH_I386, column: columnI386, narrow: true, multiplexed: true},
	},
	"arm64": {
		{arch: specs.ArchAARCH64, audit: unix.AUDIT_ARCH_AARCH64, column: columnARM64},
		{arch: specs.ArchARM, audit: unix.AUDIT_ARCH_ARM, column: columnARM, narrow: true},
		{arch: specs.ArchARM, audit: unix.AUDIT_ARCH_ARM, base: 0xf0000, column: columnARMPrivate, narrow: true},
	},
}

// host is nil where this package has no table.
var host = hosts[runtime.GOARCH]

// A mux is how i386 also makes a call: number Nr of socketcall(2) or ipc(2).
// Their first argument tells which; the others are a pointer to the real ones,
// which a filter cannot follow.
type mux struct {
	name, through string
	nr            uint64
}

// muxes are those of linux/net.h and linux/ipc.h, sorted by name.
var muxes = [...]mux{
	{"accept", "socketcall", 5},
	{"accept4", "socketcall", 18},
	{"bind", "socketcall", 2},
	{"connect", "socketcall", 3},
	{"getpeername", "socketcall", 7},
	{"getsockname", "socketcall", 6},
	{"getsockopt", "socketcall", 15},
	{"listen", "socketcall", 4},
	{"msgctl", "ipc", 14},
	{"msgget", "ipc", 13},
	{"msgrcv", "ipc", 12},
	{"msgsnd", "ipc", 11},
	{"recv", "socketcall", 10},
	{"recvfrom", "socketcall", 12},
	{"recvmmsg", "socketcall", 19},
	{"recvmsg", "socketcall", 17},
	{"semctl", "ipc", 3},
	{"semget", "ipc", 2},
	{"semop", "ipc", 1},
	{"semtimedop", "ipc", 4},
	{"send", "socketcall", 9},
	{"sendmmsg", "socketcall", 20},
	{"sendmsg", "socketcall", 16},
	{"sendto", "socketcall", 11},
	{"setsockopt", "socketcall", 14},
	{"shmat", "ipc", 21},
	{"shmctl", "ipc", 24},
	{"shmdt", "ipc", 22},
	{"shmget", "ipc", 23},
	{"shutdown", "socketcall", 13},
	{"socket", "socketcall", 1},
	{"socketpair", "socketcall", 8},
}

// condition is the test of the first argument that tells m from its fellows.
// ipc keeps a version in the upper half of it (ipc/syscall.c).
func (m mux) condition() condition {
	c := condition{arg: 0, op: equal, mask: 0xffffffff, value: m.nr}
	if m.through == "ipc" {
		c.mask = 0xffff
	}
	return c
}

// lookupAfter is lookup, faster if the name comes soon after the row last: in
// profiles the names are mostly sorted, too.
func lookupAfter(last int, name string) (int, *systemCall) {
	for i := last + 1; i < min(last+6, len(syscalls)); i++ {
		if syscalls[i].name == name {
			return i, &syscalls[i]
		}
	}
	return lookup(name)
}

// findMux gives the index of a name, -1 if there is none.
func findMux(name string) int {
	i := sort.Search(len(muxes), func(i int) bool { return muxes[i].name >= name })
	if i == len(muxes) || muxes[i].name != name {
		return -1
	}
	return i
}
