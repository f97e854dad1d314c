// Package platform starts the same workload under different kinds of
// isolation: as a plain process, in a container, in a virtual machine.
//
// A [Platform] is a kind of isolation. Prepare gives what its instances share
// (unpacked layers, an initramfs), as a user of that platform would have it
// ready too; its cost is measured on its own. Start then makes one [Instance],
// and nothing that belongs to one instance is done ahead of it.
//
// Every platform is one file, which registers it. The end of a start is the
// same event on all: the line that the workload's first instruction writes to
// its standard output, stamped by the host when it arrives ([Output]).
package platform

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"vmctr/images"
	"vmctr/vm/kernel"
)

// Platform is one kind of isolation.
type Platform interface {
	Info() Info
	// Available returns nil, or an *[UnavailableError]: why it cannot run on
	// this host, and what would fix that. It looks, and starts nothing.
	Available(ctx context.Context) error
	// Prepare can also find out that the platform is not available.
	Prepare(ctx context.Context, w Workload) (Prepared, error)
}

// Info names a platform.
type Info struct {
	Name  string // "process", "container", "vm-q35"
	Title string // for people
	Kind  string // "process", "container", "vm" or "nested"
	// Optional platforms are measured where they are: that one is missing is
	// no failure.
	Optional bool
	// Loopback says that its instances have no network that the host could reach.
	Loopback bool
	// NoSystem is a machine with no operating system: it gives the sign of its first
	// instruction, and can say nothing else. [Output.Identity] and Instance.Delay then
	// give [ErrNoSystem].
	NoSystem bool
	// Experiment is the one that the platform is for, if it is a variant of another
	// that serves a single comparison; "" for all.
	Experiment string
}

// Prepared is what the instances of one workload share.
type Prepared interface {
	// Facts are what is to be known of the instances to read their figures.
	Facts() Facts
	// Start starts an instance and returns when it is under way: its first
	// instruction may still be to come. After an error nothing is left.
	Start(ctx context.Context) (Instance, error)
	Close() error
}

// Facts are the circumstances of a platform's figures.
type Facts struct {
	Accelerator string            // of a VM: "kvm" or "tcg"
	Emulated    bool              // the figures are an emulator's, not a hypervisor's
	Details     map[string]string // versions and limits
	Parts       []Part            // files that instances need, beside the image's own
}

// Part is a file that a platform's instances cannot start without.
type Part struct {
	Name      string
	Bytes     int64
	WithImage bool // the files of the image are in it too
}

// Instance is one running workload. It is used by one goroutine.
type Instance interface {
	// Output is what the workload prints.
	Output() *Output
	// Timeline is when each phase of the start began, as far as it has come.
	Timeline() []Mark
	// Processes are the PIDs of the processes that exist on the host on its
	// behalf: for a VM those of the hypervisor.
	Processes() ([]int, error)
	// CgroupMemory is the memory, in bytes, that its control group accounts
	// for; ok is false on a platform that gives it none.
	CgroupMemory() (bytes int64, ok bool, err error)
	// Delay measures how long a line of the workload's is under way to the
	// host: as much later than the first instruction itself does its signal
	// arrive. It may be called once the first instruction has been executed.
	Delay(ctx context.Context) (time.Duration, error)
	// Address is where the workload serves HTTP, over the instance's own network:
	// ErrNoNetwork if nothing of it can be reached from the host. That it listens
	// already is not said.
	Address(ctx context.Context) (netip.AddrPort, error)
	// Err says why the instance has ended by itself, or broken, as an
	// *[InstanceError]. It waits a moment for an end that is under way.
	Err() error
	// Stop ends the instance and removes all that it left on the host. It may
	// be called once.
	Stop(ctx context.Context) error
}

// Mark is one event, in nanoseconds of CLOCK_MONOTONIC.
type Mark struct {
	Phase string
	Ns    int64
	Error int64 // by how much Ns may be off, as far as it was measured; 0 if it was not
}

// ErrNoNetwork is of an instance that cannot be reached.
var ErrNoNetwork = errors.New("it has no network, or serves nothing")

// Workload is what to start, and where its things go.
type Workload struct {
	Image   *images.Image
	Process images.Process
	// Port is the TCP port on which the workload serves HTTP; 0 if on none. The last
	// argument of Process then says so: ":PORT".
	Port uint16

	RunID string // in the name of all that is made
	// NetworkID is in the names of interfaces, which are short (network.Open). The
	// network is the run's, and one for all platforms that share NetworkDir: they
	// leave it to the run to remove. It is the run's own folder, in which is also noted
	// what engines hold of the run.
	NetworkID  string
	NetworkDir string
	Dir        string         // a folder of the run for the platform's files
	Cache      string         // a folder that outlives the run
	Kernel     kernel.Options // where a guest kernel is found

	// What an instance may use, where the platform sets limits. For a container 0 is no
	// limit; a machine has memory and processors always.
	Memory int64 // bytes
	CPUs   int
	Pids   int64
	// Mergeable has the RAM of machines be of a kind that KSM can merge, and whose pages
	// can be compared: not small pages in shared memory, as an emulated machine has.
	Mergeable bool
	// Disk is a read-only file system (EROFS) beside the image, for the throwaway machine
	// alone: it is the machine's first disk.
	Disk string
}

// ErrNoSystem is why a platform with Info.NoSystem cannot say what it is asked.
var ErrNoSystem = errors.New("it has no operating system that could say it")

// UnavailableError is why a platform cannot run on this host.
type UnavailableError struct {
	Reason string
	Fix    string
}

func (e *UnavailableError) Error() string {
	if e.Fix == "" {
		return e.Reason
	}
	return e.Reason + "; " + e.Fix
}

// InstanceError is a failure of the workload, its container or its guest, as
// opposed to one of the harness.
type InstanceError struct {
	Err    error
	Output string // the end of its standard error, or of its console
}

func (e *InstanceError) Error() string {
	if e.Output == "" {
		return e.Err.Error()
	}
	return fmt.Sprintf("%v; the end of its output:\n%s", e.Err, e.Output)
}

func (e *InstanceError) Unwrap() error { return e.Err }

// IsInstanceFault tells whether err is the instance's and not the harness's.
func IsInstanceFault(err error) bool {
	var e *InstanceError
	return errors.As(err, &e)
}

// instances counts those that were started in this process. The number is in their names and
// addresses, which no two may share, of whatever platform and workload they are.
var instances atomic.Uint32

var all []Platform

func register(p Platform) { all = append(all, p) }

// All are the platforms, the lightest kind of isolation first, without those that are
// for one experiment.
func All() []Platform { return For("") }

// For are the platforms that are for one experiment alone; those for all, if it is "".
func For(experiment string) []Platform {
	kinds := []string{"process", "container", "vm", "nested"}
	slices.SortFunc(all, func(a, b Platform) int {
		x, y := a.Info(), b.Info()
		// What has no system stands for no kind: a report compares the first of each.
		last := func(i Info) int {
			if i.NoSystem {
				return 1
			}
			return 0
		}
		return cmp.Or(slices.Index(kinds, x.Kind)-slices.Index(kinds, y.Kind), last(x)-last(y), cmp.Compare(x.Name, y.Name))
	})
	return slices.DeleteFunc(slices.Clone(all), func(p Platform) bool { return p.Info().Experiment != experiment })
}

// Names are the names of the platforms of All.
func Names() []string {
	var names []string
	for _, p := range All() {
		names = append(names, p.Info().Name)
	}
	return names
}

// Find gives the platform of a name, of all that there are.
func Find(name string) (Platform, error) {
	for _, p := range all {
		if p.Info().Name == name {
			return p, nil
		}
	}
	return nil, fmt.Errorf("there is no platform %q; there are %q", name, Names())
}
