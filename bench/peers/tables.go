package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"

	"vmctr/report/result"
)

// table prints rows: the first column to the left, the others to the right.
func table(w io.Writer, header []string, rows [][]string) error {
	t := tablewriter.NewTable(w,
		// tablewriter would print "95% interval" as "95 % INTERVAL".
		tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithRowAutoWrap(tw.WrapNone),
		tablewriter.WithTrimSpace(tw.Off),
		tablewriter.WithHeaderAlignment(tw.AlignRight),
		tablewriter.WithAlignment(append(tw.Alignment{tw.AlignLeft}, slices.Repeat(tw.Alignment{tw.AlignRight}, len(header)-1)...)),
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Symbols:  tw.NewSymbols(tw.StyleLight),
			Borders:  tw.Border{Left: tw.Off, Right: tw.Off, Top: tw.On, Bottom: tw.On},
			Settings: tw.Settings{Separators: tw.Separators{BetweenRows: tw.Off, BetweenColumns: tw.Off}},
		})),
	)
	t.Header(header)
	if err := t.Bulk(rows); err != nil {
		return err
	}
	return t.Render()
}

// A target is what this project set itself: the ratio of two subjects at most.
type target struct {
	subject, base string
	most          float64 // 0 for none: the ratio is there to be read
}

var targets = []target{
	{benchOCI, crun, 0.5},
	{benchOCI, runc, 0.3},
	{libraryLo, limitLo, 1.5},
	{libraryVeth, limitVeth, 1.5},
	{benchOCI, limitRun, 0},
	{crun, limitRun, 0},
	{runc, limitRun, 0},
}

// verdict compares a ratio's interval with a target.
func verdict(r result.Ratio, most float64) string {
	switch {
	case most == 0:
		return ""
	case r.High <= most:
		return "reached"
	case r.Low > most:
		return "missed"
	default: // the interval holds it, or there is none
		return "open"
	}
}

// ratio is a row of the ratio of two subjects' medians, beside its target.
func (t target) ratio(name string, values, base []float64, seed uint64) []string {
	r, most := result.Compare(values, base, seed), ""
	if t.most > 0 {
		most = "≤ " + result.FormatRatio(t.most)
	}
	return []string{name, result.FormatRatio(r.Ratio), r.FormatInterval(), most, verdict(r, t.most)}
}

// ratioHeader is the header of such rows.
var ratioHeader = []string{"", "ratio", "95% interval", "target", ""}

func (s *samples) print(w io.Writer, seed uint64) error {
	for _, series := range []string{backToBack, afterIdling} {
		var rows [][]string
		for _, name := range s.order {
			row := []string{name}
			n := 0
			for _, end := range []string{firstEnd, exitEnd} {
				sum := result.Summarize(s.values[[3]string{series, name, end}])
				row = append(row, result.FormatValue(sum.Median, "ns"), sum.FormatInterval("ns"))
				n = sum.N
			}
			rows = append(rows, append(row, strconv.Itoa(n), strconv.Itoa(len(s.errs[[2]string{series, name}]))))
		}
		fmt.Fprintf(w, "\nStart, %s\n", series)
		if err := table(w, []string{"", firstEnd, "95% interval", exitEnd, "95% interval", "n", "failed"}, rows); err != nil {
			return err
		}
	}
	var rows [][]string
	for _, t := range targets {
		if !slices.Contains(s.order, t.subject) || !slices.Contains(s.order, t.base) {
			continue
		}
		rows = append(rows, []string{t.subject + " / " + t.base, "", "", "", ""})
		for _, series := range []string{backToBack, afterIdling} {
			for _, end := range []string{firstEnd, exitEnd} {
				rows = append(rows, t.ratio("  "+end+", "+series, s.values[[3]string{series, t.subject, end}], s.values[[3]string{series, t.base, end}], seed))
			}
		}
	}
	fmt.Fprintln(w, "\nRatios of the medians")
	return table(w, ratioHeader, rows)
}
