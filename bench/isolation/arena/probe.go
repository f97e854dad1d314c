package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"vmctr/bench/isolation/probe"
	"vmctr/report/result/isolation"
)

func init() { verbs["probe"] = probeAll }

// variantPatience is how long all probes may take in one variant. Each attempt has its
// own patience (package probe).
const variantPatience = 30 * time.Second

// allPatience is how long all variants may take. On a quiet host they need a minute, in
// an emulated machine too; those that are left then are not tried, which is in the journal.
const allPatience = 3 * time.Minute

// probeAll tries the probes in the variants that are named, or in all, and prints a
// Probing for each when it is done: a machine that hangs loses only the rest.
func probeAll(variants []string) error {
	if len(variants) == 0 {
		variants = isolation.Variants()
	}
	begin, n := time.Now(), 0
	return eachVariant(variants, func() bool { return time.Since(begin) > allPatience }, func(v string) isolation.Probing {
		n++
		return probing(v, filepath.Join("/run", fmt.Sprint("canaries-", n)))
	}, json.NewEncoder(os.Stdout).Encode)
}

// eachVariant tries each, but controls alone when the time is over. A control that failed
// is tried once more, which is in the journal as well: an emulated machine that has just
// booted, or whose host is busy, is slow.
func eachVariant(variants []string, over func() bool, try func(variant string) isolation.Probing, say func(any) error) error {
	for _, v := range variants {
		var p isolation.Probing
		if v != isolation.Bare && over() {
			p = isolation.Probing{Variant: v, BootID: probe.BootID(), HostBootID: probe.BootID(), Error: fmt.Sprintf("not tried: the variants before it took longer than the %v that there are for all", allPatience)}
		} else {
			p = try(v)
		}
		if err := say(p); err != nil {
			return err
		}
		if v == isolation.Bare && isolation.FailedControls([]isolation.Probing{p}) != nil {
			if err := say(try(v)); err != nil {
				return err
			}
		}
	}
	return nil
}

// probing goes through all probes in one variant.
func probing(variant, dir string) isolation.Probing {
	p := isolation.Probing{Variant: variant, BootID: probe.BootID(), HostBootID: probe.BootID()}
	begin := time.Now()
	findings, err := tryIn(variant, dir)
	p.Findings, p.Ns = findings, int64(time.Since(begin))
	if err != nil {
		p.Error = err.Error()
	}
	return p
}

func tryIn(variant, dir string) (findings []isolation.Finding, err error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), variantPatience, fmt.Errorf("the probes were not done within %v", variantPatience))
	defer cancel()
	if _, err := theEngine(); err != nil { // its mounts come before the canaries
		return nil, err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	s, err := probe.Open(dir, program)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	plan, err := json.Marshal(s.Plan)
	if err != nil {
		return nil, err
	}
	r, err := start(ctx, variant, "probe", string(plan))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Stop()) }()
	defer r.Until(ctx)()
	attempts, err := read(r.Stdout)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return s.Judge(attempts), err
}

// read reads what the program inside prints, until it ends.
func read(out io.Reader) (attempts []probe.Attempt, err error) {
	in := bufio.NewScanner(out)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		if in.Text() == "first-instruction" {
			continue
		}
		var a struct {
			BootID string `json:"boot_id"`
			probe.Attempt
		}
		if err := json.Unmarshal(in.Bytes(), &a); err != nil {
			return attempts, fmt.Errorf("an attempt, %.200q: %w", in.Text(), err)
		}
		if a.BootID == "" { // which is this machine's
			attempts = append(attempts, a.Attempt)
		}
	}
	return attempts, in.Err()
}
