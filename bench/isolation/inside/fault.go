package main

import (
	"errors"
	"os"

	"vmctr/bench/isolation/breakage"
)

func init() {
	verbs[breakage.Verb] = breakDown
	verbs[breakage.WitnessVerb] = func([]string) error {
		begun()
		return breakage.Breathe(os.Stdout)
	}
	verbs[breakage.NothingVerb] = func([]string) error { return nil }
}

// breakDown breaks what it runs in: inside fault KIND [ask].
func breakDown(args []string) error {
	if len(args) == 0 || len(args) > 2 || len(args) == 2 && args[1] != "ask" {
		return errors.New("usage: inside fault KIND [ask]")
	}
	begun()
	return breakage.Do(args[0], len(args) == 2, os.Stdout)
}
