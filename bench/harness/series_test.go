package harness

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"vmctr/report/result"
)

// TestPrecision: a series ends when its median is known well enough, no sooner than with
// the least number of samples; the others go on until the time is spent or the rounds are
// done. The journal says which.
func TestPrecision(t *testing.T) {
	quiet(t)
	spread := func(sigma float64, seed uint64) func(context.Context) (result.Sample, error) {
		rng := rand.New(rand.NewPCG(seed, 0))
		return func(context.Context) (result.Sample, error) {
			time.Sleep(time.Second)
			return result.Sample{Values: map[string]float64{"x_ns": math.Exp(sigma * rng.NormFloat64())}}, nil
		}
	}
	plan := func() Plan {
		return Plan{Experiment: "startup", Warmups: 1, Rounds: 300, Budget: 200 * time.Second, Trials: []Trial{
			{Platform: "steady", Value: "x_ns", HalfWidth: 0.05, Measure: spread(0.001, 1)},
			{Platform: "wide", Value: "x_ns", HalfWidth: 0.05, Measure: spread(0.1, 2)},
			{Platform: "wild", Value: "x_ns", HalfWidth: 0.05, Measure: spread(1, 3)},
			{Platform: "other", Value: "y_ns", HalfWidth: 0.05, Measure: spread(0, 4)},
			{Platform: "asked for none", Value: "x_ns", Measure: spread(0.001, 5)},
		}}
	}
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, 1)
		if err := f.Rounds(t.Context(), plan()); err != nil {
			t.Fatal(err)
		}
		run := f.read(t)
		if len(run.Endings) != 5 {
			t.Fatalf("%d endings, want one of each series: %+v", len(run.Endings), run.Endings)
		}
		for _, e := range run.Endings {
			n := len(run.Values("startup", e.Platform, "x_ns"))
			want, samples := result.BudgetSpent, n
			switch e.Platform {
			case "steady":
				if want = result.PrecisionReached; n != leastSamples {
					t.Errorf("steady: ended after %d samples, want %d", n, leastSamples)
				}
			case "wide":
				if want = result.PrecisionReached; n <= leastSamples || *e.HalfWidth > 0.05 {
					t.Errorf("wide: ended after %d samples with a half-width of %v", n, *e.HalfWidth)
				}
			case "wild":
				if *e.HalfWidth <= 0.05 {
					t.Errorf("wild: half-width %v", *e.HalfWidth)
				}
			case "other":
				if samples = 0; e.HalfWidth != nil {
					t.Errorf("without its value: half-width %v", *e.HalfWidth)
				}
			}
			if e.Reason != want || e.Samples != samples {
				t.Errorf("%s ended by %s with %d samples, want %s and %d", e.Platform, e.Reason, e.Samples, want, samples)
			}
		}
		// The time of those that have ended is the others': they have more than a fifth.
		if n := len(run.Values("startup", "wild", "x_ns")); n < 45 {
			t.Errorf("wild: %d samples in 200 s, with ever fewer beside it", n)
		}
	})
	// All that were to be known are: the experiment ends.
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, 1)
		p := plan()
		p.Trials, p.Budget = p.Trials[:1], time.Hour
		begin := time.Now()
		if err := f.Rounds(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took != (1+leastSamples)*time.Second {
			t.Errorf("took %v, want 21 s", took)
		}
	})
}

// TestPrecisionCovers: who looks after each sample and stops when the interval is narrow
// must not stop where it is narrow by luck: the intervals hold the true median as often as
// they say, but for a little.
func TestPrecisionCovers(t *testing.T) {
	const runs, sigma, aim = 300, 0.05, 0.03
	rng := rand.New(rand.NewPCG(1, 2))
	covered := 0
	for range runs {
		s := &series{trial: Trial{HalfWidth: aim, Value: "x"}}
		for all := (allSeries{result.Key{}: s}); s.reason == ""; all.judge() {
			s.count(result.Sample{Values: map[string]float64{"x": math.Exp(sigma * rng.NormFloat64())}})
		}
		if sum := result.Summarize(s.values); sum.Low <= 1 && 1 <= sum.High {
			covered++
		}
	}
	// 0.93 with a standard deviation of 0.015.
	if share := float64(covered) / runs; share < 0.90 {
		t.Errorf("%.3f of the intervals hold the true median, want about 0.95", share)
	}
}
