package report

import (
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"

	"vmctr/report/result"
)

// csvColumns are the columns of the raw values, one value a row ("long form"), so
// that what is measured can grow without changing them.
var csvColumns = []string{"experiment", "platform", "emulated", "series", "n", "round", "position", "warmup", "at_ns", "disturbed", "outcome", "fault", "error",
	"name", "unit", "instance", "value"}

// CSV writes every value of a run, raw, as R and pandas read it (RFC 4180): that of
// warm-ups, failed and disturbed samples too, marked as such. A sample without a
// value has a row with none, so that failures can be counted. Instance counts, from
// 0, those that were started together; else it is empty. Phases and identities
// are not values, and stay in the journal. A run that was read by [result.Stream] is enough.
func CSV(w io.Writer, run *result.Run) error {
	out := csv.NewWriter(w)
	if err := out.Write(csvColumns); err != nil {
		return fmt.Errorf("writing the table of values: %w", err)
	}
	emulated := map[string]bool{}
	for _, p := range run.Platforms {
		emulated[p.Name] = p.Emulated
	}
	for s, err := range run.Each() {
		if err != nil {
			return err
		}
		row := func(name, instance, value string) {
			out.Write([]string{s.Experiment, s.Platform, strconv.FormatBool(emulated[s.Platform]), s.Series, strconv.Itoa(s.N), strconv.Itoa(s.Round), strconv.Itoa(s.Position),
				strconv.FormatBool(s.Warmup), strconv.FormatInt(s.AtNs, 10), s.Disturbed, s.Outcome, string(s.Fault), s.Error, name, result.Unit(name), instance, value})
		}
		for _, name := range sortedKeys(s.Values) {
			row(name, "", decimal(s.Values[name]))
		}
		for _, name := range sortedKeys(s.Each) {
			for i, v := range s.Each[name] {
				row(name, strconv.Itoa(i), decimal(v))
			}
		}
		if len(s.Values)+len(s.Each) == 0 {
			row("", "", "")
		}
	}
	out.Flush() // its error is kept, and that of a write is the same
	if err := out.Error(); err != nil {
		return fmt.Errorf("writing the table of values: %w", err)
	}
	return nil
}

// decimal is a value with all its digits, and without an exponent where it is whole.
func decimal(v float64) string {
	if v == float64(int64(v)) {
		return strconv.FormatInt(int64(v), 10)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
