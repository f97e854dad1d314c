package main

import (
	"fmt"
	"math"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"vmctr/report"
	"vmctr/report/result"
)

type compareCommand struct {
	Old              string `arg:"" help:"The folder of a run."`
	New              string `arg:"" help:"The folder of another, on this host or on another one."`
	Format           string `help:"How to print: table, markdown, csv or json." default:"table" placeholder:"FORMAT"`
	Threshold        string `help:"From which change of a median on something that got worse is a regression: two runs on one host differ by a few percent, with its state." default:"5%" placeholder:"5%"`
	FailOnRegression bool   `help:"End with status 1 if there is a regression: worse by the threshold or more, and not by chance (p below 0.05)."`
}

func (c *compareCommand) Run(s streams) error {
	threshold, err := parseShare(c.Threshold)
	if err != nil {
		return &exitError{exitUsage, fmt.Errorf("--threshold %s: %w", c.Threshold, err)}
	}
	if !slices.Contains(report.CompareFormats, c.Format) {
		return &exitError{exitUsage, fmt.Errorf("there is no format %q; the formats are %s", c.Format, strings.Join(report.CompareFormats, ", "))}
	}
	debug.SetMemoryLimit(report.MemoryLimit)
	before, err := result.ReadLean(c.Old)
	if err != nil {
		return err
	}
	after, err := result.ReadLean(c.New)
	if err != nil {
		return err
	}
	comparison := &report.Comparison{Diff: result.NewDiff(before, after), OldName: c.Old, NewName: c.New, Threshold: threshold}
	if err := report.Compare(s.out, comparison, c.Format, width(s.out)); err != nil {
		return err
	}
	if list := comparison.Regressions(); c.FailOnRegression && len(list) > 0 {
		return &exitError{exitFailed, fmt.Errorf("%d of %d values became worse by %s or more", len(list), len(comparison.Rows), c.Threshold)}
	}
	return nil
}

// parseShare reads "5%" and "0.05".
func parseShare(text string) (float64, error) {
	number, isPercent := strings.CutSuffix(strings.TrimSpace(text), "%")
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || v < 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, fmt.Errorf("a share is written 5%% or 0.05")
	}
	if isPercent {
		v /= 100
	}
	return v, nil
}
