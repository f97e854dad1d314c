package isolation

// Surface is what an instance's processes on the host asked of the host's kernel for a
// given piece of work.
type Surface struct {
	// Calls counts the system calls that were begun, by name; a call without a name in the
	// table is its number. Ioctls counts those of ioctl(2) by request, which are many calls
	// under one name.
	Calls  map[string]int `json:"calls"`
	Ioctls map[string]int `json:"ioctls,omitempty"`
	// Threads counts the threads that were traced, by name, and Untraced those that the kernel
	// lets nobody trace: its own that work for the instance.
	Threads  map[string]int `json:"threads"`
	Untraced map[string]int `json:"untraced,omitempty"`
	// Requests were answered over the instance's network, and WorkNs is how long all of it took,
	// slowed down by the tracing.
	Requests int   `json:"requests"`
	WorkNs   int64 `json:"work_ns"`
}

// What is asked of the program inside that works for the experiment, a line over a connection
// each, and what it answers.
const (
	SurfaceWork = "work"
	SurfacePing = "ping"
	SurfaceDone = "done"
)
