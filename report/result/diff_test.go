package result

import (
	"math"
	"testing"
)

// series adds n samples of a value to a run.
func addSeries(r *Run, k Key, value string, n int, first, step float64) {
	for i := range n {
		r.Samples = append(r.Samples, Sample{Experiment: k.Experiment, Platform: k.Platform, Series: k.Series, N: k.N, Values: map[string]float64{value: first + step*float64(i)}})
	}
}

func TestDiffOutcomes(t *testing.T) {
	emulated := []Platform{{Name: "p", Status: Ready, Emulated: true, Accelerator: "tcg"}}
	for _, tt := range []struct {
		name, value string
		n           int
		before      float64 // the first of the old values; those of the new begin at 100
		platforms   []Platform
		want        Outcome
		regressed   bool
	}{
		{"slower", "x_ns", 20, 80, nil, Worse, true},
		{"slower by less than the threshold", "x_ns", 20, 99.4, nil, Worse, false},
		{"faster", "x_ns", 20, 130, nil, Better, false},
		{"smaller", "x_bytes", 20, 130, nil, Better, false},
		{"neither is good", "guest_ram_bytes", 20, 80, nil, Changed, false},
		{"the same", "x_ns", 20, 100, nil, Same, false},
		{"few", "x_ns", 5, 10, nil, TooFew, false},
		{"emulated", "x_ns", 20, 80, emulated, Incomparable, false},
		{"from nothing", "x_bytes", 20, -0.19 / 2, nil, Worse, true},
	} {
		k := Key{Experiment: "e", Platform: "p", Series: "s", N: 3}
		before, after := &Run{Platforms: tt.platforms}, &Run{}
		addSeries(before, k, tt.value, tt.n, tt.before, 0.01)
		addSeries(after, k, tt.value, tt.n, 100, 0.01)
		d := NewDiff(before, after)
		if len(d.Rows) != 1 || d.Rows[0].Key != k {
			t.Fatalf("%s: %+v", tt.name, d.Rows)
		}
		if r := d.Rows[0]; r.Outcome != tt.want || r.Regressed(0.05) != tt.regressed {
			t.Errorf("%s: %s, regressed %v; want %s, %v (ratio %v, p %v)", tt.name, r.Outcome, r.Regressed(0.05), tt.want, tt.regressed, r.Ratio, r.P)
		}
	}
}

// TestDiffRows: only times and sizes that both have are compared, no errors of others and
// no warm-ups; and the p-values are corrected for all of them.
func TestDiffRows(t *testing.T) {
	before, after := &Run{}, &Run{}
	var values []string
	for _, r := range []*Run{before, after} {
		for i, value := range []string{"a_ns", "b_bytes", "processes", "http_unseen_ns", "container_error_ns"} {
			shift := 0.0
			if r == after && i == 0 {
				shift = 4
			}
			addSeries(r, Key{Experiment: "e", Platform: "p"}, value, 8, 100+shift, 1)
		}
	}
	addSeries(before, Key{Experiment: "e", Platform: "p"}, "old_ns", 8, 1, 1)
	addSeries(before, Key{Experiment: "e", Platform: "p"}, "nothing_bytes", 8, 0, 0)
	addSeries(after, Key{Experiment: "e", Platform: "p"}, "nothing_bytes", 8, 0, 0)
	d := NewDiff(before, after)
	for _, r := range d.Rows {
		values = append(values, r.Value)
	}
	if len(values) != 2 || values[0] != "a_ns" || values[1] != "b_bytes" {
		t.Fatalf("compared: %q", values)
	}
	p, _ := MannWhitney(before.Values("e", "p", "a_ns"), after.Values("e", "p", "a_ns"))
	if got := d.Rows[0].P; math.Abs(got-2*p) > 1e-12 {
		t.Errorf("p = %v, want %v doubled, since there are two", got, p)
	}
}

func TestDiffCircumstances(t *testing.T) {
	before, after := &Run{}, &Run{}
	before.Header.Host.Mitigations = map[string]string{"mds": "Not affected"}
	after.Header.Host.Kernel.Release = "6.2"
	before.Header.Image = Image{Name: "w", Digest: "sha256:a"}
	after.Header.Image = Image{Name: "w", Digest: "sha256:b"}
	before.Notes = []Note{{Text: "KSM is on"}, {Text: "both"}}
	after.Notes = []Note{{Text: "both"}}
	for i, r := range []*Run{before, after} {
		r.Platforms = []Platform{{Name: "vm", Status: Ready, Details: map[string]string{"qemu": []string{"7", "8"}[i], "cpus": "1"}}}
		addSeries(r, Key{Experiment: "e", Platform: "vm"}, "x_ns", 6, 1, 1)
	}
	got := map[string][2]string{}
	for _, c := range NewDiff(before, after).Circumstances {
		got[c.Platform+" "+c.Name] = [2]string{c.Old, c.New}
	}
	want := map[string][2]string{
		" mitigation of mds": {"Not affected", "–"}, " kernel": {" ", "6.2 "}, " image": {"w sha256:a", "w sha256:b"},
		" noted": {"KSM is on", "–"}, "vm qemu": {"7", "8"},
	}
	for name, v := range want {
		if got[name] != v {
			t.Errorf("%s: %q, want %q", name, got[name], v)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%q, want %q", got, want)
	}
}
