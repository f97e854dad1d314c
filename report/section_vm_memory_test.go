package report

import (
	"bytes"
	"cmp"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gonum.org/v1/plot/vg/vgsvg"

	"vmctr/report/result"
)

// elasticRun is a run of vm-memory alone.
func elasticRun() *result.Run {
	run := synthetic{emulated: true}.run()
	run.Header.Platforms, run.Header.Experiments = []string{"vm-q35"}, []string{"identity", elasticMetric.Experiment}
	run.Platforms, run.Samples = run.Platforms[2:], only(run.Samples, "vm-q35")
	rng := rand.New(rand.NewPCG(7, 8))
	for _, name := range []string{"no-balloon", "balloon", "free-page-reporting"} {
		p := run.Platforms[0]
		p.Name, p.Title, p.Experiment = "vm-q35,"+name, p.Title+" "+name, elasticMetric.Experiment
		run.Platforms = append(run.Platforms, p)
		for round := range 6 {
			noise := func(v float64) float64 { return math.Round(v * (1 + 0.004*rng.NormFloat64())) }
			v := map[string]float64{"touch_bytes": 96 * mib, "freed_for_ns": noise(4003 * ms), "ram_rest_bytes": noise(94 * mib), "ram_touched_bytes": noise(180 * mib), "ram_freed_bytes": noise(180 * mib)}
			switch name {
			case "no-balloon":
				v["mergeable_of_bytes"], v["mergeable_zero_bytes"], v["mergeable_within_bytes"], v["mergeable_across_bytes"] = 188*mib, 37*mib, 43*mib, 37*mib
			case "balloon":
				v["balloon_ns"], v["ram_balloon_bytes"], v["ram_again_bytes"] = noise(106*ms), noise(86*mib), noise(178*mib)
			default:
				v["ram_freed_bytes"] = noise(96 * mib)
			}
			v["ram_kept_bytes"] = min(v["ram_freed_bytes"], cmp.Or(v["ram_balloon_bytes"], v["ram_freed_bytes"]))
			run.Samples = append(run.Samples, result.Sample{Experiment: elasticMetric.Experiment, Platform: p.Name, Round: round, AtNs: int64(round+1) * 1e9, Values: v})
		}
	}
	return run
}

func elasticSections(run *result.Run) []section {
	if s, any := newModel(run).elasticSection(); any {
		return []section{s}
	}
	return nil
}

func TestElasticSection(t *testing.T) {
	var b bytes.Buffer
	writeMarkdown(&b, &document{Sections: elasticSections(elasticRun())})
	golden(t, "vm-memory.md", b.Bytes())

	for _, f := range newModel(elasticRun()).document().figures() {
		c := &texts{Canvas: vgsvg.New(f.W, f.H)}
		if err := drawFigure(f, c); err != nil {
			t.Fatal(err)
		}
		c.check(t, f)
	}
	if got := elasticSections(synthetic{memory: 8}.run()); got != nil {
		t.Errorf("a run that was not asked for it has %v", got)
	}
	// KSM that is on is said to be.
	run := elasticRun()
	run.Header.Host.KSM = "on"
	m := newModel(run)
	if got := strings.Join(m.mergeWords(m.elastic.platforms()), "\n"); !strings.Contains(got, "KSM runs on this host") {
		t.Errorf("with KSM on: %s", got)
	}
	// None was measured.
	run.Samples = only(run.Samples, "vm-q35")
	b.Reset()
	writeMarkdown(&b, &document{Sections: elasticSections(run)})
	if !strings.Contains(b.String(), "no value of it on any platform") {
		t.Errorf("without samples:\n%s", b.String())
	}
}

// TestElasticTable: on the terminal they stand apart from the other platforms.
func TestElasticTable(t *testing.T) {
	var b bytes.Buffer
	if err := Table(&b, elasticRun(), Terminal{Width: 80}); err != nil {
		t.Fatal(err)
	}
	fits(t, b.String(), 80)
	golden(t, "table-vm-memory.txt", b.Bytes())
}
