package vm

// rdtsc reads the processor's time stamp counter (RDTSC, Intel SDM volume 2).
func rdtsc() uint64
