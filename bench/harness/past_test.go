package harness

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"vmctr/report/result"
)

// quiet takes this host's own counters out of a test: reading them takes time.
func quiet(t *testing.T) {
	before := host
	host = files(t.TempDir())
	t.Cleanup(func() { host = before })
}

// ofAllKinds are trials: one that goes well, one that fails now and then, one that
// fails always, one of several samples, one out of reach.
func ofAllKinds(calls map[string]int) []Trial {
	does := func(name string, fails func(n int) bool) func(context.Context) (result.Sample, error) {
		return func(context.Context) (result.Sample, error) {
			calls[name]++
			if fails(calls[name]) {
				return result.Sample{}, errors.New("no")
			}
			return result.Sample{Values: map[string]float64{"x_ns": 5}}, nil
		}
	}
	never, always := func(int) bool { return false }, func(int) bool { return true }
	return []Trial{
		{Platform: "good", Value: "x_ns", Measure: does("good", never)},
		{Platform: "good", Series: "s", N: 2, Times: 2, Measure: does("several", never), Enter: func(context.Context) error { return nil }},
		{Platform: "bad", Measure: does("bad", always)},
		{Platform: "far", Enter: func(context.Context) error { return &OutOfReach{"no room"} }, Measure: does("far", never)},
	}
}

// TestResumeAtAnyByte cuts the journal of a run at every byte and goes on with it: what is
// then in it is what would have been, in the same order, each once.
func TestResumeAtAnyByte(t *testing.T) {
	quiet(t)
	plan := func(calls map[string]int) Plan {
		return Plan{Experiment: "startup", Trials: ofAllKinds(calls), Warmups: 1, Rounds: 2}
	}
	calls := map[string]int{}
	whole := newFake(t, 3)
	if err := whole.Rounds(t.Context(), plan(calls)); err != nil {
		t.Fatal(err)
	}
	if want := map[string]int{"good": 3, "several": 6, "bad": 3}; !cmp.Equal(calls, want) {
		t.Fatalf("measured %v times, want %v", calls, want)
	}
	want := whole.read(t)
	text, err := os.ReadFile(filepath.Join(whole.dir, result.FileName))
	if err != nil {
		t.Fatal(err)
	}
	same := cmp.Options{
		cmpopts.IgnoreFields(result.Sample{}, "AtNs"), cmpopts.IgnoreFields(result.Ending{}, "AtNs"), cmpopts.IgnoreFields(result.Block{}, "AtNs", "Ns"),
		cmpopts.IgnoreFields(result.Note{}, "AtNs"), cmpopts.EquateEmpty(),
	}
	path := filepath.Join(t.TempDir(), result.FileName)
	for cut := bytes.IndexByte(text, '\n') + 1; cut <= len(text); cut++ {
		if err := os.WriteFile(path, text[:cut], 0o644); err != nil {
			t.Fatal(err)
		}
		journal, past, _, err := result.Open(filepath.Dir(path))
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		calls := map[string]int{}
		h := &Harness{Journal: journal, Seed: 3, Start: Now() - past.Ran(), Past: past}
		if err := h.Rounds(t.Context(), plan(calls)); err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if err := journal.Append(result.Record{}); err != nil { // nothing, which a cut line is cut off for
			t.Fatal(err)
		}
		journal.Close()
		got, err := result.Read(filepath.Dir(path))
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if d := cmp.Diff(want.Samples, got.Samples, same); d != "" {
			t.Fatalf("cut at %d: samples (-want +got):\n%s", cut, d)
		}
		if d := cmp.Diff(want.Endings, got.Endings, same, cmpopts.SortSlices(func(a, b result.Ending) bool { return a.Platform+a.Series < b.Platform+b.Series })); d != "" {
			t.Fatalf("cut at %d: endings (-want +got):\n%s", cut, d)
		}
		if d := cmp.Diff(want.Notes, got.Notes, same); d != "" {
			t.Fatalf("cut at %d: notes (-want +got):\n%s", cut, d)
		}
		// The block of a round may be lost, whose last sample was the last that was written.
		if n := len(got.Blocks); n < len(want.Blocks)-1 || n > len(want.Blocks) {
			t.Fatalf("cut at %d: %d blocks, want %d", cut, n, len(want.Blocks))
		}
		if len(h.Failures("bad")) != 3 || len(h.Failures("good")) != 0 {
			t.Fatalf("cut at %d: failures %v, %v", cut, h.Failures("bad"), h.Failures("good"))
		}
		for i := 1; i < len(got.Samples); i++ {
			if got.Samples[i].AtNs < got.Samples[i-1].AtNs {
				t.Fatalf("cut at %d: sample %d is from before the one ahead of it", cut, i)
			}
		}
		if cut == len(text) && len(calls) > 0 {
			t.Errorf("a run that was complete measured %v", calls)
		}
	}
}

// TestOrderOfARound: the order of a round does not depend on which trials are still there,
// and differs by all that a round is known by.
func TestOrderOfARound(t *testing.T) {
	names := func(list []Trial) (s string) {
		for _, t := range list {
			s += t.Platform
		}
		return s
	}
	all := trials("a", "b", "c", "d", "e", "f", "g", "h")
	first := names(shuffled(1, "startup", false, 0, all))
	if first != names(shuffled(1, "startup", false, 0, all)) || len(first) != 8 {
		t.Errorf("order %q, and another one of the same round", first)
	}
	for name, other := range map[string]string{
		"seed":       names(shuffled(2, "startup", false, 0, all)),
		"experiment": names(shuffled(1, "memory", false, 0, all)),
		"warm-up":    names(shuffled(1, "startup", true, 0, all)),
		"round":      names(shuffled(1, "startup", false, 1, all)),
	} {
		if other == first {
			t.Errorf("another %s has the same order, %s", name, first)
		}
	}
	var rest string
	for _, c := range first {
		if c != 'c' {
			rest += string(c)
		}
	}
	if got := names(shuffled(1, "startup", false, 0, append(all[:2:2], all[3:]...))); got != rest {
		t.Errorf("without c the order is %s, want %s", got, rest)
	}
	// Each trial is first about as often as any other: 1000 of 8000 with a standard
	// deviation of 30.
	count := map[string]int{}
	for round := range 8000 {
		count[shuffled(7, "startup", false, round, all)[0].Platform]++
	}
	for name, n := range count {
		if n < 850 || n > 1150 {
			t.Errorf("%s is the first of %d rounds of 8000", name, n)
		}
	}
}

// TestPastBudget: what an experiment has used of its time before a stop is used.
func TestPastBudget(t *testing.T) {
	sample := func(round int, at int64) result.Sample {
		return result.Sample{Experiment: "startup", Platform: "a", Round: round, AtNs: at, Phases: []result.Phase{{Ns: 2e9}}}
	}
	h := &Harness{Past: &result.Run{
		// Ten seconds, then a stop and a preparation of 30 that is not its own, and then
		// four and the last two.
		Samples: []result.Sample{sample(0, 100e9), sample(1, 108e9), sample(2, 150e9), sample(3, 154e9)},
		Resumes: []result.Resume{{AtNs: 120e9}},
	}}
	if got := h.Spent("startup").Seconds(); got != 8+2+4+2 {
		t.Errorf("spent %v s, want 16", got)
	}
	if got := h.Spent("memory"); got != 0 {
		t.Errorf("of another experiment: %v", got)
	}
}
