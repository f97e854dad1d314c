#include "textflag.h"

// The program of first.go, which copies these instructions into an executable
// file. It has no stack frame, no data and no address of its own, and calls only
// the kernel: it runs wherever it is put. System calls change AX, CX and R11.
//
// R12 is the argument vector, R13 the environment, R14 the program's PID, R15
// the descriptor for a failure, and, later, the exit status.
TEXT ·firstProgram(SB),NOSPLIT|NOFRAME,$0
	// On the stack: argc, argv..., NULL, envp... (elf(5)).
	LEAQ	8(SP), R12
	MOVQ	0(SP), AX
	LEAQ	8(R12)(AX*8), R13

	// argv[1]: the descriptor, in decimal.
	MOVQ	8(R12), SI
	XORL	R15, R15
digit:
	MOVBLZX	(SI), AX
	SUBL	$'0', AX
	JCS	parsed
	IMUL3Q	$10, R15, R15
	ADDQ	AX, R15
	INCQ	SI
	JMP	digit
parsed:
	MOVQ	(R12), SI
	ADDQ	$16, R12 // the first file to try
	SUBQ	$8, SP
	CMPB	(SI), $'i'
	JNE	execute

	// An init. Its name is argv[0]: prctl(PR_SET_NAME, "init").
	MOVL	$15, DI
	MOVL	$157, AX
	SYSCALL

	// All signals wait until they are asked for: rt_sigprocmask(SIG_SETMASK, all).
	MOVQ	$-1, 0(SP)
	MOVL	$2, DI
	MOVQ	SP, SI
	XORL	DX, DX
	MOVL	$8, R10
	MOVL	$14, AX
	SYSCALL

	// A process for the program: clone(SIGCHLD).
	MOVL	$17, DI
	XORL	SI, SI
	XORL	DX, DX
	XORL	R10, R10
	XORL	R8, R8
	MOVL	$56, AX
	SYSCALL
	TESTQ	AX, AX
	JZ	program
	JMI	failed
	MOVQ	AX, R14

	// Only the standard streams stay open here: close_range(3, ~0, 0).
	MOVL	$3, DI
	MOVL	$-1, SI
	XORL	DX, DX
	MOVL	$436, AX
	SYSCALL
	SUBQ	$128, SP // a siginfo_t, or a wait status

	// rt_sigtimedwait(all, &info, NULL, 8)
next:
	LEAQ	128(SP), DI
	MOVQ	SP, SI
	XORL	DX, DX
	MOVL	$8, R10
	MOVL	$128, AX
	SYSCALL
	CMPQ	AX, $17 // SIGCHLD
	JEQ	reap
	TESTQ	AX, AX
	JLE	next // interrupted
	// kill(program, the same)
	MOVQ	R14, DI
	MOVQ	AX, SI
	MOVL	$62, AX
	SYSCALL
	JMP	next

	// One SIGCHLD may stand for several: wait4(-1, &status, WNOHANG, NULL) until
	// there are no more.
reap:
	MOVQ	$-1, DI
	MOVQ	SP, SI
	MOVL	$1, DX
	XORL	R10, R10
	MOVL	$61, AX
	SYSCALL
	TESTQ	AX, AX
	JLE	next
	CMPQ	AX, R14
	JNE	reap // an orphan
	// The program's end is ours: its exit status, or 128 and the signal.
	MOVL	0(SP), DI
	MOVL	DI, AX
	ANDL	$0x7f, AX
	JNZ	killed
	SHRL	$8, DI
	ANDL	$0xff, DI
	JMP	exit
killed:
	LEAL	128(AX), DI
	JMP	exit

	// What becomes the program. A process group of its own, which the terminal,
	// if there is one, takes for that in the foreground: so what is typed there
	// makes signals for the program alone, and not also for init, which would
	// send them on. setpgid(0, 0); getpid(); ioctl(0, TIOCSPGRP, &pid)
program:
	XORL	DI, DI
	XORL	SI, SI
	MOVL	$109, AX
	SYSCALL
	MOVL	$39, AX
	SYSCALL
	MOVQ	AX, 0(SP)
	XORL	DI, DI
	MOVL	$0x5410, SI
	MOVQ	SP, DX
	MOVL	$16, AX
	SYSCALL

	// fcntl(failure, F_SETFD, FD_CLOEXEC): a program that runs has not failed.
	// Where its system call filter forbids that, close(failure) says the same now.
execute:
	MOVQ	R15, DI
	MOVL	$2, SI
	MOVL	$1, DX
	MOVL	$72, AX
	SYSCALL
	TESTQ	AX, AX
	JZ	unmask
	MOVL	$3, AX
	SYSCALL
	TESTQ	AX, AX
	JNZ	failed
unmask:
	// rt_sigprocmask(SIG_SETMASK, none)
	MOVQ	$0, 0(SP)
	MOVL	$2, DI
	MOVQ	SP, SI
	XORL	DX, DX
	MOVL	$8, R10
	MOVL	$14, AX
	SYSCALL
	// The program's arguments come after an empty string.
	MOVQ	R12, R14
arguments:
	MOVQ	(R14), AX
	ADDQ	$8, R14
	CMPB	(AX), $0
	JNE	arguments
	// execve(file, arguments, environment), for each file
try:
	MOVQ	(R12), DI
	CMPB	(DI), $0
	JEQ	missing
	MOVQ	R14, SI
	MOVQ	R13, DX
	MOVL	$59, AX
	SYSCALL
	ADDQ	$8, R12
	CMPQ	AX, $-2 // ENOENT
	JEQ	remember
	CMPQ	AX, $-13 // EACCES
	JEQ	remember
	CMPQ	AX, $-20 // ENOTDIR
	JNE	failed
remember:
	MOVQ	AX, BX
	JMP	try
missing:
	MOVQ	BX, AX
	// write(failure, {-1, errno}, 16)
failed:
	NEGQ	AX
	SUBQ	$16, SP
	MOVQ	$-1, 0(SP)
	MOVQ	AX, 8(SP)
	MOVQ	R15, DI
	MOVQ	SP, SI
	MOVL	$16, DX
	MOVL	$1, AX
	SYSCALL
	MOVL	$127, DI
	// exit_group(status)
exit:
	MOVL	$231, AX
	SYSCALL
	// The end of what is copied.
	BYTE	$0xf4; BYTE $0xf4; BYTE $0xf4; BYTE $0xf4
	BYTE	$0xf4; BYTE $0xf4; BYTE $0xf4; BYTE $0xf4
	RET

// func firstAddress() unsafe.Pointer
TEXT ·firstAddress(SB),NOSPLIT,$0-8
	LEAQ	·firstProgram(SB), AX
	MOVQ	AX, ret+0(FP)
	RET
