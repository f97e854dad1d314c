package report

import (
	"bytes"
	"strings"
	"testing"

	"gonum.org/v1/plot/vg/vgsvg"

	"vmctr/report/result"
)

// applicationRun is a run of startup and applications on a container and an emulated
// machine; one application is missing.
func applicationRun() *result.Run {
	run := synthetic{startup: 8, emulated: true}.run()
	run.Header.Experiments = append(run.Header.Experiments, applications)
	for name, times := range map[string][2]float64{"redis": {20, 4000}, "nginx": {40, 4200}} {
		for i, platform := range []string{"container", "vm-q35"} {
			for round := range 7 {
				run.Samples = append(run.Samples, result.Sample{
					Experiment: applications, Platform: platform, Series: name, Round: round, AtNs: int64(round+1) * 1e9,
					Values: map[string]float64{"answer_ns": times[i] * ms * (1 + 0.01*float64(round)), "answer_unseen_ns": times[i] * ms / 20, "memory_limit_bytes": 512 * mib},
				})
			}
		}
	}
	run.Notes = append(run.Notes, result.Note{Experiment: applications, Platform: "container", Series: "postgres", Text: "applications: container: postgres is not measured: its image cannot be built: no network"})
	return run
}

func TestApplicationSection(t *testing.T) {
	m := newModel(applicationRun())
	s, any := m.applicationSection()
	if !any {
		t.Fatal("no section")
	}
	var b bytes.Buffer
	writeMarkdown(&b, &document{Sections: []section{s, {Blocks: s.Details}}})
	text := strings.ReplaceAll(b.String(), nbsp, " ")
	for _, want := range []string{
		"**redis.** The container answered after 20.6 ms (20.0 to 21.2 ms, n = 7). vm-q35 (emulated) answered after 4.12 s (4.00 to 4.24 s, n = 7): 200 (194 to 206) times as long as the container.",
		"postgres is not measured: its image cannot be built: no network.",
		"512 MiB of memory", "of redis PONG, to the command PING", "| redis | container | 7 | 20.6 ms |", "| vm-q35 (emulated) | 4.33 s | 105", emulatedNote,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	for _, f := range m.document().figures() {
		c := &texts{Canvas: vgsvg.New(f.W, f.H)}
		if err := drawFigure(f, c); err != nil {
			t.Fatal(err)
		}
		c.check(t, f)
	}
	if _, any := newModel(synthetic{startup: 8}.run()).applicationSection(); any {
		t.Error("a run that was not asked for it has a section")
	}
	run := applicationRun()
	run.Samples = nil
	if s, any := newModel(run).applicationSection(); !any || len(s.Blocks) != 3 {
		t.Errorf("a run without a figure has %+v", s)
	}
}
