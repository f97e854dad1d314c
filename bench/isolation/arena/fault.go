package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"vmctr/bench/isolation/breakage"
	"vmctr/report/result/isolation"
)

func init() { verbs["fault"] = faults }

// faults breaks things in this machine, which is the host here: arena fault OF/KIND..., of
// "process" and "container" and isolation.FaultKinds. It prints breakage.Lines. Beside them are
// two witnesses: a process of the host, and a container.
func faults(args []string) error {
	ctx := context.Background()
	var watches []*breakage.Watch
	for _, w := range []struct{ who, variant string }{{"host", isolation.Bare}, {"neighbour", isolation.Contained}} {
		r, err := start(ctx, w.variant, breakage.WitnessVerb)
		if err != nil {
			return fmt.Errorf("starting the witness %s: %w", w.who, err)
		}
		defer r.Stop()
		watch := breakage.NewWatch(w.who)
		watches = append(watches, watch)
		go watch.Listen(r.Stdout)
	}
	for _, w := range watches {
		if err := w.Ready(ctx); err != nil {
			return err
		}
	}
	out := json.NewEncoder(os.Stdout)
	for _, a := range args {
		of, kind, ok := strings.Cut(a, "/")
		variant := map[string]string{"process": isolation.Bare, "container": isolation.Contained}[of]
		if !ok || variant == "" {
			return fmt.Errorf("%q is no fault of a process or a container", a)
		}
		if err := out.Encode(breakage.Line{Next: a}); err != nil {
			return err
		}
		for _, w := range watches {
			w.Begin()
		}
		f := breakage.Facts{Kind: kind, Of: of}
		if variant == isolation.Contained {
			f.Pids = limitPids
		}
		if err := breakOne(ctx, variant, &f); err != nil {
			return fmt.Errorf("%s: %w", a, err)
		}
		time.Sleep(breakage.Settle)
		for _, w := range watches {
			f.Witnesses = append(f.Witnesses, w.Result())
		}
		judged := f.Judge()
		if err := out.Encode(breakage.Line{Fault: &judged}); err != nil {
			return err
		}
	}
	return nil
}

// breakOne does one fault, and gathers what is known of it.
func breakOne(ctx context.Context, variant string, f *breakage.Facts) (err error) {
	ctx, cancel := context.WithTimeout(ctx, breakage.MostTime+3*time.Second)
	defer cancel()
	r, err := start(ctx, variant, breakage.Verb, f.Kind)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Stop()) }()
	defer r.Until(ctx)()
	in := bufio.NewScanner(r.Stdout)
	for in.Scan() {
		var report breakage.Report
		if json.Unmarshal(in.Bytes(), &report) == nil { // the first line is none
			f.Heard = append(f.Heard, report)
		}
	}
	status, err := r.Wait(ctx)
	if err != nil {
		f.Late = true
		return nil
	}
	f.Ended = status.String()
	f.Killed, f.Global = killed(r)
	return nil
}

// killed tells whether the kernel has killed a process of it for want of memory, and
// whether it was the host's memory and not that of its limit (memory.events in cgroup-v2.rst:
// "oom" counts only the latter).
func killed(r *running) (yes, global bool) {
	b, err := os.ReadFile(filepath.Join(r.Cgroup().Paths()[""], "memory.events"))
	if err != nil {
		return false, false
	}
	events := map[string]int{}
	for line := range strings.Lines(string(b)) {
		var name string
		var n int
		if _, err := fmt.Sscan(line, &name, &n); err == nil {
			events[name] = n
		}
	}
	return events["oom_kill"] > 0, events["oom_kill"] > 0 && events["oom"] == 0
}
