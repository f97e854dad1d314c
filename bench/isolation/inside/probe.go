package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"

	"vmctr/bench/isolation/probe"
)

func init() {
	verbs["probe"] = tryAll
	verbs[probe.BatchVerb] = batch
	verbs[probe.WithinVerb] = probe.Within
	verbs[probe.WitnessVerb] = func([]string) error { return probe.Witness(os.Stdin, os.Stdout) }
	verbs[probe.SleepVerb] = func(args []string) error {
		if len(args) != 2 {
			return errors.New("usage: inside " + probe.SleepVerb + " PARENT WORD")
		}
		parent, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		return probe.Sleep(parent)
	}
}

// tryAll tries all probes of a plan, and prints what came of each.
func tryAll(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: inside probe PLAN")
	}
	begun()
	// Which kernel it is that serves the attempts (random(4)).
	if id := probe.BootID(); id != "" {
		fmt.Printf("{\"boot_id\":%q}\n", id)
	}
	var plan probe.Plan
	if err := json.Unmarshal([]byte(args[0]), &plan); err != nil {
		return err
	}
	return probe.Try(plan, os.Stdout)
}

// batch tries some of them, in a process that they may break.
func batch(args []string) error { return probe.Batch(os.Stdin, os.Stdout) }
