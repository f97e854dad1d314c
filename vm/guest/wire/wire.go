// Package wire is what the host and PID 1 of a guest agree on: where things
// lie in the initramfs, what the virtio-serial ports are called, and the lines
// of JSON that go over one of them.
//
// It imports nothing, so that PID 1 stays small.
package wire

// The ports of the virtio-serial device, as the guest finds them in
// /sys/class/virtio-ports/*/name.
const (
	ControlPort = "bench.control" // reports to the host, commands to the guest
	OutputPort  = "bench.stdout"  // the workload's standard output
)

// Where things lie in the initramfs.
const (
	Init    = "init"              // PID 1
	Config  = "bench/config.json" // an OCI configuration (runtime-spec, config.md)
	Modules = "modules"           // NN-NAME.ko, in the order in which they are to be loaded
	Late    = "modules-late"      // the same, loaded once the workload runs
	Image   = "image"             // the file system of the image
)

// The phases that the guest reports. Each is the point at which it begins.
const (
	PhaseKernel   = "kernel"   // the kernel's clock starts to count
	PhaseInit     = "init"     // the first line of PID 1's own code
	PhaseModules  = "modules"  // it loads the drivers
	PhaseRoot     = "root"     // it enters the image's file system
	PhasePorts    = "ports"    // it looks for the ports
	PhaseWorkload = "workload" // it starts the workload: fork and exec
	PhaseRunning  = "running"  // the workload's execve has succeeded
)

// The events of a [Report].
const (
	EventPhase  = "phase"
	EventExited = "exited" // the workload has ended; the guest will power off
	EventError  = "error"  // PID 1 has failed; the guest will power off
	EventPong   = "pong"   // the answer to CommandPing
)

// A Report is one line from the guest.
type Report struct {
	Event string `json:"event"`
	Phase string `json:"phase,omitempty"`
	// At is when it happened, Now when the line was written, both in
	// nanoseconds of the guest's CLOCK_BOOTTIME. A phase can be reported late:
	// before the ports are there, nothing can be. The host takes the
	// difference from its own clock.
	At  int64 `json:"at,omitempty"`
	Now int64 `json:"now,omitempty"`

	Code   int    `json:"code,omitempty"`   // of EventExited: the status, if Signal is 0
	Signal int    `json:"signal,omitempty"` // of EventExited: the signal that ended it
	Error  string `json:"error,omitempty"`  // of EventError
}

// The commands of the host.
const (
	CommandPing = "ping" // answer at once
	CommandStop = "stop" // end the workload (SIGTERM, then SIGKILL) and power off
)

// A Command is one line to the guest.
type Command struct {
	Command string `json:"command"`
}
