package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"vmctr/container"
)

// containerState is what state and list print: the state of the specification
// (runtime.md, "State"), and what runc adds to it.
type containerState struct {
	specs.State
	Rootfs  string    `json:"rootfs"`
	Created time.Time `json:"created"`
	Owner   string    `json:"owner"`
}

func stateOf(h *container.Handle) containerState {
	s := containerState{State: h.OCIState(), Created: h.Created}
	if root := h.Spec().Root; root != nil {
		if s.Rootfs = root.Path; !filepath.IsAbs(s.Rootfs) {
			s.Rootfs = filepath.Join(h.Bundle, s.Rootfs)
		}
	}
	return s
}

func state(_ context.Context, g *globals, args []string) (int, error) {
	h, err := find(g, "state", args)
	if err != nil {
		return 0, err
	}
	b, err := json.MarshalIndent(stateOf(h), "", "  ")
	if err != nil {
		return 0, err
	}
	_, err = fmt.Fprintf(g.stdout, "%s\n", b)
	return 0, err
}

func writeJSON(w io.Writer, v any) error { return json.NewEncoder(w).Encode(v) }

// format adds the flag of how to print.
func format(fs flagSet) *string {
	f := fs.String("format", "table", "")
	fs.StringVar(f, "f", "table", "")
	return f
}

func checkFormat(f string) error {
	if f != "table" && f != "json" {
		return errUsage{fmt.Sprintf("--format %q: table or json is expected", f)}
	}
	return nil
}

func list(_ context.Context, g *globals, args []string) (int, error) {
	fs := flags("list")
	format, quiet := format(fs), fs.Bool("quiet", false, "")
	fs.BoolVar(quiet, "q", false, "")
	if _, err := parse(fs, args, 0, 0); err != nil {
		return 0, err
	}
	if err := checkFormat(*format); err != nil {
		return 0, err
	}
	all, err := container.List(g.root)
	if err != nil {
		return 0, err
	}
	states := []containerState{}
	for _, h := range all {
		states = append(states, stateOf(h))
	}
	switch {
	case *quiet:
		for _, s := range states {
			fmt.Fprintln(g.stdout, s.ID)
		}
	case *format == "json":
		return 0, writeJSON(g.stdout, states)
	default:
		fmt.Fprintf(g.stdout, "%-24s %-8s %-9s %-20s %s\n", "ID", "PID", "STATUS", "CREATED", "BUNDLE")
		for _, s := range states {
			fmt.Fprintf(g.stdout, "%-24s %-8d %-9s %-20s %s\n", s.ID, s.Pid, s.Status, s.Created.Format(time.RFC3339), s.Bundle)
		}
	}
	return 0, nil
}

func ps(ctx context.Context, g *globals, args []string) (int, error) {
	fs := flags("ps")
	format := format(fs)
	if err := fs.Parse(args); err != nil {
		return 0, wrongFlag(fs, err)
	}
	if err := checkFormat(*format); err != nil {
		return 0, err
	}
	if fs.NArg() == 0 {
		return 0, errUsage{"ps: no container is named"}
	}
	h, err := container.Load(g.root, fs.Arg(0))
	if err != nil {
		return 0, err
	}
	pids, err := h.Processes()
	if err != nil {
		return 0, err
	}
	if *format == "json" {
		return 0, writeJSON(g.stdout, append([]int{}, pids...))
	}
	options := fs.Args()[1:]
	if len(options) == 0 {
		options = []string{"-ef"}
	}
	cmd := exec.CommandContext(ctx, "ps", options...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return 0, fmt.Errorf("%w; Debian's package procps has it, and --format json needs none", err)
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w: %s", cmd, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return 0, processLines(g.stdout, string(out), pids)
}

// processLines prints what ps(1) says of some processes.
func processLines(w io.Writer, text string, pids []int) error {
	head, lines, _ := strings.Cut(text, "\n")
	column := slices.Index(strings.Fields(head), "PID")
	if column < 0 {
		return errUsage{fmt.Sprintf("ps: its output has no column PID: %q", head)}
	}
	fmt.Fprintln(w, head)
	for line := range strings.Lines(lines) {
		f := strings.Fields(line)
		if len(f) <= column {
			continue
		}
		if pid, err := strconv.Atoi(f[column]); err == nil && slices.Contains(pids, pid) {
			fmt.Fprint(w, line)
		}
	}
	return nil
}
