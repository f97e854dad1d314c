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
	ErrorPort   = "bench.stderr"  // its standard error, if the host asks for it ([Streams])
	InputPort   = "bench.stdin"   // its standard input, likewise
)

// Annotations of the configuration: what is to be known of the machine.
const (
	// Layers is how many disks the image has, one for each layer. Without it
	// the image is in the initramfs.
	Layers = "bench.layers"
	// Container says that the program is started as a container, for which the
	// configuration is whole. Its layers are on disks: those in memory could not be
	// ID-mapped.
	Container = "bench.container"
	// Publish is a TCP port of the machine that leads to the container's.
	Publish = "bench.publish"
	// Template says that PID 1 is to stop before it starts the program, report
	// EventHeld, and wait for CommandResume: the machine is saved then, and goes on as
	// often as it is restored.
	Template = "bench.template"
	// Streams names the streams that go to the host, beside the standard output:
	// StreamError, or both with a space between. The program then has pipes, as
	// with a container, and PID 1 copies. Without it, it has the port itself,
	// the console and /dev/null: what is measured costs no copy.
	Streams     = "bench.streams"
	StreamInput = "stdin"
	StreamError = "stderr"
)

// NetworkVariable is set on the kernel's command line for a machine with a network
// card. The kernel does not know the word, and makes it a variable of PID 1's
// environment (Documentation/admin-guide/kernel-parameters.rst). It is a machine's
// own, and the initramfs is one for many. Its value says what eth0 gets:
// MAC,ADDRESS/BITS,GATEWAY, such as 02:42:0a:de:00:02,10.222.0.2/22,10.222.0.1.
const NetworkVariable = "BENCH_NETWORK"

// VsockVariable is set likewise for a machine whose reports go over virtio-vsock: to the
// port of the host on which they are waited for.
const VsockVariable = "BENCH_VSOCK"

// Where things lie in the initramfs.
const (
	Init    = "init"              // PID 1
	Config  = "bench/config.json" // an OCI configuration (runtime-spec, config.md)
	Modules = "modules"           // NN-NAME.ko, in the order in which they are to be loaded
	Late    = "modules-late"      // the same, loaded once the workload runs
	Image   = "image"             // the file system of the image; with layers, what covers them
	Lower   = "lower"             // the folder of the layers' mount points
	Work    = "work"              // what the overlay keeps to itself
)

// Serial is the serial number of the disk of a layer, the lowest being 0: by it
// the guest tells which disk is which. A virtio disk has room for 20 bytes.
func Serial(layer string) string { return "layer" + layer }

// The phases that the guest reports. Each is the point at which it begins.
const (
	PhaseKernel   = "kernel"   // the kernel's clock starts to count
	PhaseInit     = "init"     // the first line of PID 1's own code
	PhaseModules  = "modules"  // it loads the drivers
	PhaseRoot     = "root"     // it joins the image's layers, and enters its file system
	PhasePorts    = "ports"    // it looks for the ports
	PhaseNetwork  = "network"  // it gives the network card its address
	PhaseEngine   = "engine"   // with a container: control groups, the bridge, its layers
	PhaseHold     = "hold"     // of a template: it is ready to be saved
	PhaseRenew    = "renew"    // restored: it has heard who it is, and becomes that
	PhaseWorkload = "workload" // it starts the workload: fork and exec
	PhaseRunning  = "running"  // the workload's execve has succeeded

	// ContainerPhase begins the names of those of a container's start, which come
	// after PhaseWorkload: a machine has a network too.
	ContainerPhase = "container "
)

// The events of a [Report].
const (
	EventPhase  = "phase"
	EventExited = "exited" // the workload has ended; the guest will power off
	EventError  = "error"  // PID 1 has failed; the guest will power off
	EventPong   = "pong"   // the answer to CommandPing
	// EventNamespaces tells those of PID 1, once a container runs.
	EventNamespaces = "namespaces"
	EventHeld       = "held"    // all is done but to start the workload ([Template])
	EventMemory     = "memory"  // the answer to CommandMemory
	EventTouched    = "touched" // the answer to CommandTouch
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
	Error  string `json:"error,omitempty"`  // of EventError; of an answer: why what was asked for was not done
	Errno  int    `json:"errno,omitempty"`  // of EventError: execve's, if the program could not be executed

	// OutOfMemory, of EventExited: the kernel has killed a process of the workload, a
	// container with a limit, which was over it.
	OutOfMemory bool `json:"out_of_memory,omitempty"`

	Namespaces map[string]uint64 `json:"namespaces,omitempty"` // of EventNamespaces: inode numbers by type
	Text       string            `json:"text,omitempty"`       // of EventMemory: /proc/meminfo
}

// The commands of the host.
const (
	CommandPing = "ping" // answer at once
	CommandStop = "stop" // end the workload (SIGTERM, then SIGKILL) and power off
	// CommandSignal sends the workload a signal.
	CommandSignal = "signal"
	// CommandResume tells a machine that was restored to become a machine of its own
	// (Command.Renewal) and to start the workload.
	CommandResume = "resume"
	// CommandResize gives the workload's terminal the size of the window that it is
	// shown in.
	CommandResize = "resize"
	CommandMemory = "memory" // answer with what the kernel says of memory
	CommandTouch  = "touch"  // take memory, write to all its pages, free it, then answer
)

// A Command is one line to the guest.
type Command struct {
	Command string `json:"command"`
	Signal  int    `json:"signal,omitempty"` // of CommandSignal
	Rows    uint16 `json:"rows,omitempty"`   // of CommandResize
	Columns uint16 `json:"columns,omitempty"`
	Bytes   int64  `json:"bytes,omitempty"` // of CommandTouch

	Renewal *Renewal `json:"renewal,omitempty"` // of CommandResume
}

// A Renewal is what machines must not share that were restored from one saved state.
type Renewal struct {
	// Seed is SeedBytes of random bytes, for the kernel's random numbers.
	Seed []byte `json:"seed"`
	// Time is the wall clock, in nanoseconds since 1970, when the command was sent. The
	// guest's is late by what that was under way.
	Time     int64  `json:"time"`
	Hostname string `json:"hostname,omitempty"` // "" keeps the one that it has
	Network  string `json:"network,omitempty"`  // for eth0, as NetworkVariable says it; "" keeps what it has
}

// SeedBytes are as many as the kernel's generator needs to be ready (POOL_READY_BITS,
// drivers/char/random.c).
const SeedBytes = 32
