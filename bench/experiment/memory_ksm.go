package experiment

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"vmctr/bench/harness"
	"vmctr/bench/platform"
	"vmctr/report/result"
)

// ksmPlatform is the one machine that this is done with: what the others have in RAM is
// much the same.
const ksmPlatform = "vm-q35"

// memoryKSM is what KSM does for two machines of one image, and, as the control, what
// becomes of two that it does not search. It changes a setting of the whole host, which is
// put back whatever ends the run.
var memoryKSM = Experiment{
	Name:     "memory-ksm",
	About:    "two machines of one image with KSM, the kernel's search for equal pages, off and on",
	Weight:   2,
	From:     "standard",
	most:     6,
	deadline: time.Minute,
	trials: func(s Subject, _ Limits) []harness.Trial {
		if s.Name != ksmPlatform {
			return nil
		}
		var list []harness.Trial
		for _, on := range []bool{false, true} {
			k := &searched{subject: s, fleet: fleet{bound: bound(s)}, on: on}
			series := map[bool]string{false: "off", true: "on"}[on]
			list = append(list, harness.Trial{Series: series, Enter: k.start, Measure: k.measure, Leave: k.stop})
		}
		return list
	},
}

// While KSM is on, it searches faster than a host would let it by default, which takes
// minutes: 100 pages each 20 ms.
const (
	ksmPages    = 20000 // at a time
	ksmSleep    = 10    // ms between
	ksmScans    = 3     // of all memory; a page is merged in the second one at the earliest
	ksmPatience = 20 * time.Second
	ksmControl  = 3 * time.Second // how long the control idles
)

// searched are two machines that KSM may search.
type searched struct {
	fleet
	subject Subject
	on      bool
	dir     string // of the run
}

func (k *searched) start(ctx context.Context) error {
	p, err := k.subject.Variant(ctx, "mergeable", func(w *platform.Workload) error { w.Mergeable = true; return nil })
	if err != nil {
		return err
	}
	k.dir = k.subject.Workload.NetworkDir
	err = harness.SetKSM(k.dir, map[string]string{"run": "0"})
	if err != nil {
		return &harness.OutOfReach{Reason: "KSM is not switched on and off here: " + err.Error()}
	}
	return k.fleet.start(ctx, repeat(p, 2))
}

func (k *searched) stop(ctx context.Context) error {
	return errors.Join(k.fleet.stop(ctx), harness.RestoreKSM(k.dir))
}

func (k *searched) measure(ctx context.Context) (result.Sample, error) {
	s, err := k.accounts(ctx)
	if err != nil {
		return s, err
	}
	values := map[string]float64{}
	for name, v := range s.Values {
		values["idle_"+name] = v
	}
	begin := harness.Now()
	if k.on {
		err = k.search(ctx)
	} else {
		err = harness.Pause(ctx, ksmControl)
	}
	if err != nil {
		return s, err
	}
	values["between_ns"] = float64(harness.Now() - begin)
	s, err = k.accounts(ctx)
	for name, v := range s.Values {
		values[name] = v
	}
	s.Values = values
	if err != nil {
		return s, err
	}
	// Of the whole host: copies that are kept, and those that were given up for them.
	for _, name := range []string{"pages_shared", "pages_sharing"} {
		n, err := harness.KSMCount(name)
		if err != nil {
			return s, err
		}
		values["ksm_"+name+"_bytes"] = float64(n * int64(os.Getpagesize()))
	}
	return s, nil
}

// search switches KSM on and waits until it has been through all memory some times.
func (k *searched) search(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, ksmPatience, fmt.Errorf("KSM has not been through the memory %d times within %v", ksmScans, ksmPatience))
	defer cancel()
	before, err := harness.KSMCount("full_scans")
	if err != nil {
		return err
	}
	if err := harness.SetKSM(k.dir, map[string]string{"run": "1", "pages_to_scan": strconv.Itoa(ksmPages), "sleep_millisecs": strconv.Itoa(ksmSleep)}); err != nil {
		return err
	}
	for {
		now, err := harness.KSMCount("full_scans")
		if err != nil {
			return err
		}
		if now >= before+ksmScans {
			return nil
		}
		if err := harness.Pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}
