package report

import (
	"bytes"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vmctr/report/result"
	"vmctr/report/selftest"
)

// selftestRun is a selftest of which only the injected delays were measured, on a host of
// which a start varies by so much.
func selftestRun(spread float64) *result.Run {
	run := synthetic{}.run()
	run.Samples = nil
	run.Header.Experiments = []string{selftest.Clock, selftest.Injected, selftest.Others}
	run.Header.Profile = "selftest"
	rng := rand.New(rand.NewPCG(11, 12))
	add := func(experiment string, percent int) {
		run.Samples = append(run.Samples, result.Sample{Experiment: experiment, Platform: "container", Series: selftest.Series(percent),
			Values: map[string]float64{"first_instruction_ns": 4 * ms * (1 + spread*math.Exp(rng.NormFloat64()/2) + float64(percent)/100)}})
	}
	for range 1200 {
		add(selftest.Injected, 0)
		add(selftest.Injected, selftest.MustFind)
		add(selftest.Others, 0)
		for _, percent := range selftest.OtherDelays {
			add(selftest.Others, percent)
		}
	}
	return run
}

// TestSelftestSection: the report of a selftest is about the harness alone, in all
// formats, and has a plot only where there is something to plot.
func TestSelftestSection(t *testing.T) {
	for _, tt := range []struct {
		name   string
		spread float64
		plot   bool
	}{{"a quiet host", 0.08, true}, {"a busy host", 3, false}} {
		dir := t.TempDir()
		run := selftestRun(tt.spread)
		if err := Write(dir, run, A4); err != nil {
			t.Fatal(err)
		}
		md, err := os.ReadFile(filepath.Join(dir, "report.md"))
		if err != nil {
			t.Fatal(err)
		}
		text := string(md)
		for _, want := range []string{"The harness, measured by itself", "not measured", "Appendix"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %q", tt.name, want)
			}
		}
		for _, no := range []string{"lecture's table", "Startup time", "NaN"} {
			if strings.Contains(text, no) {
				t.Errorf("%s: it has %q", tt.name, no)
			}
		}
		_, err = os.Stat(filepath.Join(dir, "plots/selftest.svg"))
		if has := err == nil; has != tt.plot || strings.Contains(text, "plots/selftest.svg") != tt.plot {
			t.Errorf("%s: a plot: %v", tt.name, has)
		}
		if tt.plot {
			var b bytes.Buffer
			m := newModel(run)
			writeMarkdown(&b, &document{Sections: []section{m.selftestSection()}})
			golden(t, "selftest.md", b.Bytes())
		}
	}
}
