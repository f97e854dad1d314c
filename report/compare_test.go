package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"vmctr/report/result"
)

// later is a run after another: bench has changed, and so has the host.
func later(scale map[string]float64) *result.Run {
	run := synthetic{startup: 20, memory: 8}.run()
	run.Header.ID, run.Header.Version, run.Header.Time = "20261125-101500-a2b3", "v0.2.0", run.Header.Time.Add(31*time.Hour)
	run.Header.Host.Kernel.Release, run.Header.Host.BootID = "6.1.0-30-amd64", "11111111-6a2c-4c0e-9d53-7b8a1f2e3c4d"
	run.Notes = append(run.Notes, result.Note{Text: "load average 1.8 on 2 CPUs: other programs take time from what is measured; end them, or wait"})
	for i := range run.Samples {
		s := &run.Samples[i]
		for name := range s.Values {
			if factor, ok := scale[s.Platform+" "+name]; ok {
				s.Values[name] *= factor
			}
		}
	}
	return run
}

func compared(before, after *result.Run) *Comparison {
	return &Comparison{Diff: result.NewDiff(before, after), OldName: "results-old", NewName: "results-new", Threshold: 0.05}
}

// TestCompare holds all formats against golden files: a container that starts slower and
// a process that takes less memory, on a host that was booted anew.
func TestCompare(t *testing.T) {
	c := compared(synthetic{startup: 20, memory: 8}.run(), later(map[string]float64{
		"container first_instruction_ns": 1.4, "container http_ns": 1.4, "process pss_bytes": 0.8, "vm-q35 pss_bytes": 1.03,
	}))
	for _, format := range CompareFormats {
		var b bytes.Buffer
		if err := Compare(&b, c, format, 100); err != nil {
			t.Fatal(err)
		}
		golden(t, "compare."+format, b.Bytes())
	}
	var worse []string
	for _, r := range c.Regressions() {
		worse = append(worse, r.Platform+" "+r.Value)
	}
	if got := strings.Join(worse, ", "); got != "container first_instruction_ns, container http_ns" && got != "container first_instruction_ns" {
		t.Errorf("regressions: %s", got)
	}
}

// TestCompareEmulated: a machine under KVM and an emulated one are not compared, and are
// told apart wherever they stand.
func TestCompareEmulated(t *testing.T) {
	after := synthetic{startup: 20, memory: 8, emulated: true}.run()
	after.Header.ID = "another"
	c := compared(synthetic{startup: 20, memory: 8}.run(), after)
	for _, r := range c.Rows {
		if (r.Outcome == result.Incomparable) != (r.Platform == "vm-q35") {
			t.Errorf("%s %s: %s", r.Platform, r.Value, r.Outcome)
		}
	}
	if list := c.Regressions(); len(list) > 0 {
		t.Errorf("regressions: %+v", list)
	}
	for _, format := range []string{"table", "markdown"} {
		var b bytes.Buffer
		if err := Compare(&b, c, format, 80); err != nil {
			t.Fatal(err)
		}
		golden(t, "compare-emulated."+format, b.Bytes())
		for _, want := range []string{"NOT COMPARABLE", "accelerator: kvm -> tcg (emulated)", "mulated: QEMU imitated"} {
			if !strings.Contains(strings.Join(strings.Fields(b.String()), " "), want) {
				t.Errorf("%s lacks %q", format, want)
			}
		}
	}
}

// TestCompareNarrow: no line is longer than the terminal is wide, from 60 columns on.
func TestCompareNarrow(t *testing.T) {
	c := compared(synthetic{startup: 20, memory: 8}.run(), later(nil))
	for _, width := range []int{60, 80, 100, 120} {
		var b bytes.Buffer
		if err := Compare(&b, c, "table", width); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n ")); n > width {
				t.Errorf("%d columns: a line has %d: %s", width, n, line)
			}
		}
	}
}

// TestCompareOdd: runs with little or nothing in common are compared as far as that goes.
func TestCompareOdd(t *testing.T) {
	few := synthetic{startup: 3, memory: 3}.run()
	other := synthetic{startup: 20, memory: 8}.run()
	other.Header.Platforms, other.Platforms = []string{"process"}, other.Platforms[:1]
	kept := other.Samples[:0]
	for _, s := range other.Samples {
		if s.Platform == "process" {
			kept = append(kept, s)
		}
	}
	other.Samples = kept
	empty := &result.Run{}
	hostile := synthetic{startup: 6, memory: 6}.run()
	hostile.Header.Host.Hostname = "a\x1b[31m|b\nc"
	for name, tt := range map[string]struct {
		before, after *result.Run
		want          string
	}{
		"few samples":         {few, synthetic{startup: 20, memory: 8}.run(), "too few samples"},
		"a platform is gone":  {few, other, "Not in the new run: container (it was not asked for)."},
		"a platform is new":   {other, few, "Not in the old run: vm-q35 (it was not asked for)."},
		"nothing in common":   {few, empty, "The two runs have no value in common."},
		"the same":            {few, few, "The two are the same run."},
		"what comes from far": {few, hostile, "host: lab-07 -> a|b c ! Two hosts are compared"},
	} {
		for _, format := range CompareFormats {
			var b bytes.Buffer
			if err := Compare(&b, compared(tt.before, tt.after), format, 100); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			switch format {
			case "table":
				if got := strings.Join(strings.Fields(b.String()), " "); !strings.Contains(got, tt.want) {
					t.Errorf("%s: no %q in\n%s", name, tt.want, b.String())
				}
				if strings.Contains(b.String(), "\x1b") {
					t.Errorf("%s: a control character", name)
				}
			case "csv":
				if _, err := csv.NewReader(&b).ReadAll(); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			case "json":
				if !json.Valid(b.Bytes()) {
					t.Errorf("%s: %s", name, b.String())
				}
			}
		}
	}
}
