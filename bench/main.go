// Bench measures what a lecture on containers says of them: the same program
// is started as a process, in a container and in a virtual machine, and the
// lecture's table is filled with what this machine shows.
//
// This package is the command line. What is measured is in bench/experiment,
// how in bench/harness, on what in bench/platform, and report draws it.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/alecthomas/kong"

	"vmctr/bench/harness"
	"vmctr/bench/platform"
)

func main() { os.Exit(bench(os.Args[1:], os.Stdout, os.Stderr)) }

// version is set by scripts/build.
var version = ""

// The exit codes of bench.
const (
	exitOK          = 0
	exitFailed      = 1   // something failed, or a platform could not be measured
	exitUsage       = 2   // the command line makes no sense
	exitInterrupted = 130 // as a shell reports SIGINT
)

// command is the whole command line: a subcommand is a type with a Run method.
type command struct {
	All      allCommand      `cmd:"" help:"Measure everything and write the report: the one command of a lab."`
	Report   reportCommand   `cmd:"" help:"Make the report again from the journal of a run. Needs no root."`
	Compare  compareCommand  `cmd:"" help:"Say what changed from one run to another, by how much and how surely. Needs no root."`
	Run      runCommand      `cmd:"" help:"Run a program in a container, as docker run does."`
	Look     lookCommand     `cmd:"" help:"Show what a program sees in a container or a machine, beside what the host has."`
	Image    imageCommand    `cmd:"" help:"Get, build, look at and remove images."`
	Selftest selftestCommand `cmd:"" help:"Let the harness measure itself: clock, delay, drift, false alarms, what it finds."`
	Doctor   doctorCommand   `cmd:"" help:"Say what this host can measure, what is missing, and how to get it."`
	Clean    cleanCommand    `cmd:"" help:"Remove what a run that was killed left behind."`
	Help     helpCommand     `cmd:"" help:"Show this text, or that of a command."`
	Version  versionCommand  `cmd:"" help:"Show the version of bench."`
}

// streams are where a command writes: figures to out, all else to err.
type streams struct{ out, err io.Writer }

// exitError ends bench with a code of its own; its text was printed already if
// it has none.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return fmt.Sprint(e.err) }
func (e *exitError) Unwrap() error { return e.err }

// bench is the whole program, so that tests can run it.
func bench(args []string, stdout, stderr io.Writer) int {
	s := streams{stdout, stderr}
	parser, err := newParser(&command{}, s, kong.Exit(func(int) { panic(helpShown{}) }))
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return exitFailed
	}
	return run(parser, args, s)
}

func newParser(cmd *command, s streams, exit kong.Option) (*kong.Kong, error) {
	return kong.New(cmd,
		kong.Name("bench"),
		kong.Description("Virtual machines and containers, measured: the same program from the same image as a process, in a container and in a virtual machine."),
		kong.Writers(s.out, s.err),
		kong.Vars{"profiles": profileNames(), "platforms": strings.Join(platform.Names(), ", "), "experiments": experimentNames(), "groups": groupNames(), "longer": longerNames(), "aims": aimNames(), "recipes": recipeNames()},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 80}),
		exit,
	)
}

// helpShown ends the parsing once kong has printed its help.
type helpShown struct{}

func run(parser *kong.Kong, args []string, s streams) (code int) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case helpShown:
			code = exitOK
		default:
			panic(r)
		}
	}()
	if len(args) == 0 {
		args = []string{"help"}
	}
	ctx, err := parser.Parse(args)
	if err != nil {
		if args[0] == "run" { // whose codes are docker's
			fmt.Fprintf(s.err, "bench: %v\nTry: bench help run\n", err)
			return exitRun
		}
		fmt.Fprintf(s.err, "bench: %v\nTry: bench help\n", err)
		return exitUsage
	}
	err = ctx.Run(s, parser)
	var exit *exitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exit):
		if exit.err != nil {
			fmt.Fprintln(s.err, "bench:", exit.err)
		}
		return exit.code
	case errors.Is(err, harness.ErrInterrupted):
		fmt.Fprintln(s.err, "bench:", err)
		return exitInterrupted
	default:
		fmt.Fprintln(s.err, "bench:", err)
		return exitFailed
	}
}

type versionCommand struct{}

func (versionCommand) Run(s streams) error {
	fmt.Fprintln(s.out, "bench", buildVersion())
	return nil
}

func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

type helpCommand struct {
	Command []string `arg:"" optional:"" help:"The command to explain."`
}

func (h helpCommand) Run(parser *kong.Kong) error {
	_, err := parser.Parse(append(h.Command, "--help"))
	return &exitError{exitUsage, err} // not reached when there is such a command
}
