#include "textflag.h"

// func clone3(args *cloneArgs, size uintptr, s *state, entry uintptr) (pid, errno uintptr)
//
// The parent gets the child's PID. The child wakes up on the empty stack that
// args names, with the parent's registers: so s and entry are kept in R12 and
// R13, which the kernel does not touch, and everything on the parent's stack is
// out of reach.
//
// The child may fork ([Program.Fork]): the process that goes on is another then,
// and enters the same function again.
//
// entry is a Go function, called as the compiler would (the Go source tree's
// src/cmd/compile/abi-internal.md: first argument in AX, X15 zero, R14 the
// goroutine, as it was). CALL ·child(SB) would go through a wrapper, in which
// the race detector has a hook that the child must not run.
TEXT ·clone3(SB),NOSPLIT,$0-48
	MOVQ	args+0(FP), DI
	MOVQ	size+8(FP), SI
	MOVQ	s+16(FP), R12
	MOVQ	entry+24(FP), R13
	MOVQ	$435, AX // SYS_CLONE3
	SYSCALL
	CMPQ	AX, $0xfffffffffffff001
	JCC	failed
	TESTQ	AX, AX
	JZ	child
	MOVQ	AX, pid+32(FP)
	MOVQ	$0, errno+40(FP)
	RET
failed:
	NEGQ	AX
	MOVQ	$0, pid+32(FP)
	MOVQ	AX, errno+40(FP)
	RET
child:
	XORL	BP, BP
	SUBQ	$32, SP // where a callee may keep its argument; s and entry
	MOVQ	R12, 16(SP)
	MOVQ	R13, 24(SP)
	XORPS	X15, X15
	MOVQ	R12, AX
	CALL	R13
	// It has come to a fork: s.fork, the first word, is a cloneArgs. The new
	// process begins at the top of this same stack, as this one did: which it
	// may have, since this one ends without touching it again.
	MOVQ	16(SP), R12
	MOVQ	24(SP), R13
	MOVQ	0(R12), DI
	MOVQ	$0, 0(R12)  // s.fork
	MOVQ	$1, 8(R12)  // s.forked
	MOVQ	$0, 16(R12) // s.refuse
	MOVQ	$88, SI
	MOVQ	$435, AX // SYS_CLONE3
	SYSCALL
	TESTQ	AX, AX
	JZ	child
	CMPQ	AX, $0xfffffffffffff001
	JCC	refused
	MOVQ	$231, AX // SYS_EXIT_GROUP
	XORL	DI, DI
	SYSCALL
	INT	$3
refused:
	NEGQ	AX
	MOVQ	AX, 16(R12) // s.refuse
	ADDQ	$32, SP
	JMP	child
