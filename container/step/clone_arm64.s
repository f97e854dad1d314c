#include "textflag.h"

// func clone3(args *cloneArgs, size uintptr, s *state, entry uintptr) (pid, errno uintptr)
//
// What clone_amd64.s does, in which the reasons stand. Here s and entry are kept in
// R19 and R20, which the kernel gives back as they were, and entry is called with
// its argument in R0 and the goroutine in R28, as it was. The frame of the caller
// has a word at 0(RSP) for the return address and one at 8(RSP) where the callee
// may keep its argument (abi-internal.md, "arm64 architecture").
TEXT ·clone3(SB),NOSPLIT|NOFRAME,$0-48
	MOVD	args+0(FP), R0
	MOVD	size+8(FP), R1
	MOVD	s+16(FP), R19
	MOVD	entry+24(FP), R20
	MOVD	$435, R8 // SYS_CLONE3
	SVC
	CMN	$4095, R0
	BCS	failed
	CBZ	R0, child
	MOVD	R0, pid+32(FP)
	MOVD	ZR, errno+40(FP)
	RET
failed:
	NEG	R0, R0
	MOVD	ZR, pid+32(FP)
	MOVD	R0, errno+40(FP)
	RET
child:
	MOVD	ZR, R29
	SUB	$48, RSP // s and entry
	MOVD	R19, 24(RSP)
	MOVD	R20, 32(RSP)
	MOVD	R19, R0
	CALL	(R20)
	MOVD	24(RSP), R19
	MOVD	32(RSP), R20
	ADD	$48, RSP
	MOVD	0(R19), R0  // s.fork, a cloneArgs
	MOVD	ZR, 0(R19)
	MOVD	$1, R1
	MOVD	R1, 8(R19)  // s.forked
	MOVD	ZR, 16(R19) // s.refuse
	MOVD	$88, R1
	MOVD	$435, R8 // SYS_CLONE3
	SVC
	CBZ	R0, child
	CMN	$4095, R0
	BCS	refused
	MOVD	ZR, R0
	MOVD	$94, R8 // SYS_EXIT_GROUP
	SVC
	BRK
refused:
	NEG	R0, R0
	MOVD	R0, 16(R19) // s.refuse
	B	child
