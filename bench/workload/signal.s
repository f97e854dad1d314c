#include "textflag.h"

// "first-instruction\n": what the program's first instructions write, on every
// architecture.
DATA	·signal+0(SB)/8, $"first-in"
DATA	·signal+8(SB)/8, $"structio"
DATA	·signal+16(SB)/2, $"n\n"
GLOBL	·signal(SB), RODATA|NOPTR, $18
