//go:build !amd64

package vm

// rdtsc has no counterpart that a guest with an x86 processor would see.
func rdtsc() uint64 { return 0 }
