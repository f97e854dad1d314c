// Arena has a throwaway machine for itself: it is the host there, starts processes and
// containers with and without each of the walls, and tells what becomes of them. What it
// breaks is switched off with the machine.
//
//	arena VERB [ARGUMENT]...
//
// Like the program inside, it begins with the line "first-instruction", and then prints
// lines of JSON.
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
	if os.Getppid() != 1 || len(os.Args) < 2 || verbs[os.Args[1]] == nil {
		fail(fmt.Errorf("usage, in a machine of its own: arena VERB [ARGUMENT]..., and the verbs are %q", slices.Sorted(maps.Keys(verbs))))
	}
	fmt.Println("first-instruction")
	if err := verbs[os.Args[1]](os.Args[2:]); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "arena:", err)
	os.Exit(1)
}
