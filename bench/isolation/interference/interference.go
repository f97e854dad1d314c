// Package interference has the two programs that show what one instance can do to another
// of the same platform: a victim, which measures itself in short windows, and a neighbour,
// which uses up one thing that both share.
//
// The host's bench says when (package experiment): it connects to the victim for its turn
// as a client, and the victim's next windows begin when it has hung up; it connects to the
// neighbour to have it begin, and hangs up to have it stop. What both have to say they
// print, a line of JSON each.
//
// A neighbour is harmless by itself and not only by the limits around it, which may be
// missing: [Order] says how long it works, and how much it takes, and no order can ask for
// more than the ceilings here.
package interference

import "time"

// The verbs of the program inside that do this package's work.
const (
	VictimVerb    = "victim"
	NeighbourVerb = "neighbour"
	HogVerb       = "neighbour-hog"
)

// The ceilings of a neighbour, whatever its order says.
const (
	// MostWait is how long either waits for whom it has to wait for: an emulated machine on a
	// busy host is slow to come up, and the other waits for it.
	MostWait      = time.Minute
	MostTime      = 10 * time.Second
	MostBytes     = 2 << 30 // of memory
	MostFile      = 256 << 20
	MostWritten   = 4 << 30 // of files in all
	MostProcesses = 2000
)

// A Line is what a victim prints: of one window, or that the client may call ("serve").
type Line struct {
	Kind string `json:"kind"`
	// Count is what was done in the window, of Ns nanoseconds of its own clock.
	Count float64 `json:"count,omitempty"`
	Ns    int64   `json:"ns,omitempty"`
	// P50Ns and P99Ns are of the single writes of a window of "disk", of which there are Count.
	P50Ns int64 `json:"p50_ns,omitempty"`
	P99Ns int64 `json:"p99_ns,omitempty"`
	// Files is the kind of file system that it writes to, of the first line ("hello").
	Files string `json:"files,omitempty"`
}

// Serve is the kind of the line that says that a client may call.
const Serve = "serve"

// Hello is the kind of the first line.
const Hello = "hello"

// An Order is what a neighbour is to do, the line that it reads from who connects.
type Order struct {
	Kind      string        `json:"kind"` // of isolation.Neighbours
	For       time.Duration `json:"for"`
	Bytes     int64         `json:"bytes,omitempty"`     // alloc: at once; sync: of its file
	Processes int           `json:"processes,omitempty"` // fork: at once
	Life      time.Duration `json:"life,omitempty"`      // fork: of each process; 0 for a quarter of a second
	Target    string        `json:"target,omitempty"`    // flood: an address, with a port; "" is its own gateway
}

// bounded is the order, within the ceilings.
func (o Order) bounded() Order {
	o.For = min(max(o.For, 0), MostTime)
	o.Processes, o.Life = min(max(o.Processes, 0), MostProcesses), min(max(o.Life, 0), o.For)
	most := int64(MostBytes)
	if o.Kind == "sync" {
		most = MostFile
	}
	o.Bytes = min(max(o.Bytes, 0), most)
	return o
}

// A Report is what a neighbour prints: Ready when it can be connected to, Working when it
// has begun, and Done with what has come of it.
type Report struct {
	State string `json:"state"`
	Ns    int64  `json:"ns,omitempty"` // how long it worked
	Did   int64  `json:"did,omitempty"`
	// Most is what it held at once: bytes, or processes.
	Most int64 `json:"most,omitempty"`
	// Refused counts the calls that the kernel refused with Errno, and Killed its processes
	// that the kernel has killed.
	Refused int64  `json:"refused,omitempty"`
	Errno   string `json:"errno,omitempty"`
	Killed  int64  `json:"killed,omitempty"`
	// Ceiling says that it held as much as its order allows: not the kernel kept it from more.
	Ceiling bool   `json:"ceiling,omitempty"`
	CPUNs   int64  `json:"cpu_ns,omitempty"` // processor time, of all its processes
	Error   string `json:"error,omitempty"`
}

// The states of a neighbour.
const (
	Ready   = "ready"
	Working = "working"
	Done    = "done"
)

// Frame is the size of a request and of its answer; Chunk that of a piece of a stream, whose
// first byte is 0 in the last piece.
const (
	Frame = 64
	Chunk = 32 << 10
)

// The first byte of a frame: what is asked for.
const (
	AskRequest = 'q'
	AskStream  = 's' // for as many nanoseconds as the next 8 bytes say, big-endian
)

// MostStream is as long as a victim streams at most.
const MostStream = 2 * time.Second
