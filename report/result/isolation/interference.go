package isolation

// A Neighbour is a program that uses up what it and a victim share.
type Neighbour struct {
	Name  string // "spin"
	About string // what it does, as the end of "a neighbour that ..."
	// Wall is what a limit on it is called.
	Wall string
}

// Neighbours are all that there are, in the order of the report. They are those of the
// Isolation Benchmark Suite (Matthews et al., "Quantifying the Performance Isolation
// Properties of Virtualization Systems", ExpCS 2007): CPU, memory, fork bomb, disk, network.
var Neighbours = []Neighbour{
	{"spin", "computes without a pause, on every processor that it sees", "CPU quota"},
	{"alloc", "allocates memory and writes to it, without end", "memory limit"},
	{"fork", "starts processes without end", "limit of processes"},
	{"sync", "writes a file and has it put on the disk (fsync), again and again", "none here"},
	{"flood", "sends UDP datagrams over its network without a pause", "none here"},
}

// Measures are what a victim measures of itself, one at a time. Each is a rate: more is
// better. Its unit is that of the end of its name, per second.
var Measures = []Measure{
	{"cpu", "computing", "blocks of 4 KiB hashed with SHA-256"},
	{"memory", "copying memory", "bytes copied, between two areas of 16 MiB"},
	{"disk", "writing files", "writes of 4 KiB, each followed by fsync(2)"},
	{"request", "answering requests", "requests of 64 bytes answered, one after the other over one connection"},
	{"network", "sending", "bytes sent to the host over TCP"},
}

// A Measure is one of them.
type Measure struct {
	Name, Title string
	Of          string // what is counted
}

// DidNotReport is the outcome of a sample whose victim was silent beside the neighbour for
// longer than it is waited for. It is a result.
const DidNotReport = "did not report"

// Interference is what a sample of that experiment was. Its figures are among the sample's
// values: Each["before_cpu"], "beside_cpu" and "after_cpu" are the rates of one window each.
type Interference struct {
	Neighbour string `json:"neighbour"`
	// Limited says that both, the neighbour and the victim, had limits.
	Limited bool `json:"limited,omitempty"`
	// Fate is what became of the neighbour ([Stopped] and so on), and FateWhy says more.
	Fate    string `json:"fate,omitempty"`
	FateWhy string `json:"fate_why,omitempty"`
	// Silent are the measures of which nothing was heard beside the neighbour.
	Silent []string `json:"silent,omitempty"`
	// Files is the kind of file system that the victim writes to ("ext4", "tmpfs"), and
	// Network how its requests came.
	Files   string `json:"files,omitempty"`
	Network string `json:"network,omitempty"`
}

// The fates of neighbours.
const (
	Stopped = "stopped" // it went on until it was told to stop
	Killed  = "killed"  // the kernel killed it, since memory was out
	Refused = "refused" // the kernel refused it more
	Ended   = "ended"   // it ended by itself, or broke
)
