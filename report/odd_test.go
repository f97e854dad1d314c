package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"vmctr/report/result"
	"vmctr/report/result/identity"
)

// render renders a run in every format but PNG, which is drawn by the code that
// draws SVG, and checks what holds for all runs.
func render(t *testing.T, run *result.Run, width int) {
	t.Helper()
	var b bytes.Buffer
	if err := Table(&b, run, Terminal{Width: width}); err != nil {
		t.Fatal(err)
	}
	fits(t, b.String(), width)
	doc := newModel(run).document()
	b.Reset()
	writeMarkdown(&b, doc)
	for _, bad := range []string{"NaN", "Inf", "%!", "\x1b"} {
		if _, after, ok := strings.Cut(b.String(), bad); ok {
			t.Errorf("the Markdown has %q before %.80q", bad, after)
		}
	}
	for _, f := range doc.figures() {
		svg, err := renderSVG(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"NaN", "Inf"} {
			if before, _, ok := bytes.Cut(svg, []byte(bad)); ok {
				t.Errorf("the plot %s has %s after %q", f.Name, bad, before[max(0, len(before)-100):])
			}
		}
	}
	if _, err := renderPDF(doc, A4); err != nil {
		t.Fatal(err)
	}
}

// fits checks that no line of a table is longer than the terminal is wide.
func fits(t *testing.T, table string, width int) {
	t.Helper()
	for line := range strings.Lines(table) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > width {
			t.Errorf("a line has %d columns of %d: %q", n, width, line)
		}
	}
}

// TestOdd renders runs whose values are what no host gives, and some that one
// does give.
func TestOdd(t *testing.T) {
	for name, values := range map[string][]float64{
		"zero":            {0, 0, 0, 0, 0, 0, 0},
		"identical":       {5e6, 5e6, 5e6, 5e6, 5e6, 5e6, 5e6},
		"one":             {5e6},
		"one zero":        {0},
		"negative":        {-1, -2e6, -3, -4, -5, -6},
		"across zero":     {-1e6, 0, 1e6, 2e6, -2e6, 3e6},
		"huge":            {1e300, 2e300, math.MaxFloat64, 1e299, 1e250, 1e300},
		"largest":         {math.MaxFloat64, math.MaxFloat64, math.MaxFloat64, math.MaxFloat64, math.MaxFloat64, math.MaxFloat64},
		"tiny":            {5e-324, 1e-300, 1e-9, 1e-8, 0.1, 0.5},
		"tiny and huge":   {5e-324, 1, 1e300, 1e-300, 1e20, 1e10},
		"five":            {1e6, 2e6, 3e6, 4e6, 5e6},
		"none":            {},
		"a slow one":      {1e6, 1e6, 1e6, 1e6, 1e6, 1e6, 9e12},
		"rounds to seven": {999_499, 999_500, 999_600, 1e6, 999_999, 999_999},
	} {
		for _, where := range []string{"process", "container", "vm-q35", "everywhere"} {
			t.Run(name+" "+where, func(t *testing.T) {
				t.Parallel()
				run := synthetic{startup: 7, memory: 7, emulated: true}.run()
				var samples []result.Sample
				n := map[string]int{}
				for _, s := range run.Samples {
					if s.Values == nil || where != "everywhere" && s.Platform != where {
						samples = append(samples, s)
						continue
					}
					key := s.Experiment + s.Platform
					if s.Warmup {
						continue
					}
					if n[key]++; n[key] > len(values) {
						continue
					}
					for k := range s.Values {
						s.Values[k] = values[n[key]-1]
					}
					samples = append(samples, s)
				}
				run.Samples = samples
				render(t, run, 80)
			})
		}
	}
}

// odd gives a random small run: any of its parts can be missing or strange.
func odd(rng *rand.Rand) *result.Run {
	texts := []string{"", "x", "container,-seccomp", "vm-q35,bzimage", "vm-" + strings.Repeat("long", 30), "a b  c", "|`*<b>&", "µs – ✓", "日本語", "🐧", "\x1b[31mred\x1b[0m\x00\n[ 1.2] panic", "é", "."}
	text := func() string { return texts[rng.IntN(len(texts))] }
	number := func() float64 {
		switch rng.IntN(6) {
		case 0:
			return 0
		case 1:
			return -rng.Float64() * 1e9
		case 2:
			return 5e6
		case 3:
			return math.Pow(10, rng.Float64()*616-308) // any magnitude
		default:
			return rng.Float64() * 1e9
		}
	}
	some := func(most int, f func()) {
		for range rng.IntN(most + 1) {
			f()
		}
	}
	run := synthetic{startup: rng.IntN(8), memory: rng.IntN(8), emulated: rng.IntN(2) == 0}.run()
	if rng.IntN(4) == 0 {
		run.Header = result.Header{Schema: 1, Seed: rng.Uint64()}
	}
	if rng.IntN(3) == 0 {
		run.Samples, run.Platforms = nil, nil
	}
	var names []string
	some(9, func() {
		p := result.Platform{
			// Names are the program's own: no letters of double width.
			Name: strings.Trim(text(), "日本語") + fmt.Sprint(len(names)), Title: text(), Kind: []string{"process", "container", "vm", "", "other"}[rng.IntN(5)],
			Status: []result.Status{result.Ready, result.Ready, result.Failed, result.Unavailable, "", "a later state"}[rng.IntN(6)],
			Reason: text(), Fix: text(), Emulated: rng.IntN(2) == 0, PrepareNs: int64(number()), Details: map[string]string{text(): text()},
		}
		names = append(names, p.Name)
		run.Platforms = append(run.Platforms, p)
		some(9, func() {
			s := result.Sample{Experiment: []string{"startup", "memory", "identity"}[rng.IntN(3)], Platform: p.Name, Round: rng.IntN(3), Warmup: rng.IntN(9) == 0, Values: map[string]float64{}}
			for _, mt := range metrics {
				if rng.IntN(3) > 0 {
					s.Values[mt.Value] = number()
				}
			}
			some(3, func() { s.Phases = append(s.Phases, result.Phase{Name: text(), Ns: int64(number())}) })
			if rng.IntN(5) == 0 {
				s.Error, s.Fault = text(), result.Fault(text())
			}
			if rng.IntN(3) == 0 {
				s.Identity = &identity.Identity{BootID: text(), HyperName: text(), UIDMap: text(), Capability: text(), Uptime: number(), Namespaces: map[string]uint64{text(): rng.Uint64()}, DataSHA256: text()}
			}
			run.Samples = append(run.Samples, s)
		})
	})
	if rng.IntN(2) == 0 {
		run.Images = nil
	}
	some(5, func() {
		i := result.StoredImage{Name: text(), Platform: text(), Digest: text(), Measured: rng.IntN(3) == 0}
		some(30, func() {
			i.Layers = append(i.Layers, result.StoredLayer{DiffID: text(), Digest: text(), BlobBytes: int64(number()), ArchiveBytes: int64(number()), DiskBytes: int64(number()), CreatedBy: text()})
		})
		run.Images = append(run.Images, i)
	})
	for i := range run.Platforms {
		some(2, func() {
			run.Platforms[i].Parts = append(run.Platforms[i].Parts, result.Part{Name: text(), Bytes: int64(number()), WithImage: rng.IntN(2) == 0})
		})
	}
	some(2, func() { run.Notes = append(run.Notes, result.Note{Text: text()}) })
	switch rng.IntN(4) {
	case 0:
		run.End = nil
	case 1:
		run.End = &result.End{AtNs: int64(number()), Reason: text()}
	}
	return run
}

// FuzzRender: whatever run there is, it renders, and the table fits.
func FuzzRender(f *testing.F) {
	for seed := range uint64(40) {
		f.Add(seed, 40+int(seed)*2)
	}
	f.Fuzz(func(t *testing.T, seed uint64, width int) {
		render(t, odd(rand.New(rand.NewPCG(seed, 1))), min(max(width, 40), 200))
	})
}

// FuzzJournal: whatever journal can be read, it renders.
func FuzzJournal(f *testing.F) {
	for _, run := range []*result.Run{synthetic{startup: 1, memory: 1}.run(), runs()["header-only"]} {
		data, err := json.Marshal(run)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var run result.Run
		if json.Unmarshal(data, &run) == nil {
			render(t, &run, 80)
		}
	})
}
