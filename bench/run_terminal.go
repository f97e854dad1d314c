package main

import (
	"fmt"
	"os"
	"sync"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/term"
)

// The terminal that bench was started from, while a program has it that is elsewhere:
// in a container, or in a machine.

// rawTerminal takes the line discipline off the user's terminal (termios(3), "Raw
// mode"), since the program's has one: what is typed gets there as it is, Ctrl-C too.
// It may be restored more than once, and after an error too.
func rawTerminal() (restore func(), err error) {
	fd := int(os.Stdin.Fd())
	state, err := term.MakeRaw(fd)
	if err != nil {
		return func() {}, fmt.Errorf("making the terminal raw: %w", err)
	}
	return sync.OnceFunc(func() { term.Restore(fd, state) }), nil
}

// windowSize is that of the user's terminal, nil if the standard input is none.
func windowSize() *specs.Box {
	columns, rows, err := term.GetSize(int(os.Stdin.Fd()))
	if err != nil {
		return nil
	}
	return &specs.Box{Height: uint(rows), Width: uint(columns)}
}
