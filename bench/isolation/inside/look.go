package main

import (
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"time"

	"vmctr/bench/isolation/calls"
	"vmctr/bench/isolation/look"
)

func init() {
	verbs["look"] = lookAround
	for _, verb := range []string{calls.FilterVerb, calls.ExecuteVerb} {
		verbs[verb] = func([]string) error { return calls.Child(verb) }
	}
}

// lookAround tells what it sees and what it may do: inside look LAST, a line of JSON each.
// It tries all system calls up to number LAST, and none if that is -1. Then it waits, so
// that it can be looked at from outside.
func lookAround(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: inside look LAST")
	}
	last, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	begun()
	out := json.NewEncoder(os.Stdout)
	var here look.System
	if err := out.Encode(here.Report()); err != nil {
		return err
	}
	p := here.Privileges()
	p.Devices, p.Knobs = here.Devices(), here.Knobs()
	if last >= 0 {
		if p.Calls, err = calls.Try(last); err != nil {
			p.CallsError = err.Error()
		}
	}
	if err := out.Encode(p); err != nil {
		return err
	}
	time.Sleep(time.Minute)
	return nil
}
