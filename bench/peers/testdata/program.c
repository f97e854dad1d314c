/*
 * program is what the containers run here. Its first instructions write the
 * line "first-instruction"; with an argument it then waits for ever, without one
 * it ends with status 0. It has no libc, whose start would count as well.
 *
 * Build: cc -O2 -static -nostdlib -o program program.c
 */
#include <sys/syscall.h>

static long sys(long n, long a, long b, long c)
{
	long ret;
	asm volatile("syscall" : "=a"(ret) : "a"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return ret;
}

__attribute__((used)) static void begin(long *stack)
{
	sys(SYS_write, 1, (long)"first-instruction\n", 18);
	while (stack[0] > 1)
		sys(SYS_pause, 0, 0, 0);
	sys(SYS_exit_group, 0, 0, 0);
}

asm(".globl _start\n_start:\n\tmov %rsp, %rdi\n\tandq $-16, %rsp\n\tcall begin\n");
