// Package result is the result file of a run: its schema, how it is written
// and read, and the statistics that are made of it.
//
// A run appends to one file, results.jsonl ("the journal"), one JSON object a
// line, each the moment that it is known. The first line is the [Header]: what
// was asked for and the whole environment. After it come a [Platform] for each
// platform when its state becomes known or changes, a [Sample] for each single
// measurement, raw, a [Block] for each round of samples, an [Ending] for each series of
// them, and at last an [End]. Nothing is ever rewritten: a run that dies at any byte
// leaves a file whose complete lines are all good, and that [Open] goes on with: a
// [Resume] then stands between what was there and what is new.
//
// A line is with the kernel when its record's work is done, so a bench that is killed
// loses none. It is on the disk (fsync(2)) within a second of work, and the header and
// the end at once: a host that loses its power loses the samples of its last second, and
// the one under way. A call for each line would take as long as a container takes to
// start, now and then: 0.6 ms in the median and 34 in the worst of 100, on an SSD with
// ext4.
//
// Times in the journal are nanoseconds of the host's CLOCK_MONOTONIC
// (clock_gettime(2)) since the run started, without the time that it was stopped, unless
// a field says otherwise.
// Measured values carry their unit at the end of their name: "_ns" are
// nanoseconds, "_bytes" bytes.
package result

import (
	"time"

	"vmctr/report/result/identity"
	"vmctr/report/result/isolation"
)

// Schema is the version of the journal that this code writes. A reader
// refuses a newer one and reads all older ones.
const Schema = 1

// FileName is the journal's name inside a result folder.
const FileName = "results.jsonl"

// Record is one line of the journal: exactly one of its fields is set.
type Record struct {
	Run      *Header      `json:"run,omitempty"`
	Image    *StoredImage `json:"image,omitempty"`
	Platform *Platform    `json:"platform,omitempty"`
	Sample   *Sample      `json:"sample,omitempty"`
	Block    *Block       `json:"block,omitempty"`
	Ending   *Ending      `json:"ending,omitempty"`
	Note     *Note        `json:"note,omitempty"`
	Resume   *Resume      `json:"resume,omitempty"`
	End      *End         `json:"end,omitempty"`
}

// Header opens the journal.
type Header struct {
	Schema      int       `json:"schema"`
	ID          string    `json:"id"` // the run's ID, in the name of all that it makes
	Time        time.Time `json:"time"`
	Command     []string  `json:"command"`
	Version     string    `json:"version"` // of bench
	Profile     string    `json:"profile"` // "quick", "standard", "thorough"
	Seed        uint64    `json:"seed"`
	Platforms   []string  `json:"platforms"`   // asked for, in this order
	Experiments []string  `json:"experiments"` // asked for, in this order
	// Base is the image of the store that the measured one was made of, with the program
	// on top; "" if it is the image of bench itself.
	Base string `json:"base,omitempty"`
	// Rounds, Images and Kernel are what was asked for with these flags, so that a run
	// that is resumed does the same.
	Rounds int      `json:"rounds,omitempty"`
	Images []string `json:"images,omitempty"`
	Kernel string   `json:"kernel,omitempty"`
	Image  Image    `json:"image"`
	Host   Host     `json:"host"`
}

// Image is the OCI image that every platform started.
type Image struct {
	Name   string   `json:"name"`
	Digest string   `json:"digest"` // of its manifest
	Layers []string `json:"layers"` // diff IDs, the lowest first
	Bytes  int64    `json:"bytes"`  // unpacked size of all layers
}

// StoredImage is an image of the store as the run found it, for one platform: an
// image for several has a record for each. A journal of an older bench has none.
type StoredImage struct {
	Name     string        `json:"name"`
	Platform string        `json:"platform"`           // "linux/amd64"
	Digest   string        `json:"digest"`             // of its manifest
	Measured bool          `json:"measured,omitempty"` // it is the one of the header
	Layers   []StoredLayer `json:"layers"`             // the lowest first
}

// StoredLayer is one layer of it.
type StoredLayer struct {
	DiffID       string `json:"diff_id"`
	Digest       string `json:"digest"`               // of the blob
	BlobBytes    int64  `json:"blob_bytes"`           // compressed: what is stored and sent
	ArchiveBytes int64  `json:"archive_bytes"`        // uncompressed
	DiskBytes    int64  `json:"disk_bytes,omitempty"` // as a read-only disk of a virtual machine (EROFS); 0 if none was made
	CreatedBy    string `json:"created_by,omitempty"` // from the image's history
}

// Host is the machine that measured.
type Host struct {
	Hostname       string            `json:"hostname"`
	Machine        string            `json:"machine,omitempty"` // a hash of its machine-id(5), which itself is confidential
	OS             string            `json:"os"`                // PRETTY_NAME of os-release
	Kernel         identity.Kernel   `json:"kernel"`            // of the host
	BootID         string            `json:"boot_id"`
	Cmdline        string            `json:"cmdline"`
	CPU            string            `json:"cpu"` // model name
	CPUs           int               `json:"cpus"`
	MemTotal       uint64            `json:"mem_total"`                // bytes
	Virtualization string            `json:"virtualization,omitempty"` // hypervisor under this host, "" on bare metal
	Governor       string            `json:"governor,omitempty"`       // all that are in use, joined by ", "
	Turbo          string            `json:"turbo,omitempty"`          // "on" or "off"
	THP            string            `json:"thp,omitempty"`            // "always", "madvise" or "never"
	KSM            string            `json:"ksm,omitempty"`            // "on", "off" or "off, pages unmerged"
	SwapTotal      uint64            `json:"swap_total"`               // bytes
	Cgroup         string            `json:"cgroup"`                   // "v1", "v2", "hybrid"
	Root           bool              `json:"root"`
	Pressure       string            `json:"pressure,omitempty"` // /proc/pressure/cpu at the start, whole
	LoadAvg        string            `json:"loadavg,omitempty"`
	Mitigations    map[string]string `json:"mitigations,omitempty"` // /sys/devices/system/cpu/vulnerabilities
	Namespaces     map[string]uint64 `json:"namespaces"`            // of bench itself
	Go             string            `json:"go"`
}

// Status is what became of a platform.
type Status string

// The states of a platform. A later [Platform] record of the same name
// replaces an earlier one: "ready" can become "failed".
const (
	Ready       Status = "ready"       // prepared, samples follow
	Unavailable Status = "unavailable" // cannot run on this host; Reason and Fix say why
	Failed      Status = "failed"      // was started and broke; Reason says how
)

// Platform says what became of one platform of the run.
type Platform struct {
	Name        string            `json:"name"`                  // "process", "container", "vm-q35"
	Title       string            `json:"title"`                 // for people: "container (bench)"
	Kind        string            `json:"kind"`                  // "process", "container", "vm" or "nested": a container in a vm
	Experiment  string            `json:"experiment,omitempty"`  // the only one that it takes part in: a variant of a platform; "" for all
	Status      Status            `json:"status"`                //
	Reason      string            `json:"reason,omitempty"`      // why it is not ready
	Fix         string            `json:"fix,omitempty"`         // what would mend it
	Accelerator string            `json:"accelerator,omitempty"` // VMs: "kvm" or "tcg"
	Emulated    bool              `json:"emulated,omitempty"`    // its figures are an emulator's, not a hypervisor's
	Details     map[string]string `json:"details,omitempty"`     // versions and settings: "qemu", "guest_kernel", "memory_limit"
	PrepareNs   int64             `json:"prepare_ns,omitempty"`  // what was done once, ahead of all samples
	Parts       []Part            `json:"parts,omitempty"`       // files that its instances need, beside the image's own
}

// Part is a file that the instances of a platform cannot start without.
type Part struct {
	Name  string `json:"name"` // "guest kernel"
	Bytes int64  `json:"bytes"`
	// WithImage says that the files of the image are in it too.
	WithImage bool `json:"with_image,omitempty"`
}

// Sample is one measurement of one instance, raw.
type Sample struct {
	Experiment string `json:"experiment"` // "startup", "memory", "identity"
	Platform   string `json:"platform"`
	// Series and N tell samples of one experiment and platform apart that are not to be
	// mixed: "cold", "redis"; with 8 instances running. "" and 0 where there is but one kind.
	Series   string `json:"series,omitempty"`
	N        int    `json:"n,omitempty"`
	Round    int    `json:"round"`            // from 0; warm-ups count from 0 as well
	Position int    `json:"position"`         // place in the round's random order, from 0
	Warmup   bool   `json:"warmup,omitempty"` // journalled, never counted
	AtNs     int64  `json:"at_ns"`            // when the sample began, since the run started
	// Disturbed says what others than bench did just before or during the sample, if it
	// was enough to change its values. It is counted like any other.
	Disturbed string `json:"disturbed,omitempty"`

	// Values are what was measured: "first_instruction_ns", "pss_bytes".
	Values map[string]float64 `json:"values,omitempty"`
	// Each are values of one name of several instances that were started together, in the
	// order in which their starts began.
	Each map[string][]float64 `json:"each,omitempty"`
	// Phases are the timeline of the instance, in time order, nanoseconds
	// since its own start.
	Phases []Phase `json:"phases,omitempty"`
	// Identity is what the workload said of itself.
	Identity *identity.Identity `json:"identity,omitempty"`
	// GuestNamespaces are those of the first process of the guest that the
	// workload's container is in, by type: the same numbers would be shared ones.
	GuestNamespaces map[string]uint64 `json:"guest_namespaces,omitempty"`

	// Outcome is what became of an instance where that is what is measured ("starts",
	// "killed"), and Why says more of it. It is a result, and no error.
	Outcome string `json:"outcome,omitempty"`
	Why     string `json:"why,omitempty"`

	// View is what a program in the instance sees, and Privileges what it may do, in each
	// configuration.
	View       *isolation.View        `json:"view,omitempty"`
	Privileges []isolation.Privileges `json:"privileges,omitempty"`
	// Probings are the attempts to get out of the instance.
	Probings []isolation.Probing `json:"probings,omitempty"`
	// Surface is what the instance's processes asked of the host's kernel.
	Surface *isolation.Surface `json:"surface,omitempty"`
	// Tracings are the functions of the kernel that ran for its work.
	Tracings []isolation.Tracing `json:"tracings,omitempty"`
	// Interference is what was tried beside which neighbour.
	Interference *isolation.Interference `json:"interference,omitempty"`
	// Faults are what became of instances that broke, and of what was beside them.
	Faults []isolation.Fault `json:"faults,omitempty"`

	// Error says why there is no value. Fault says whose it was.
	Error string `json:"error,omitempty"`
	Fault Fault  `json:"fault,omitempty"`
}

// Phase is one event in the life of an instance.
type Phase struct {
	Name string `json:"name"`
	Ns   int64  `json:"ns"`
	// ErrorNs is by how much Ns may be off, as far as this sample shows.
	ErrorNs int64 `json:"error_ns,omitempty"`
}

// Fault tells a workload that failed from a measurement that did.
type Fault string

// The two kinds of failure of a sample.
const (
	InstanceFault Fault = "instance" // the guest or the container failed
	HarnessFault  Fault = "harness"  // the measurement itself failed
)

// Block is a round, once it has ended: what the host was like. What was measured is part
// of it: it makes pressure and load itself.
type Block struct {
	Experiment string `json:"experiment"`
	Round      int    `json:"round"`
	Warmup     bool   `json:"warmup,omitempty"`
	AtNs       int64  `json:"at_ns"` // when it began; of a round that was cut, when it went on
	Ns         int64  `json:"ns"`    // how long it took
	// Pressure is the share of this time in which some task waited ("cpu some",
	// "memory some", "io some"), or all of them ("memory full", "io full"): of PSI's totals
	// (Documentation/accounting/psi.rst). It is absent where the kernel has none.
	Pressure map[string]float64 `json:"pressure,omitempty"`
	// Steal is the share of the time of all CPUs that a hypervisor under the host took away
	// from work that was to be done (proc_stat(5)).
	Steal float64 `json:"steal"`
	// MHz are the slowest and the fastest CPU's clock when it ended, absent if not known.
	MHz  []float64 `json:"mhz,omitempty"`
	Load float64   `json:"load"` // average of the last minute (proc_loadavg(5))
}

// Ending says why no more samples of a series are taken.
type Ending struct {
	Experiment string `json:"experiment"`
	Platform   string `json:"platform"`
	Series     string `json:"series,omitempty"`
	N          int    `json:"n,omitempty"`
	AtNs       int64  `json:"at_ns"`
	// Value is the one whose median was to be known well enough, "" if none was named.
	Value   string `json:"value,omitempty"`
	Samples int    `json:"samples"` // that are counted, with this value
	// HalfWidth is half the 95% interval of the median, as a share of the median, and Aim
	// the one that was aimed at: 0 if none was. HalfWidth is nil with too few samples.
	HalfWidth *float64 `json:"half_width,omitempty"`
	Aim       float64  `json:"aim,omitempty"`
	Reason    Reason   `json:"reason"`
}

// Key is that of the samples.
func (e *Ending) Key() Key { return Key{e.Experiment, e.Platform, e.Series, e.N} }

// Reason is why a series ended.
type Reason string

// Why a series ends.
const (
	PrecisionReached Reason = "precision"    // its interval is as narrow as was aimed at
	BudgetSpent      Reason = "budget"       // the time of its experiment was used up
	RoundsDone       Reason = "rounds"       // as many rounds as there were to be
	GaveUp           Reason = "failures"     // it failed several times in a row
	NotPossible      Reason = "out of reach" // there is no room or no time for it on this host
)

// Resume says that a run that had been stopped went on from here.
type Resume struct {
	AtNs int64     `json:"at_ns"` // how long it had run
	Time time.Time `json:"time"`
	ID   string    `json:"id"` // the run's ID from here on, in the name of all that it makes
	// Cut counts the bytes of a line that was not whole, which was cut off.
	Cut int64 `json:"cut,omitempty"`
	// Changed is what of the host is not as it was, by the names of [Host]'s fields, the
	// load always.
	Changed []Change `json:"changed,omitempty"`
}

// Change is one thing that is not as it was.
type Change struct {
	What string `json:"what"`
	Was  string `json:"was"`
	Is   string `json:"is"`
}

// Note is a warning that belongs to the whole run, for its reader.
type Note struct {
	AtNs int64  `json:"at_ns"`
	Text string `json:"text"`
	// Of a trial that was out of reach on this host, the Text says why, and these are
	// its [Key].
	Experiment string `json:"experiment,omitempty"`
	Platform   string `json:"platform,omitempty"`
	Series     string `json:"series,omitempty"`
	N          int    `json:"n,omitempty"`
}

// End closes the journal. A journal without it was cut off.
type End struct {
	AtNs   int64  `json:"at_ns"`
	Reason string `json:"reason"` // "complete", "interrupted", "error: ..."
}
