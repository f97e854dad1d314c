#include "textflag.h"

// func clone3(args *cloneArgs, size uintptr, s *state) (pid, errno uintptr)
//
// The parent gets the child's PID. The child wakes up on the empty stack that
// args names, with the parent's registers: so s is kept in R12, which the
// kernel does not touch, and everything on the parent's stack is out of reach.
TEXT ·clone3(SB),NOSPLIT,$0-40
	MOVQ	args+0(FP), DI
	MOVQ	size+8(FP), SI
	MOVQ	s+16(FP), R12
	MOVQ	$435, AX // SYS_CLONE3
	SYSCALL
	CMPQ	AX, $0xfffffffffffff001
	JCC	failed
	TESTQ	AX, AX
	JZ	child
	MOVQ	AX, pid+24(FP)
	MOVQ	$0, errno+32(FP)
	RET
failed:
	NEGQ	AX
	MOVQ	$0, pid+24(FP)
	MOVQ	AX, errno+32(FP)
	RET
child:
	XORL	BP, BP
	SUBQ	$16, SP
	MOVQ	R12, 0(SP)
	CALL	·child(SB) // does not return
	INT	$3
