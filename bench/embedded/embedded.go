// Package embedded carries the programs that bench starts inside containers
// and machines, so that bin/bench alone is the whole program.
package embedded

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
)

//go:embed all:bin
var files embed.FS

// architectures are those that the workload and PID 1 of a guest are built for.
var architectures = []string{"amd64", "arm64"}

// Workload is the static program that is measured (bench/workload), for this
// host's processor.
func Workload() ([]byte, error) { return program("workload-" + runtime.GOARCH) }

// Workloads is the same program for every architecture that it is built for, by
// the name of the architecture.
func Workloads() (map[string][]byte, error) {
	all := map[string][]byte{}
	for _, a := range architectures {
		p, err := program("workload-" + a)
		if err != nil {
			return nil, err
		}
		all[a] = p
	}
	return all, nil
}

// Guest is PID 1 of a guest (vm/guest) with a processor of an architecture.
func Guest(architecture string) ([]byte, error) { return program("guest-" + architecture) }

// Inside is the program that tries the walls of what it runs in (bench/isolation/inside),
// and Arena the one that has a throwaway machine for itself (bench/isolation/arena).
func Inside() ([]byte, error) { return program("inside-" + runtime.GOARCH) }
func Arena() ([]byte, error)  { return program("arena-" + runtime.GOARCH) }

func program(name string) ([]byte, error) {
	b, err := files.ReadFile("bin/" + name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("this bench was built without its %s program; build it with scripts/build", name)
	}
	return b, err
}
