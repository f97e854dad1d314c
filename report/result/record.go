// Package result is the result file of a run: its schema, how it is written
// and read, and the statistics that are made of it.
//
// A run appends to one file, results.jsonl ("the journal"), one JSON object a
// line, each the moment that it is known. The first line is the [Header]: what
// was asked for and the whole environment. After it come a [Platform] for each
// platform when its state becomes known or changes, a [Sample] for each single
// measurement, raw, and at last an [End]. Nothing is ever rewritten: a run that
// dies at any byte leaves a file whose complete lines are all good.
//
// Times in the journal are nanoseconds of the host's CLOCK_MONOTONIC
// (clock_gettime(2)) since the run started, unless a field says otherwise.
// Measured values carry their unit at the end of their name: "_ns" are
// nanoseconds, "_bytes" bytes.
package result

import (
	"time"

	"vmctr/report/result/identity"
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
	Note     *Note        `json:"note,omitempty"`
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
	Image       Image     `json:"image"`
	Host        Host      `json:"host"`
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
	OS             string            `json:"os"`     // PRETTY_NAME of os-release
	Kernel         identity.Kernel   `json:"kernel"` // of the host
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
