package report

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"vmctr/report/result"
)

// matrixRun has machines that boot in several ways, beside a plain process.
func matrixRun() *result.Run {
	run := synthetic{startup: 8, memory: 4}.run()
	run.Header.Platforms, run.Platforms = run.Header.Platforms[:1], run.Platforms[:1]
	run.Samples = only(run.Samples, "process")
	run.Header.Experiments = append(run.Header.Experiments, "vm-matrix")
	rng := rand.New(rand.NewPCG(3, 3))
	for i, v := range []struct {
		name, title, reason string
		status              result.Status
		median              float64
	}{
		{"vm-microvm,elf,qboot", "QEMU microvm, kernel as ELF, qboot", "", result.Ready, 1300},
		{"vm-microvm,bzimage,qboot", "QEMU microvm, kernel as bzImage, qboot", "2 of its instances failed; the first: no result within 30s", result.Failed, 1700},
		{"vm-pc,bzimage,seabios", "QEMU pc, kernel as bzImage, SeaBIOS", "", result.Ready, 1800},
		{"vm-pc,bzimage,seabios,default", "QEMU pc, kernel as bzImage, SeaBIOS: QEMU's default", "", result.Ready, 2500},
		{"vm-q35,elf,qboot", "QEMU q35, kernel as ELF, qboot", "no such firmware: qboot: QEMU has no file qboot.rom in [\"/usr/share/qemu\"]", result.Unavailable, 0},
		{"vm-q35,elf,seabios", "QEMU q35, kernel as ELF, SeaBIOS", "", result.Ready, 1310},
	} {
		run.Platforms = append(run.Platforms, result.Platform{Name: v.name, Title: v.title, Kind: "vm", Experiment: "vm-matrix",
			Status: v.status, Reason: v.reason, Accelerator: "tcg", Emulated: true, PrepareNs: 90 * ms})
		for round := -1; round < 7 && v.status != result.Unavailable; round++ {
			took := math.Round(v.median * ms * (1 + 0.04*rng.Float64()))
			s := result.Sample{Experiment: "vm-matrix", Platform: v.name, Round: max(round, 0), Position: i, Warmup: round < 0, Values: map[string]float64{"first_instruction_ns": took}}
			for n, phase := range []string{"start", "qemu", "firmware", "entry", "kernel", "init", "workload"} {
				s.Phases = append(s.Phases, result.Phase{Name: phase, Ns: int64(n) * int64(took) / 7})
			}
			if v.status == result.Failed && round > 4 {
				s.Values, s.Error, s.Fault = nil, "no result within 30s", result.InstanceFault
			}
			run.Samples = append(run.Samples, s)
		}
	}
	return run
}

// TestMatrixFindings: which machine is fastest is said of the samples, and so is that
// they do not tell.
func TestMatrixFindings(t *testing.T) {
	const fast, second, base = "vm-microvm,elf,qboot", "vm-q35,elf,seabios", "vm-pc,bzimage,seabios,default"
	set := func(r *result.Run, name string, median float64, keep int) {
		n := 0
		for i := range r.Samples {
			s := &r.Samples[i]
			if s.Experiment != "vm-matrix" || s.Platform != name || s.Warmup {
				continue
			}
			if n++; n > keep {
				s.Values = nil
			} else {
				s.Values = map[string]float64{"first_instruction_ns": median * (1 + 0.001*float64(n))}
			}
		}
	}
	for _, tt := range []struct {
		name   string
		change func(*result.Run)
		want   []string
	}{
		{"one is fastest", func(r *result.Run) { set(r, fast, 1e9, 7) }, []string{
			"vm-microvm,elf,qboot (emulated) has the smallest median: 1.00", "these samples show that it is faster than all of them, but for vm-microvm,bzimage,qboot, of which there are too few.", "times as long as QEMU's default, " + base + "."}},
		{"two are", func(r *result.Run) { set(r, fast, 1e9, 7); set(r, second, 1e9, 7) }, []string{
			"These samples do not show that it is faster than vm-q35,elf,seabios (1.00 (0.99"}},
		{"few samples", func(r *result.Run) {
			for _, p := range r.Platforms {
				set(r, p.Name, 1e9*float64(len(p.Name)), 3)
			}
		}, []string{"too few samples to tell", "has no 95% interval"}},
		{"the default is", func(r *result.Run) { set(r, base, 1e8, 7) }, []string{"vm-pc,bzimage,seabios,default (emulated) has the smallest median: 100"}},
		{"one alone", func(r *result.Run) { r.Samples = only(r.Samples, fast) }, []string{"is the only one that was measured"}},
	} {
		run := matrixRun()
		tt.change(run)
		m := newModel(run)
		got := strings.Join(m.matrixFindings(m.matrix), "\n")
		for _, want := range tt.want {
			if !strings.Contains(strings.ReplaceAll(got, nbsp, " "), want) {
				t.Errorf("%s: no %q in:\n%s", tt.name, want, got)
			}
		}
	}
}

// TestVariantsApart: the variants are in their own section, and in no table of all
// platforms.
func TestVariantsApart(t *testing.T) {
	m := newModel(matrixRun())
	if len(m.platforms) != 1 || len(m.matrix.Figures) != 6 {
		t.Errorf("%d platforms, %d variants", len(m.platforms), len(m.matrix.Figures))
	}
	if _, any := m.matrixSection(); !any {
		t.Error("no section of a run that has them")
	}
	if _, any := newModel(synthetic{startup: 8}.run()).matrixSection(); any {
		t.Error("a section of a run that was not asked for them")
	}
}
