package report

import (
	"strings"
	"testing"

	"vmctr/report/result"
)

// TestNamespacesPlot: what is said to be shared follows from the numbers and from whose
// kernel it is, and from neither alone.
func TestNamespacesPlot(t *testing.T) {
	figureOf := func(run *result.Run) *figure {
		for _, f := range newModel(run).document().figures() {
			if f.Name == "namespaces" {
				return f
			}
		}
		return nil
	}
	f := figureOf(nestedRun())
	if f == nil {
		t.Fatal("no plot")
	}
	for _, want := range []string{"process: 0 namespaces of its own, 8 of the host's", "container: 7 namespaces of its own, 1 of the host's",
		"vm-q35 (emulated): in another kernel", "nested (emulated): 7 namespaces of its own, 1 of its guest's"} {
		if !strings.Contains(f.Alt, want) {
			t.Errorf("no %q in %q", want, f.Alt)
		}
	}
	if strings.Contains(f.Caption, "Not seen") || strings.Contains(f.Caption, "in common") {
		t.Error(f.Caption)
	}
	kernels := newModel(nestedRun()).inKernels(newModel(nestedRun()).platforms)
	if len(kernels) != 3 || len(kernels[0].rows) != 3 || len(kernels[2].rows) != 2 {
		t.Errorf("%+v", kernels)
	}

	// A second container with the numbers of the first, and one that was not seen.
	run := nestedRun()
	again := run.Platforms[1]
	again.Name = "runc"
	unseen := again
	unseen.Name, unseen.Status = "crun", result.Unavailable
	run.Platforms = append(run.Platforms, again, unseen)
	run.Samples = append(run.Samples, result.Sample{Experiment: "identity", Platform: "runc", Identity: run.Identity("container")})
	for _, want := range []string{"container and runc have a number in common", "Not seen: crun (unavailable)."} {
		if f := figureOf(run); !strings.Contains(f.Caption, want) {
			t.Errorf("no %q in %q", want, f.Caption)
		}
	}
	if f := figureOf(&result.Run{Header: nestedRun().Header}); f != nil {
		t.Error("a plot of nothing")
	}
}
