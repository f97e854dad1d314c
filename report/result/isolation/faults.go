package isolation

// A FaultKind is one way in which an instance can break.
type FaultKind struct {
	Name  string // "crash"
	Title string // a few words for a table
	About string // a sentence for a student: what is done
}

// FaultKinds are the faults, in the order of the report.
var FaultKinds = []FaultKind{
	{"crash", "It crashes", "The program reads from an address where there is no memory, and its kernel ends it with SIGSEGV."},
	{"memory", "It takes all memory", "The program allocates memory and writes to each page, without end: 1 GiB is its own bound."},
	{"forks", "It forks without end", "The program starts processes as fast as it can, and none of them ends: 2,000 of them, and 2.5 s, are its own bound."},
	{"panic", "It panics the kernel", "The program asks the kernel to crash or to restart, in the ways that Linux has for its administrators: SysRq, /dev/mem, reboot(2), kexec_load(2)."},
}

// FaultOutcome is what became of a fault, as the host has seen it.
type FaultOutcome string

// The outcomes. What is said to be not possible is so as far as the attempts show, of
// which the evidence tells.
const (
	Held        FaultOutcome = "contained"      // only the instance ended, or was held
	NotHeld     FaultOutcome = "not held"       // nothing stopped it but its own bound; others went on
	TooSlow     FaultOutcome = "too slow"       // its own time was over before it came to what would hold it
	Disturbed   FaultOutcome = "host disturbed" // a program beside it was late, could not work, or was killed; or the host ran out of something
	Lost        FaultOutcome = "host lost"      // the host died, or did not report any more
	NotPossible FaultOutcome = "not possible"   // all attempts were refused
)

// Fault is what became of one.
type Fault struct {
	Kind string `json:"kind"` // of [FaultKinds]
	// Of is who did it in the throwaway machine, whose kernel is the host's there:
	// "process" or "container". "" is an instance of the platform itself.
	Of      string       `json:"of,omitempty"`
	Outcome FaultOutcome `json:"outcome"`
	Why     string       `json:"why"` // what was seen, in words
	// Attempts are those of a panic: what was called, and with what it was refused.
	Attempts []FaultAttempt `json:"attempts,omitempty"`
	// Witnesses are the programs beside it.
	Witnesses []Witness `json:"witnesses,omitempty"`
}

// FaultAttempt is one of several ways that were tried.
type FaultAttempt struct {
	Call string `json:"call"`
	// Errno names the error that refused it, "" if nothing did.
	Errno string `json:"errno,omitempty"`
}

// Witness is a program beside a fault, which says five times a second that it can still
// start a process and use memory.
type Witness struct {
	Who   string `json:"who"` // "host": a process of the host; "neighbour": in another instance of the platform
	Beats int    `json:"beats"`
	// BeforeNs is the longest time between two of them in the second before, LongestNs in
	// the time of the fault.
	BeforeNs  int64 `json:"before_ns"`
	LongestNs int64 `json:"longest_ns"`
	// Failed counts those that could not, and Error says why the last one could not.
	Failed int    `json:"failed,omitempty"`
	Error  string `json:"error,omitempty"`
	// Ended says that it is no longer there.
	Ended bool `json:"ended,omitempty"`
}
