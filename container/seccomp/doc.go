// Package seccomp compiles the seccomp profile of an OCI configuration to the
// program that the kernel runs before each system call.
//
// # What seccomp is
//
// A container shares its host's kernel, and every system call is a door into
// it. Namespaces change what a process sees behind a door; seccomp(2) takes
// doors away. A process hands the kernel a small program, the filter. From then
// on, and for all its descendants, the kernel runs the filter before each
// system call and does what its answer says: allow the call, fail it with an
// errno, kill the caller, ask another process. A filter cannot be removed; more
// can be added, and the strictest answer counts.
//
// The filter is in classic BPF, the language of packet filters from 1992: one
// 32-bit register A, loads, comparisons with constants, jumps that only go
// forward, at most 4096 instructions. So it always ends. Its packet is struct
// seccomp_data: the number of the call, the architecture that the number
// belongs to, and six arguments. It cannot follow pointers, since another
// thread could change what they point to between the check and the use.
// (Documentation/userspace-api/seccomp_filter.rst)
//
// # What a profile says
//
// runtime-spec config-linux.md, "Seccomp": a default action, and a list of
// rules, each of names, an action and conditions on arguments. Where the
// specification leaves open how rules meet, this package does what runc and
// libseccomp do:
//
//   - A rule whose action is the default action is skipped.
//   - Of the rules for one system call, the first without conditions decides,
//     wherever it stands. Without such a rule, those with conditions are tried
//     in their order, and the first that holds decides; else the default does.
//   - All conditions of a rule must hold, except that a rule with several
//     conditions on one argument is as many rules, one for each.
//   - SCMP_CMP_MASKED_EQ compares the argument, masked by value, with valueTwo.
//   - The native architecture is always included. Listed architectures that
//     this kernel cannot run are skipped. A call by an architecture that is not
//     included kills its thread. On i386, what is said of socket(2) and others
//     also holds for them by way of socketcall(2) and ipc(2).
//   - Names that no architecture knows are skipped; [Filter.Unknown] lists them.
//   - A system call with a number above all that the profile names is one that
//     its author did not know. If the default is to refuse, it fails with ENOSYS
//     instead of the default action: to programs, EPERM is "not for you", while
//     ENOSYS is "this kernel is older", and they then try an older call. (runc,
//     libcontainer/seccomp/patchbpf)
//
// In two places it differs from libseccomp, to be stricter. A rule with
// conditions that allows socket(2) says nothing of socketcall(2), where
// libseccomp forgets the conditions and allows all. And x32 arguments are
// compared whole, since they are passed in whole registers.
//
// # What the program looks like
//
// The obvious program compares the number with each number of the profile in
// turn. Docker's profile has a thousand, in three architectures. This package
// looks at outcomes instead: each number of an architecture has one, and
// neighbours mostly have the same. A range of numbers with one outcome is a leaf
// of a balanced binary tree, and the program is that tree. Of a small profile
// ([Filter.String]; "4:8" is "if so go to 4, else to 8"):
//
//	0  ld   arch
//	1  jeq  0xc000003e  2:25         ; SCMP_ARCH_X86_64
//	2  ld   nr
//	3  jge  231  12:4                ; exit_group?
//	4  jge  135  11:5                ; personality?
//	5  jge  6  8:6                   ; lstat?
//	6  jeq  2  23:7                  ; open: ERRNO(EPERM)
//	7  jeq  4  23:24                 ; read..fstat: ALLOW, stat: ERRNO(EPERM)
//	8  ...
//
// Eight comparisons decide among 128 ranges. A range may hold up to three single
// numbers with another outcome (above, "read to fstat, but not open and stat"):
// that is one comparison each, where a range of their own would cost two.
//
// Where an outcome depends on arguments, the leaf is a tree again, over ranges
// of an argument's upper half and then of its lower half, since A has 32 bits:
//
//	16  ld   args[0].high
//	17  jge  0x1  23:18
//	18  ld   args[0].low
//	19  jge  0xffffffff  24:23
//
// A jump that depends on a comparison reaches 255 instructions at most. What is
// further away is reached by way of a jump that reaches any, or, if it is a
// return, copied.
//
// # What the kernel does with it
//
// When a filter is attached, the kernel checks it, translates it to eBPF and
// that to machine code (kernel/seccomp.c, seccomp_prepare_filter). Then it
// interprets the filter for each system call that it has: where the answer is
// ALLOW before the filter looks at an argument, it sets a bit and never runs
// the filter for that call again (seccomp_cache_prepare, since Linux 5.11). So
// the shape of the program hardly matters to a running container, but it does
// to one that starts: the cost of attaching is the number of instructions, to
// be translated, and the length of the paths, each to be walked some 450 times
// per architecture. The tree is better in both.
package seccomp
