package isolation

import "time"

// Tracing is what one instance had the kernel of its host do for its work, by that
// kernel's function tracer.
type Tracing struct {
	// Subject is what was traced: a platform's name. In the throwaway machine it is what is
	// like that platform there.
	Subject string `json:"subject"`
	// Kernel is the release of the kernel that was traced.
	Kernel string `json:"kernel,omitempty"`
	// Accelerator is that of the instance itself, if it is a machine.
	Accelerator string `json:"accelerator,omitempty"`
	// Functions are those that ran while a thread of the instance was on a CPU and it did
	// its work, without those that ran while it was idle as well.
	Functions []string `json:"functions,omitempty"`
	// Interrupts are those of them that ran in interrupts alone, and are not in Functions:
	// whose work these were is not known.
	Interrupts []string `json:"interrupts,omitempty"`
	Idle       int      `json:"idle"`  // distinct functions while it was idle
	Calls      int      `json:"calls"` // that were noted. What runs while it idles is noted for a moment only.
	// Lost are calls that the tracer had no room for: some function may be missing.
	Lost   int   `json:"lost,omitempty"`
	IdleNs int64 `json:"idle_ns"` // how long it was watched while it idled
	WorkNs int64 `json:"work_ns"` // how long its work took
	// Error says why there is nothing.
	Error string `json:"error,omitempty"`
}

// FunctionsWork is the verb of the program inside that works when it is traced. Its argument
// is what it waits for before that: FunctionsOnSignal (SIGUSR1), or for how long (a duration
// as Go has it). It prints the lines FunctionsBegin and FunctionsDone, and then idles for a
// minute at most.
const (
	FunctionsWork     = "traced"
	FunctionsOnSignal = "signal"
	FunctionsBegin    = "work-begins"
	FunctionsDone     = "work-done"
)

// FunctionsInnerWait is how long the work of a machine in a machine is to wait: where one
// emulator runs in another, all takes some 30 times as long.
const FunctionsInnerWait = 30 * time.Second
