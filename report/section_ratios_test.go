package report

import (
	"math"
	"strings"
	"testing"

	"vmctr/report/result"
)

// TestRatioWords: what is said beside the plain process follows from the figures.
func TestRatioWords(t *testing.T) {
	times := func(run *result.Run, platform, value string, factor float64) {
		for i := range run.Samples {
			if s := &run.Samples[i]; s.Platform == platform && s.Values[value] > 0 {
				s.Values[value] = math.Round(s.Values[value] * factor)
			}
		}
	}
	for _, tt := range []struct {
		name   string
		run    *result.Run
		change func(*result.Run)
		want   []string
		not    []string
	}{
		{"as it is", synthetic{startup: 25, memory: 8}.run(), func(*result.Run) {},
			[]string{"Startup time: 1.04 ms for the plain process.", "The container took 6.02 (5.87 to 6.23) times as long; vm-q35 took ", "vm-q35 has the largest ratio in every panel."}, []string{"No difference"}},
		{"emulated", synthetic{startup: 24, memory: 8, emulated: true}.run(), func(*result.Run) {},
			[]string{"vm-q35 (emulated) took ", "vm-q35 (emulated) has the largest ratio"}, nil},
		{"another is larger", synthetic{startup: 25, memory: 8}.run(), func(run *result.Run) { times(run, "container", "pss_bytes", 1000) },
			[]string{"Not the same platform has the largest ratio in every panel: vm-q35 (Startup), vm-q35 (HTTP) and container (PSS)."}, nil},
		{"the same memory", synthetic{startup: 25, memory: 8}.run(), func(run *result.Run) { times(run, "container", "pss_bytes", 2.05/2.4) },
			[]string{"No difference from the plain process was shown, since the interval holds 1: PSS of container."}, nil},
		{"too few", synthetic{startup: 4, memory: 2}.run(), func(*result.Run) {}, []string{"vm-q35 has the largest"}, []string{"No difference"}},
		{"many", manyPlatforms(), func(*result.Run) {}, []string{"Containers took ", " times as long, from container,-seccomp to runc; virtual machines took "}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.change(tt.run)
			m := newModel(tt.run)
			s, any := m.ratiosSection()
			if !any {
				t.Fatal("no section")
			}
			text := ""
			for _, b := range s.Blocks {
				if p, ok := b.(points); ok {
					text += strings.ReplaceAll(strings.Join(p, "\n"), nbsp, " ")
				}
			}
			for _, w := range tt.want {
				if !strings.Contains(text, w) {
					t.Errorf("no %q in\n%s", w, text)
				}
			}
			for _, w := range tt.not {
				if strings.Contains(text, w) {
					t.Errorf("%q in\n%s", w, text)
				}
			}
		})
	}
	if _, any := newModel(runs()["one-platform"]).ratiosSection(); any {
		t.Error("a section without a plain process")
	}
}

// TestLooks: of a kind there are ten platforms before two look the same.
func TestLooks(t *testing.T) {
	for _, kind := range kinds {
		seen := map[string]int{}
		for i := range 10 {
			l := lookOf(kind, i)
			key := string(rune('0'+l.Mark)) + string([]byte{l.Fill.R, l.Fill.G, l.Fill.B})
			if kind == "nested" {
				continue // one tone
			}
			if j, ok := seen[key]; ok {
				t.Errorf("%s: platforms %d and %d look the same", kind, j, i)
			}
			seen[key] = i
		}
	}
}
