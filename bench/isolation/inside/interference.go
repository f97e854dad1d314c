package main

import (
	"errors"
	"os"
	"strconv"
	"time"

	"vmctr/bench/isolation/interference"
)

func init() {
	verbs[interference.VictimVerb] = victim
	verbs[interference.NeighbourVerb] = neighbour
	verbs[interference.HogVerb] = hog
}

// victim measures itself: inside victim WINDOW COUNT ADDRESS.
func victim(args []string) error {
	if len(args) != 3 {
		return errors.New("usage: inside victim WINDOW COUNT ADDRESS")
	}
	window, err := time.ParseDuration(args[0])
	if err != nil {
		return err
	}
	count, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	begun()
	return interference.Victim(os.Stdout, args[2], window, count)
}

// neighbour disturbs others, once it is told to: inside neighbour ADDRESS.
func neighbour(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: inside neighbour ADDRESS")
	}
	begun()
	return interference.Neighbour(os.Stdout, args[0])
}

// hog takes memory, for a neighbour: inside neighbour-hog BYTES NANOSECONDS.
func hog(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: inside neighbour-hog BYTES NANOSECONDS")
	}
	bytes, err := strconv.ParseInt(args[0], 10, 64)
	if err != nil {
		return err
	}
	ns, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return err
	}
	return interference.Hog(bytes, time.Duration(ns))
}
