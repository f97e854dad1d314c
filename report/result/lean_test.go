package result

import (
	"encoding/json"
	"fmt"
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
	whole, n, err := read(strings.NewReader(journal.String()), keepAll)
	if err != nil {
		t.Fatal(err)
	}
	lean, m, err := read(strings.NewReader(journal.String()), keepSome)
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
	columns := func(r *Run) map[string][]float64 {
		m := map[string][]float64{}
		for _, c := range r.AllValues() {
			m[fmt.Sprint(c.Key, c.Name)] = c.Values
		}
		return m
	}
	if d := cmp.Diff(columns(whole), columns(lean)); d != "" {
		t.Error(d)
	}
	ofA := 0
	for _, s := range lean.Samples {
		if s.Key() == a && s.Error == "" {
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
		_, _, err := read(strings.NewReader(journal.String()+damage+"\n"), keepSome)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("line %d:", many+2)) {
			t.Errorf("%s: %v", damage, err)
		}
	}
}

// TestLeanPredecessor: what ran before a sample is known only if it is whole itself.
func TestLeanPredecessor(t *testing.T) {
	var journal strings.Builder
	journal.WriteString(header)
	enc := json.NewEncoder(&journal)
	for i := range KeepWhole + 20 {
		for _, p := range []string{"a", "b", "c"} {
			if p != "b" || i%2 == 0 {
				enc.Encode(Record{Sample: &Sample{Experiment: "startup", Platform: p, Round: i, Values: map[string]float64{"x_ns": float64(i)}}})
			}
		}
	}
	run, _, err := read(strings.NewReader(journal.String()), keepSome)
	if err != nil {
		t.Fatal(err)
	}
	var last string
	for i, s := range run.Samples {
		if i > 0 && !run.gaps[i] && s.Platform == "b" && last != "a" {
			t.Errorf("sample %d, of b, follows %s", i, last)
		}
		last = s.Platform
	}
	if n := len(run.gaps); n != 10 {
		t.Errorf("%d gaps: %v", n, run.gaps)
	}
}

// TestLeanRich: samples that hold more than values are all whole, and so are the first that
// failed, however late.
func TestLeanRich(t *testing.T) {
	var journal strings.Builder
	journal.WriteString(header)
	enc := json.NewEncoder(&journal)
	for i := range KeepWhole + 10 {
		enc.Encode(Record{Sample: &Sample{Experiment: "startup", Platform: "a", Round: i, Values: map[string]float64{"x_ns": 1}}})
	}
	enc.Encode(Record{Sample: &Sample{Experiment: "startup", Platform: "a", Values: map[string]float64{"x_ns": 1}, Each: map[string][]float64{"x_ns": {1, 2}}}})
	enc.Encode(Record{Sample: &Sample{Experiment: "startup", Platform: "a", Error: "late"}})
	run, _, err := read(strings.NewReader(journal.String()), keepSome)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(run.Samples); n != KeepWhole+2 || run.Samples[n-2].Each == nil || run.Samples[n-1].Error != "late" {
		t.Errorf("%d samples", n)
	}
}

// FuzzLean: what the lean reader takes is JSON, and it takes from it what the whole one does.
func FuzzLean(f *testing.F) {
	for _, s := range exampleRun().Samples {
		line, err := json.Marshal(Record{Sample: &s})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(line)
	}
	for _, number := range []string{"-0", "0.5e-7", "01", "1.", "1e", "-", "1234567890123456", "9007199254740993", "1e999", "2E+2", "-12.25"} {
		f.Add([]byte(`{"sample":{"experiment":"startup","platform":"a","at_ns":` + number + `,"values":{"a":` + number + `},"phases":[{"name":"p","ns":1,"error_ns":2}]}}`))
		f.Add([]byte(`{"sample":{"platform":"a","n":8,"values":{"a":` + number + `,"b":1},"error":"e","fault":"harness"}}`))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var rec Record
		var l leanSample
		if !l.read(line) {
			return
		}
		if err := json.Unmarshal(line, &rec); err != nil || rec.Sample == nil {
			t.Fatalf("%q: %v, and the lean reader takes it", line, err)
		}
		s := rec.Sample
		got := Sample{Experiment: string(l.experiment), Platform: string(l.platform), Series: string(l.series), N: l.n, Values: map[string]float64{}}
		for _, v := range l.values {
			got.Values[string(v.name)] = v.value
		}
		want := Sample{Experiment: s.Experiment, Platform: s.Platform, Series: s.Series, N: s.N, Values: s.Values}
		if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" || s.rich() || l.warmup != s.Warmup || l.failed != (s.Error != "") || l.disturbed != (s.Disturbed != "") {
			t.Errorf("%q: %+v is read as %+v, %+v", line, want, got, l)
		}
	})
}
