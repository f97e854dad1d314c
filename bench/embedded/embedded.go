// Package embedded carries the programs that bench starts inside containers
// and machines, so that bin/bench alone is the whole program.
package embedded

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
)

//go:embed all:bin
var files embed.FS

// Workload is the static program that is measured (bench/workload).
func Workload() ([]byte, error) { return program("workload") }

// Guest is PID 1 of a guest (vm/guest).
func Guest() ([]byte, error) { return program("guest") }

func program(name string) ([]byte, error) {
	b, err := files.ReadFile("bin/" + name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("this bench was built without its %s program; build it with scripts/build", name)
	}
	return b, err
}
