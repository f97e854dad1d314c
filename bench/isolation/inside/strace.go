package main

import (
	"os"
	"strconv"

	"vmctr/bench/isolation/strace"
)

// On the host this program is also the tracer.
func init() {
	verbs[strace.EndVerb] = func([]string) error { return strace.End() }
	verbs[strace.Verb] = func(args []string) error {
		var pids []int
		for _, a := range args {
			pid, err := strconv.Atoi(a)
			if err != nil {
				return err
			}
			pids = append(pids, pid)
		}
		return strace.Trace(pids, os.Stdout)
	}
}
