// Inside is the program that runs in a container or a machine to find out how well that
// is closed: it looks around, tries the walls, works, and disturbs its neighbours. What
// its attempts have come to is judged from outside (package bench/isolation/probe).
//
//	inside VERB [ARGUMENT]...
//
// Its first line of output is the workload's, "first-instruction", so that the platforms
// know that it is up. Then come lines of JSON.
package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
)

// verbs are what it does, each in a file of its own.
var verbs = map[string]func(args []string) error{}

func main() {
	if len(os.Args) < 2 || verbs[os.Args[1]] == nil {
		fail(fmt.Errorf("usage: inside VERB [ARGUMENT]..., and the verbs are %q", slices.Sorted(maps.Keys(verbs))))
	}
	if err := verbs[os.Args[1]](os.Args[2:]); err != nil {
		fail(err)
	}
}

// begun gives the sign that it runs. A verb that another process of it does gives none.
func begun() { fmt.Println("first-instruction") }

func fail(err error) {
	fmt.Fprintln(os.Stderr, "inside:", err)
	os.Exit(1)
}
