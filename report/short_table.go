package report

import "fmt"

// shortTable has a row for each platform: the first of the metrics with its interval and
// ratio, and the median of each other. The figures in full are [model.figureTable].
func (m *model) shortTable(all []measured, caption string) *table {
	first, t := all[0], &table{Caption: caption}
	right := func(title string) { t.Columns = append(t.Columns, column{Title: title, Right: true}) }
	t.Columns = append(t.Columns, column{Title: "Platform", Wide: 1})
	right("n")
	right(first.Short)
	right("95% interval")
	if first.Base != nil {
		right("Ratio to " + first.Base.Name)
	}
	for _, ms := range all[1:] {
		right(ms.Short)
	}
	for _, f := range first.Figures {
		s := f.Summary
		row := []string{f.Platform.label(), fmt.Sprint(s.N), "–", m.absent(first, f.Platform)}
		if s.N > 0 {
			row[2], row[3] = value(s.Median, first.unit()), interval(s, first.unit())
		}
		if first.Base != nil {
			row = append(row, first.ratioCell(f))
		}
		for _, ms := range all[1:] {
			cell := "–"
			switch other := ms.figure(f.Platform).Summary; {
			case other.N > 0:
				cell = value(other.Median, ms.unit())
			case s.N > 0:
				cell = m.absent(ms, f.Platform)
			}
			row = append(row, cell)
		}
		t.Rows = append(t.Rows, row)
	}
	t.Notes = m.shortNotes(first)
	return t
}

// ratioCell is the ratio of a figure to the base, in a table.
func (ms measured) ratioCell(f figureOf) string {
	switch {
	case f.Ratio != nil:
		return ratio(*f.Ratio)
	case f.Platform == ms.Base && f.Summary.N > 0:
		return "1"
	default:
		return "–"
	}
}

// shortNotes explain what a short table has marked.
func (m *model) shortNotes(ms measured) (notes []string) {
	few, absent := false, []string{}
	emulated := false
	for _, f := range ms.Figures {
		emulated = emulated || f.Platform.Emulated && f.Summary.N > 0
		few = few || f.Summary.N > 0 && !f.Summary.HasInterval()
		if f.Summary.N == 0 {
			absent = append(absent, f.Platform.label()+" ("+m.absent(ms, f.Platform)+")")
		}
	}
	if emulated {
		notes = append(notes, emulatedNote)
	}
	if few {
		notes = append(notes, "No interval: there are fewer than the six samples that it needs.")
	}
	if len(absent) > 0 {
		notes = append(notes, "Without a figure: "+list(absent)+"; the appendix says why.")
	}
	return notes
}
