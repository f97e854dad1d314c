#include "textflag.h"

// The kernel jumps here (the linker is told so by -E _bench_entry), before Go's
// runtime has done anything. The first instructions of the program write its
// signal to standard output; then the stack pointer and all that it points to
// (argc, argv, envp, auxv) are still as the kernel left them, and Go starts as
// if nothing had happened.
TEXT _bench_entry(SB),NOSPLIT|NOFRAME,$0
	MOVL	$1, AX		// SYS_write
	MOVL	$1, DI		// standard output
	LEAQ	·signal(SB), SI
	MOVQ	$18, DX		// its length
	SYSCALL
	XORL	DX, DX		// at entry, DX is a function for atexit: none
	JMP	_rt0_amd64_linux(SB)
