#include "textflag.h"

// func clone3(args *cloneArgs, size uintptr, s *state, entry uintptr) (pid, errno uintptr)
//
// The parent gets the child's PID. The child wakes up on the empty stack that
// args names, with the parent's registers: so s and entry are kept in R12 and
// R13, which the kernel does not touch, and everything on the parent's stack is
// out of reach.
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
	XORPS	X15, X15
	MOVQ	R12, AX
	SUBQ	$16, SP // where a callee may keep its argument
	CALL	R13 // does not return
	INT	$3
