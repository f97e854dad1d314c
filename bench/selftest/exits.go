package selftest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/bench/harness"
	"vmctr/bench/platform"
	"vmctr/report/result"
	checks "vmctr/report/selftest"
)

// How many runs a block has: enough for a median, and some tenths of a second at most. One
// more, before them, is not counted.
var blockRuns = map[string]int{"process": 20, "crun": 6, "runc": 5}

// exits times the same commands as hyperfine does, in alternating blocks.
func (t *Test) exits(ctx context.Context) (err error) {
	program, record := findHyperfine(ctx)
	if err := t.Harness.Journal.Append(result.Record{Platform: &record}); err != nil {
		return err
	}
	if record.Status != result.Ready {
		t.Harness.Progress.Say("start to exit is not compared: %s; %s", record.Reason, record.Fix)
		return nil
	}
	p := harness.Plan{Experiment: checks.Exit, Warmups: 1, Rounds: 30, Budget: time.Duration(exitShare * float64(t.Time))}
	for _, name := range checks.Commands {
		s, ok := t.subject(name)
		if !ok {
			continue
		}
		commanded, ok := s.Prepared.(platform.Commanded)
		if !ok {
			return fmt.Errorf("%s has no command", name)
		}
		c, err := commanded.Command()
		if err != nil {
			t.Harness.Progress.Say("start to exit of %s is not compared: %v", name, err)
			p.Trials = append(p.Trials, harness.Trial{Platform: name, Series: checks.Own, Measure: func(context.Context) (result.Sample, error) { return result.Sample{}, err }})
			continue
		}
		defer func() { err = errors.Join(err, c.Close()) }()
		p.Trials = append(p.Trials,
			harness.Trial{Platform: name, Series: checks.Own, Fault: fault, Measure: func(ctx context.Context) (result.Sample, error) { return runBlock(ctx, c, blockRuns[name]) }},
			harness.Trial{Platform: name, Series: checks.Hyperfine, Fault: fault, Measure: func(ctx context.Context) (result.Sample, error) {
				return hyperfineBlock(ctx, program, c, blockRuns[name])
			}})
	}
	p.Deadline = deadline
	return t.Harness.Rounds(ctx, p)
}

// findHyperfine looks for the program, and says how to get it.
func findHyperfine(ctx context.Context) (string, result.Platform) {
	record := result.Platform{Name: checks.Hyperfine, Title: "hyperfine", Status: result.Unavailable, Fix: "install it: sudo scripts/setup selftest, or apt-get install hyperfine"}
	program, err := exec.LookPath("hyperfine")
	if err != nil {
		record.Reason = "hyperfine is not installed"
		return "", record
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	version, err := exec.CommandContext(ctx, program, "--version").Output()
	if err != nil {
		record.Reason, record.Fix = fmt.Sprintf("%s --version: %v", program, err), "install it anew"
		return "", record
	}
	record.Status, record.Fix = result.Ready, ""
	record.Details = map[string]string{"version": strings.TrimSpace(string(version)), "path": program}
	return program, record
}

// sampleOf is a block of runs, each of which is kept.
func sampleOf(runs []float64) result.Sample {
	if len(runs) == 0 {
		return result.Sample{}
	}
	return result.Sample{
		Values: map[string]float64{"exit_ns": result.Summarize(runs).Median},
		Each:   map[string][]float64{"exit_ns": runs},
	}
}

func runBlock(ctx context.Context, c *platform.Command, n int) (result.Sample, error) {
	var runs []float64
	for i := range n + 1 {
		begin, end, err := c.Run(ctx)
		if err != nil {
			return sampleOf(runs), err
		}
		if i > 0 {
			runs = append(runs, float64(end-begin))
		}
	}
	return sampleOf(runs), nil
}

// hyperfineBlock has hyperfine do the same: without a shell, with /dev/null for the
// standard streams, which is its default.
func hyperfineBlock(ctx context.Context, program string, c *platform.Command, n int) (result.Sample, error) {
	// A file in memory, which it finds by our number wherever it is started: it need not
	// see our folders, nor does a descriptor pass on to what it times.
	fd, err := unix.MemfdCreate("hyperfine.json", unix.MFD_CLOEXEC)
	if err != nil {
		return result.Sample{}, os.NewSyscallError("memfd_create", err)
	}
	export := os.NewFile(uintptr(fd), "hyperfine.json")
	defer export.Close()
	cmd := exec.CommandContext(ctx, program, "--shell=none", "--style", "none", "--warmup", "1", "--runs", strconv.Itoa(n),
		"--export-json", fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd), commandLine(c.Args))
	cmd.Env, cmd.Dir = c.Env, c.Dir
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	// What it has started ends with it; a container's group is removed with the run's.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	if err = c.In(cmd.Start); err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return result.Sample{}, fmt.Errorf("hyperfine: %w: %s", err, strings.TrimSpace(said.String()))
	}
	text, err := io.ReadAll(io.NewSectionReader(export, 0, 1<<20))
	if err != nil {
		return result.Sample{}, err
	}
	runs, err := parseHyperfine(text)
	if err == nil && len(runs) != n {
		err = fmt.Errorf("hyperfine made %d runs of %d", len(runs), n)
	}
	return sampleOf(runs), err
}

// parseHyperfine reads the times, in nanoseconds, of its --export-json.
func parseHyperfine(text []byte) ([]float64, error) {
	var export struct {
		Results []struct {
			Times     []float64 `json:"times"` // seconds
			ExitCodes []*int    `json:"exit_codes"`
		} `json:"results"`
	}
	if err := json.Unmarshal(text, &export); err != nil {
		return nil, fmt.Errorf("what hyperfine exported: %w", err)
	}
	if len(export.Results) != 1 || len(export.Results[0].Times) == 0 {
		return nil, fmt.Errorf("what hyperfine exported has %d results where one was asked for, with times", len(export.Results))
	}
	for _, code := range export.Results[0].ExitCodes {
		if code == nil || *code != 0 {
			return nil, errors.New("hyperfine: a command failed, or was killed")
		}
	}
	var runs []float64
	for _, s := range export.Results[0].Times {
		runs = append(runs, s*1e9)
	}
	return runs, nil
}

// commandLine quotes arguments as hyperfine takes them apart, which is as a shell does.
func commandLine(args []string) string {
	var quoted []string
	for _, a := range args {
		quoted = append(quoted, "'"+strings.ReplaceAll(a, "'", `'\''`)+"'")
	}
	return strings.Join(quoted, " ")
}
