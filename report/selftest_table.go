package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"

	"vmctr/report/result"
	"vmctr/report/selftest"
)

// Selftest prints the checks of a selftest, and below them what else is to be known of
// each. No line of what is below is longer than width.
func Selftest(w io.Writer, run *result.Run, all []selftest.Check, width int) error {
	var b strings.Builder
	t := tablewriter.NewTable(&b,
		tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithRowAutoWrap(tw.WrapNone),
		tablewriter.WithTrimSpace(tw.Off),
		tablewriter.WithHeaderAlignment(tw.AlignLeft),
		tablewriter.WithAlignment(tw.Alignment{tw.AlignLeft, tw.AlignLeft, tw.AlignLeft, tw.AlignLeft}),
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Symbols:  tw.NewSymbols(tw.StyleLight),
			Borders:  tw.Border{Left: tw.Off, Right: tw.Off, Top: tw.On, Bottom: tw.On},
			Settings: tw.Settings{Separators: tw.Separators{BetweenRows: tw.Off, BetweenColumns: tw.Off}},
		})),
	)
	t.Header("", "found, 95% interval", "expected", "verdict")
	part := ""
	for _, c := range all {
		if c.Part != part {
			part = c.Part
			if err := t.Append(part, "", "", ""); err != nil {
				return err
			}
		}
		if err := t.Append("  "+clean(c.Name), cmpOr(clean(c.Found), "–"), cmpOr(c.Wanted, "–"), string(c.Verdict)); err != nil {
			return err
		}
	}
	if err := t.Render(); err != nil {
		return fmt.Errorf("setting the table: %w", err)
	}
	for _, line := range selftest.Notes(run, all) {
		fill(&b, "", clean(line), width)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
