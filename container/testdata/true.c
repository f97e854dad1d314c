/* The least that a C program does, with its libc: cc -static -o true true.c */
int main(void) { return 0; }
