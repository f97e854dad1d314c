package experiment

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/bench/harness"
	"vmctr/report/result"
)

// cold is startup with the kernel's caches of files emptied, beside startup with the same
// caches warm, in the same rounds. Both are prepared alike by a start that is not
// measured: then the caches are emptied, or not.
//
// What cannot be emptied stays warm: pages that a running process maps, as bench's own
// program is; what the device has in a cache of its own, and, if this host is itself a
// virtual machine, what its host has.
var cold = Experiment{
	Name:     "startup-cold",
	About:    "startup with a cold page cache, beside a warm one",
	value:    "first_instruction_ns",
	Weight:   6,
	From:     "standard",
	stand:    true,
	deadline: time.Minute,
	trials: func(s Subject, l Limits) []harness.Trial {
		var trials []harness.Trial
		for _, series := range []string{"warm", "cold"} {
			trials = append(trials, harness.Trial{
				Series: series,
				Enter: func(ctx context.Context) error {
					ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, fmt.Errorf("no result within a minute"))
					defer cancel()
					if _, err := start(ctx, s.Prepared); err != nil {
						return fmt.Errorf("starting one ahead: %w", err)
					}
					if series == "warm" {
						return nil
					}
					if err := dropCaches(); err != nil {
						return &harness.OutOfReach{Reason: fmt.Sprintf("no cold page cache: %v", err)}
					}
					return nil
				},
				Measure: func(ctx context.Context) (result.Sample, error) { return start(ctx, s.Prepared) },
			})
		}
		return trials
	},
}

// dropFile is a variable for tests, which leave other tests their caches.
var dropFile = "/proc/sys/vm/drop_caches"

// dropCaches frees the page cache, and the caches of names and inodes (proc_sys_vm(5),
// drop_caches, 3). Only what is clean can be freed: so all is written out before.
func dropCaches() error {
	unix.Sync()
	if err := os.WriteFile(dropFile, []byte("3"), 0); err != nil {
		return fmt.Errorf("emptying the kernel's caches needs root on the host itself: %w", err)
	}
	return nil
}
