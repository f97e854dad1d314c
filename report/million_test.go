package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vmctr/report/result"
)

// writeLarge makes the journal of a run with n samples: those of a small run again and
// again, each with values of its own.
func writeLarge(t testing.TB, dir string, n int) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, result.FileName))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := bufio.NewWriterSize(f, 1<<20)
	enc := json.NewEncoder(out)
	run := manyPlatforms()
	enc.Encode(result.Record{Run: &run.Header})
	for i := range run.Platforms {
		enc.Encode(result.Record{Platform: &run.Platforms[i]})
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range n {
		s := run.Samples[i%len(run.Samples)]
		s.Round, s.AtNs = i/len(run.Samples), int64(i)*1e6
		values := map[string]float64{}
		for name, v := range s.Values {
			values[name] = math.Round(v * math.Exp(rng.NormFloat64()/10))
		}
		s.Values = values
		enc.Encode(result.Record{Sample: &s})
	}
	enc.Encode(result.Record{End: run.End})
	if err := out.Flush(); err != nil {
		t.Fatal(err)
	}
}

// mostMemory is the most that the process had of the host's memory at once since it was
// forgotten (proc_pid_status(5), proc_pid_clear_refs(5)), in MiB.
func mostMemory(t testing.TB) float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("needs /proc: ", err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return float64(kib) / 1024
}

func forgetMemory() {
	debug.FreeOSMemory()
	os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
}

// BenchmarkMillion is a run of a million samples in each form: it is to take less than ten
// seconds and 500 MiB.
//
//	go test ./report -run - -bench Million -benchtime 1x
func BenchmarkMillion(b *testing.B) {
	dir := b.TempDir()
	writeLarge(b, dir, 1_000_000)
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(MemoryLimit))
	for _, form := range []struct {
		name   string
		read   func(string) (*result.Run, error)
		render func(*result.Run) error
	}{
		{"report", result.ReadLean, func(r *result.Run) error { return Write(dir, r, A4) }},
		{"table", result.ReadLean, func(r *result.Run) error { return Table(io.Discard, r, Terminal{Width: 80}) }},
		{"json", result.ReadLean, func(r *result.Run) error { return JSON(io.Discard, r) }},
		{"csv", result.Stream, func(r *result.Run) error { return CSV(io.Discard, r) }},
		{"benchfmt", result.Stream, func(r *result.Run) error { return Benchfmt(io.Discard, r) }},
	} {
		b.Run(form.name, func(b *testing.B) {
			forgetMemory()
			for b.Loop() {
				run, err := form.read(dir)
				if err == nil {
					err = form.render(run)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(mostMemory(b), "most-MiB")
		})
	}
}

// TestLarge: a journal that is read leanly has the same figures as one that is read whole,
// and says that it is large.
func TestLarge(t *testing.T) {
	defer func(from int64) { result.LeanFrom = from }(result.LeanFrom)
	result.LeanFrom = 0
	dir := t.TempDir()
	writeLarge(t, dir, 50_000)
	figures := func(read func(string) (*result.Run, error)) (*result.Run, summary) {
		run, err := read(dir)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := JSON(&b, run); err != nil {
			t.Fatal(err)
		}
		var s summary
		if err := json.Unmarshal(b.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		for i := range s.Figures { // what ran before is known of whole samples
			f := &s.Figures[i]
			f.PrecededP, f.Warnings = nil, slices.DeleteFunc(f.Warnings, func(w result.Warning) bool { return w.Code == result.Predecessor })
		}
		return run, s
	}
	_, whole := figures(result.Read)
	lean, got := figures(result.ReadLean)
	if !lean.Folded() || len(lean.Samples) > 29_000 {
		t.Errorf("%d samples are whole", len(lean.Samples))
	}
	if len(whole.Figures) == 0 || len(whole.Comparisons) == 0 {
		t.Errorf("%d figures and %d comparisons", len(whole.Figures), len(whole.Comparisons))
	}
	text := func(parts ...any) string {
		b, err := json.MarshalIndent(parts, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if d := cmp.Diff(text(whole.Run, whole.Figures, whole.Comparisons), text(got.Run, got.Figures, got.Comparisons)); d != "" {
		t.Error(d)
	}
	if !slices.ContainsFunc(got.Alerts, func(s string) bool { return strings.HasPrefix(s, "This run is large.") }) {
		t.Errorf("alerts: %q", got.Alerts)
	}
}
