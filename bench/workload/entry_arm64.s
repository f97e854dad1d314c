#include "textflag.h"

// As entry_amd64.s says, in the other architecture's instructions: that is all
// that differs between the images of the two platforms.
TEXT _bench_entry(SB),NOSPLIT|NOFRAME,$0
	MOVD	$64, R8		// SYS_write
	MOVD	$1, R0		// standard output
	MOVD	$·signal(SB), R1
	MOVD	$18, R2		// its length
	SVC
	MOVD	$0, R0		// at entry, R0 is a function for atexit: none
	B	_rt0_arm64_linux(SB)
