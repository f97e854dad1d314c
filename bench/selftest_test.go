package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"vmctr/bench/embedded"
	"vmctr/report/result"
	"vmctr/report/selftest"
)

// TestSelftest measures for a moment, which is too short for most checks. What is not ok
// on this host now is not the test's affair: that it is told is.
func TestSelftest(t *testing.T) {
	if _, err := embedded.Workload(); err != nil {
		t.Skip(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	cmd := exec.Command("bench", "selftest", "--time", "10s", "--platforms", "process", "--json", "--out", out, "--seed", "7")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var told struct {
		Seed          uint64
		Samples       int
		FailedSamples int `json:"failed_samples"`
		Checks        []selftest.Check
	}
	if err := json.Unmarshal(stdout.Bytes(), &told); err != nil {
		t.Fatalf("%v\n%s\n%s", err, stdout.String(), stderr.String())
	}
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	if want := len(selftest.Failed(told.Checks)) > 0 || told.FailedSamples > 0; (code == exitFailed) != want || code != exitFailed && code != exitOK {
		t.Errorf("status %d, with %d checks that are not ok and %d failed samples\n%s", code, len(selftest.Failed(told.Checks)), told.FailedSamples, stderr.String())
	}
	verdicts := map[string]selftest.Verdict{}
	for _, c := range told.Checks {
		verdicts[c.Part+", "+c.Name] = c.Verdict
	}
	if v := verdicts["Clock (CLOCK_MONOTONIC), resolution"]; v != selftest.OK {
		t.Errorf("the clock's resolution: %q", v)
	}
	for name, want := range map[string]bool{
		"Delay of the signal, process": true, "Drift of the host, a fixed task": true,
		"A/A: false alarms, one of each a round": false, // there was no time
	} {
		if v, ok := verdicts[name]; !ok || (v != selftest.NotMeasured) != want {
			t.Errorf("%s: %q", name, v)
		}
	}
	run, err := result.Read(out)
	if err != nil {
		t.Fatal(err)
	}
	if len(run.Samples) != told.Samples || told.Samples < 100 || run.Header.Seed != 7 || told.Seed != 7 {
		t.Errorf("%d samples in the journal, told %d; seed %d", len(run.Samples), told.Samples, told.Seed)
	}
	// A and B are dealt out at random, and not one after the other: of 40 in a row, fewer
	// than 10 changes from one to the other come once in a thousand.
	changes, last := 0, ""
	for _, s := range run.Samples {
		if s.Experiment == selftest.AA && !s.Warmup && s.Round == 0 {
			if s.Series != last {
				changes++
			}
			last = s.Series
		}
	}
	if changes < 10 {
		t.Errorf("A and B change places %d times in the first comparison", changes)
	}
	if _, err := exec.LookPath("hyperfine"); err != nil {
		if required("peers") {
			t.Error(err)
		}
		if !strings.Contains(stdout.String(), "scripts/setup selftest") {
			t.Error("it does not say how to get hyperfine")
		}
	} else if len(run.ValuesOf(result.Key{Experiment: selftest.Exit, Platform: "process", Series: selftest.Hyperfine}, "exit_ns")) == 0 {
		t.Errorf("nothing from hyperfine\n%s", stderr.String())
	}
	if processes, rest := of(t, run.Header.ID); len(processes)+len(rest) > 0 {
		t.Errorf("left behind: processes %v, %q", processes, rest)
	}
}
