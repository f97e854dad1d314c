// Package isolation is what a run finds out about the walls around a program: the
// evidence behind the lecture's "process-level (weaker)" and "full OS-level (stronger)".
//
// Its types are part of the journal. It imports nothing, since the small programs that run
// inside containers and machines use it as well as the report.
package isolation

// Group is the name under which all experiments on isolation can be asked for.
const Group = "isolation"

// Verdict is what became of a probe, judged from outside.
type Verdict string

// The verdicts. A probe that broke is not one that was blocked.
const (
	Blocked      Verdict = "blocked"      // it was tried, and the host is untouched and has told nothing
	Reached      Verdict = "reached"      // the canary was seen or changed
	Inconclusive Verdict = "inconclusive" // it could not be tried, or did not end
)

// Finding is what became of one probe.
type Finding struct {
	Probe   string  `json:"probe"` // its name in [Probes]
	Verdict Verdict `json:"verdict"`
	// Errno names the error with which the attempt was refused ("EPERM"), "" if it was not.
	Errno string `json:"errno,omitempty"`
	// Own says that the attempt did what it was to do, but to something that is the
	// instance's own and not the host's: its kernel, or its namespace.
	Own bool `json:"own,omitempty"`
	// Evidence is what was seen, in words: "kill(2) of process 4711: ESRCH; it lives on".
	Evidence string `json:"evidence,omitempty"`
}

// Probing is one go through all probes, in one configuration.
type Probing struct {
	// Variant is the configuration ([Without], [Only]); "" is the platform as it is.
	Variant string `json:"variant,omitempty"`
	// BootID names the kernel that served the attempts, HostBootID the one that they were
	// aimed at and judged on.
	BootID     string    `json:"boot_id"`
	HostBootID string    `json:"host_boot_id"`
	Findings   []Finding `json:"findings"`
	// Ns is how long it took.
	Ns int64 `json:"ns,omitempty"`
	// Error says why there are no findings, or not all.
	Error string `json:"error,omitempty"`
}

// Bare is the variant in which nothing protects: the probes' positive control.
const Bare = "bare"

// Without is the variant of a container that has everything but one mechanism.
func Without(mechanism string) string { return "without " + mechanism }

// Only is the variant that has nothing but one mechanism.
func Only(mechanism string) string { return "only " + mechanism }
