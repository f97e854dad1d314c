package report

import (
	"bytes"
	"maps"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gonum.org/v1/plot/vg/vgsvg"

	"vmctr/report/result"
)

// moreMemory is a run of all experiments of memory beside the first.
func moreMemory() *result.Run {
	run := synthetic{memory: 8, emulated: true}.run()
	run.Header.Experiments = append(run.Header.Experiments, memoryLoaded, memoryMany, memoryLeast, memoryShared, memoryKSM)
	rng := rand.New(rand.NewPCG(7, 9))
	noise := func(v float64) float64 { return math.Round(v * (1 + 0.003*rng.NormFloat64())) }
	add := func(experiment, platform, series string, n, round int, values map[string]float64) *result.Sample {
		run.Samples = append(run.Samples, result.Sample{Experiment: experiment, Platform: platform, Series: series, N: n, Round: round, Values: values})
		return &run.Samples[len(run.Samples)-1]
	}
	for i, s := range run.Samples {
		if s.Experiment == "memory" {
			maps.Copy(run.Samples[i].Values, map[string]float64{"available_drop_bytes": noise(3 * mib), "available_left_bytes": 20 * mib * rng.NormFloat64(), "added_slab_bytes": noise(300 << 10), "added_kernel_stack_bytes": 100 << 10, "added_page_tables_bytes": 90 << 10})
		}
	}
	private := map[string]float64{"process": 2 * mib, "container": 1.9 * mib, "vm-q35": 170 * mib}
	once := map[string]float64{"process": 2.5 * mib, "container": 2.6 * mib, "vm-q35": 74 * mib}
	for round := range 3 {
		for _, p := range []string{"process", "container", "vm-q35"} {
			for _, n := range map[bool][]int{true: {1, 2, 4, 8}, false: {1, 4, 16, 64}}[p == "vm-q35"] {
				total := once[p] + float64(n)*private[p]
				add(memoryMany, p, "", n, round, map[string]float64{"pss_bytes": noise(total), "uss_bytes": noise(total * 0.9), "rss_bytes": noise(float64(n) * (private[p] + once[p])), "available_drop_bytes": noise(total) + 50*mib*rng.NormFloat64()})
			}
			idle := once[p] + private[p]
			add(memoryLoaded, p, "loaded", 0, round, map[string]float64{"idle_pss_bytes": idle, "pss_bytes": noise(idle) + 2*mib, "requests": 400, "load_ns": 30 * ms})
			for _, series := range []string{"same", "different"} {
				v := map[string]float64{"pss_bytes": noise(once[p] + 2*private[p]), "rss_bytes": noise(2 * idle), "files_cached_bytes": 3.6 * mib}
				if series == "different" {
					v["pss_bytes"], v["files_cached_bytes"] = v["pss_bytes"]+once[p]*0.9, 7.2*mib
				}
				if p == "vm-q35" {
					v["mergeable_across_bytes"] = 37 * mib
				}
				add(memoryShared, p, series, 0, round, v)
			}
		}
		add(memoryKSM, "vm-q35", "off", 0, round, map[string]float64{"idle_pss_bytes": 390 * mib, "pss_bytes": noise(390 * mib), "ksm_merged_bytes": 0, "between_ns": 3000 * ms})
		add(memoryKSM, "vm-q35", "on", 0, round, map[string]float64{"idle_pss_bytes": 390 * mib, "pss_bytes": noise(280 * mib), "ksm_merged_bytes": 116 * mib, "between_ns": 4100 * ms})
	}
	for round, size := range []float64{8, 2, 2.5, 2, 2.5, 2, 2.5} {
		s := add(memoryLeast, "container", "", 0, round, map[string]float64{"memory_bytes": size * mib})
		if s.Outcome = "starts"; size < 2.5 {
			s.Outcome, s.Why = "killed", "it ended by itself: killed by signal SIGKILL (over its memory limit)"
		}
		s = add(memoryLeast, "vm-q35", "", 0, round, map[string]float64{"memory_bytes": 64 * mib})
		s.Outcome, s.Why = "stuck", "it was not up within 20s"
	}
	run.Notes = append(run.Notes, result.Note{Text: "memory-many: vm-q35: 8 instances are not started side by side: after 6 of them too little is left", Experiment: memoryMany, Platform: "vm-q35", N: 8})
	return run
}

// TestMemoryMore: the sentences say what the figures do.
func TestMemoryMore(t *testing.T) {
	m := newModel(moreMemory())
	s, any := m.memoryMoreSection()
	if !any {
		t.Fatal("no section")
	}
	var b bytes.Buffer
	writeMarkdown(&b, &document{Sections: []section{s, {Title: "Memory", Blocks: append(s.Details, m.hostBlocks()...)}}})
	golden(t, "memory-more.md", b.Bytes())
	for _, want := range []string{
		"One more instance adds to the PSS: 2.0", "The least limit of a control group in which the workload started: 2.50 MiB on the container.",
		"In no size that was tried did most tries come up on vm-q35 (emulated).", "holds zero",
		"3 of 3 failed", "stuck (7)", "KSM has made the PSS of two of vm-q35 (emulated) smaller by",
	} {
		if !strings.Contains(strings.ReplaceAll(b.String(), nbsp, " "), want) {
			t.Errorf("no %q", want)
		}
	}
	// An older journal has none of it.
	old := newModel(synthetic{memory: 8}.run())
	if s, any := old.memoryMoreSection(); any || old.hostBlocks() != nil {
		t.Errorf("without samples: %v", s)
	}
}

// TestKSMOutOfReach: that the host has no KSM is said.
func TestKSMOutOfReach(t *testing.T) {
	run := synthetic{}.run()
	run.Notes = []result.Note{{Text: "memory-ksm: vm-q35: KSM is not switched on and off here: no KSM", Experiment: memoryKSM, Platform: "vm-q35", Series: "on"}}
	blocks := newModel(run).withKSM().blocks
	if len(blocks) != 2 || !strings.Contains(blocks[1].(paragraph).Text, "KSM is not switched on and off here") {
		t.Errorf("%v", blocks)
	}
}

// TestBorder: whatever was tried, the border lies where most tries turn.
func TestBorder(t *testing.T) {
	for _, tt := range []struct {
		name          string
		list          []tried
		fails, starts float64 // 0 for none
	}{
		{"nothing", nil, 0, 0},
		{"all start", []tried{{bytes: 1, starts: 1}, {bytes: 2, starts: 1}}, 0, 1},
		{"all fail", []tried{{bytes: 1, fails: 1}, {bytes: 2, fails: 1}}, 2, 0},
		{"one try is odd", []tried{{bytes: 1, fails: 2}, {bytes: 2, starts: 3, fails: 1}, {bytes: 4, starts: 1}}, 1, 2},
		{"it starts below", []tried{{bytes: 1, starts: 1}, {bytes: 2, starts: 1, fails: 2}, {bytes: 4, starts: 1}}, 2, 4},
	} {
		fails, starts := border(tt.list)
		at := func(t *tried) float64 {
			if t == nil {
				return 0
			}
			return t.bytes
		}
		if at(fails) != tt.fails || at(starts) != tt.starts {
			t.Errorf("%s: between %v and %v", tt.name, at(fails), at(starts))
		}
	}
}

// TestTextsOfMany draws many platforms.
func TestTextsOfMany(t *testing.T) {
	m := newModel(moreMemory())
	f := m.manyFigure(m.platforms)
	c := &texts{Canvas: vgsvg.New(f.W, f.H)}
	if err := drawFigure(f, c); err != nil {
		t.Fatal(err)
	}
	c.check(t, f)
	if len(c.boxes) < len(m.platforms)+4 {
		t.Errorf("%d texts: platforms have no name", len(c.boxes))
	}
}
