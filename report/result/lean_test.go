package result

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestLean: of a large journal all values are there, all samples are counted, and the
// first ones are whole.
func TestLean(t *testing.T) {
	var journal strings.Builder
	journal.WriteString(header)
	const many = KeepWhole + 500
	for i := range many {
		s := Sample{Experiment: "startup", Platform: "a", Round: i, AtNs: int64(i), Values: map[string]float64{"x_ns": float64(i), "y_ns": 0.5}, Phases: []Phase{{Name: "p", Ns: 7}}}
		switch i % 100 {
		case 1:
			s.Warmup = true
		case 2:
			s.Error, s.Fault = `it said "no"`, InstanceFault
		case 3:
			s.Disturbed = "others"
		case 4:
			s.Platform = "b \"quoted\"" // which only the whole reader understands
		case 5:
			s.Series, s.N = "cold", 8
		}
		line, err := json.Marshal(Record{Sample: &s})
		if err != nil {
			t.Fatal(err)
		}
		journal.Write(append(line, '\n'))
	}
	whole, n, err := read(strings.NewReader(journal.String()), false)
	if err != nil {
		t.Fatal(err)
	}
	lean, m, err := read(strings.NewReader(journal.String()), true)
	if err != nil {
		t.Fatal(err)
	}
	if n != m || whole.Folded() || !lean.Folded() {
		t.Errorf("%d and %d bytes; folded: %v and %v", n, m, whole.Folded(), lean.Folded())
	}
	a := Key{Experiment: "startup", Platform: "a"}
	for _, k := range append(whole.Keys("startup"), Key{Experiment: "startup", Platform: "nobody"}) {
		for _, value := range []string{"x_ns", "y_ns", "z_ns"} {
			if want, got := whole.ValuesOf(k, value), lean.ValuesOf(k, value); !slices.Equal(want, got) {
				t.Errorf("%v %s: %d values and %d", k, value, len(want), len(got))
			}
			if want, got := whole.DisturbedOf(k, value), lean.DisturbedOf(k, value); want != got {
				t.Errorf("%v %s: %d are disturbed and %d", k, value, want, got)
			}
		}
		if want, got := whole.Count(k.Experiment, k.Platform), lean.Count(k.Experiment, k.Platform); want != got {
			t.Errorf("%v: %+v and %+v", k, want, got)
		}
	}
	ofA := 0
	for _, s := range lean.Samples {
		if s.Key() == a {
			ofA++
		}
	}
	if ofA != KeepWhole {
		t.Errorf("%d samples of %v are whole, not %d", ofA, a, KeepWhole)
	}
	if d := cmp.Diff(whole.Samples[:100], lean.Samples[:100]); d != "" {
		t.Error(d)
	}
	// A line that is damaged is named, in whichever part of it.
	for _, damage := range []string{`{"sample":{"experiment":"startup","platform":"a","values":{"x_ns":1},"phases":[{]}}`, `{"sample":{"experiment":"startup"`} {
		_, _, err := read(strings.NewReader(journal.String()+damage+"\n"), true)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("line %d:", many+2)) {
			t.Errorf("%s: %v", damage, err)
		}
	}
}

// FuzzLean: what the lean reader takes from a line is what the whole one does.
func FuzzLean(f *testing.F) {
	for _, s := range exampleRun().Samples {
		line, err := json.Marshal(Record{Sample: &s})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var rec Record
		var l leanSample
		plain := l.read(line) // of what is damaged too
		if !json.Valid(line) || json.Unmarshal(line, &rec) != nil || !plain {
			return
		}
		s := rec.Sample
		if s == nil {
			t.Fatalf("%q holds no sample", line)
		}
		k, _ := l.key(map[string]Key{}, nil)
		got := Sample{Experiment: k.Experiment, Platform: k.Platform, Series: k.Series, N: k.N, Values: map[string]float64{}}
		for _, v := range l.values {
			got.Values[string(v.name)] = v.value
		}
		want := Sample{Experiment: s.Experiment, Platform: s.Platform, Series: s.Series, N: s.N, Values: s.Values}
		same := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmp.Comparer(func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) })) == ""
		if !same || l.warmup != s.Warmup || l.failed != (s.Error != "") || l.disturbed != (s.Disturbed != "") {
			t.Errorf("%q: %+v is read as %+v, %+v", line, want, got, l)
		}
	})
}
