package selftest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"vmctr/report/result"
)

// A synthetic selftest, and what is wrong with it.
type flaws struct {
	slowClock   bool
	lateSignal  bool
	drift       float64 // of the task, in all
	alarms      float64 // by how much B is slower than A
	deaf        float64 // what is left of an injected delay
	disagree    float64 // by how much bench's times differ from hyperfine's
	noHyperfine bool
	comparisons int
}

func synthetic(f flaws) *result.Run {
	rng := rand.New(rand.NewPCG(5, 6))
	run := &result.Run{
		Header: result.Header{Platforms: []string{"process", "container", "crun", "vm-q35"}},
		Platforms: []result.Platform{
			{Name: "process", Kind: "process", Status: result.Ready}, {Name: "container", Kind: "container", Status: result.Ready},
			{Name: "crun", Kind: "container", Status: result.Ready},
			{Name: "vm-q35", Kind: "vm", Status: result.Ready, Emulated: true},
			{Name: "vm-pc", Kind: "vm", Status: result.Unavailable, Reason: "there is no QEMU", Fix: "install it"},
			{Name: Hyperfine, Status: result.Ready},
		},
		End: &result.End{Reason: "complete"},
	}
	at := int64(0)
	add := func(experiment, platform, series string, round int, values map[string]float64) {
		at += 1e9 / 10
		run.Samples = append(run.Samples, result.Sample{Experiment: experiment, Platform: platform, Series: series, Round: round, AtNs: at, Values: values})
	}
	skewed := func(scale float64) float64 { return scale * (1 + 0.05*math.Exp(rng.NormFloat64()/2)) }
	begin := func(i, blocks int) {
		for round := range 9 {
			add(Drift, Host, "", round, map[string]float64{"task_ns": 3e6 * (1 + 0.002*rng.NormFloat64() + f.drift*float64(i)/float64(blocks)), "raw_ns": 1e-5 * float64(at), "realtime_ns": 0})
		}
	}
	for range 10 {
		read := 40.
		if f.slowClock {
			read = 2500
		}
		add(Clock, Host, "", 0, map[string]float64{"resolution_ns": 1, "read_ns": read + rng.Float64(), "step_ns": 20, "backward": 0})
		delay := 9e3
		if f.lateSignal {
			delay = 150e3
		}
		for _, p := range []string{"process", "container", "crun"} {
			add(Delay, p, "", 0, map[string]float64{"delay_ns": skewed(delay), "first_instruction_ns": 4e6})
		}
	}
	add(Delay, "vm-q35", "", 0, map[string]float64{"delay_ns": 2e5, "first_instruction_ns": 2e9})
	for block := range 12 {
		begin(block, 12)
		for round := range f.comparisons * SeriesSize / 12 {
			for _, e := range []string{AA, AARounds} {
				add(e, "process", A, round, map[string]float64{"first_instruction_ns": skewed(1e6)})
				add(e, "process", B, round, map[string]float64{"first_instruction_ns": skewed(1e6 * (1 + f.alarms))})
			}
		}
		for round := range 200 {
			add(Injected, "container", None, round, map[string]float64{"first_instruction_ns": skewed(4e6)})
			add(Injected, "container", Series(5), round, map[string]float64{"first_instruction_ns": skewed(4e6) + 0.05*4e6*(1-f.deaf)})
			add(Others, "container", None, round, map[string]float64{"first_instruction_ns": skewed(4e6)})
			for _, percent := range OtherDelays {
				add(Others, "container", Series(percent), round, map[string]float64{"first_instruction_ns": skewed(4e6) + float64(percent)/100*4e6})
			}
		}
		for _, p := range []string{"process", "crun"} {
			add(Exit, p, Own, block, map[string]float64{"exit_ns": skewed(2e6 * (1 + f.disagree))})
			if !f.noHyperfine {
				add(Exit, p, Hyperfine, block, map[string]float64{"exit_ns": skewed(2e6)})
			}
		}
	}
	if f.noHyperfine {
		run.Platforms[5].Status, run.Platforms[5].Reason, run.Platforms[5].Fix = result.Unavailable, "hyperfine is not installed", "install it"
	}
	return run
}

// TestEvaluate: a sound harness passes all, and each flaw fails what is to find it, and
// nothing else.
func TestEvaluate(t *testing.T) {
	always := []string{"Delay of the signal, vm-pc: not measured", "Start to exit: ratio to hyperfine's, runc: not measured"}
	for _, tt := range []struct {
		name string
		flaws
		want []string // what is not ok, or not measured
	}{
		{"sound", flaws{comparisons: 204}, nil},
		{"a slow clock", flaws{comparisons: 204, slowClock: true}, []string{"Clock (CLOCK_MONOTONIC), cost of a reading: not ok"}},
		{"a late signal", flaws{comparisons: 204, lateSignal: true}, []string{"Delay of the signal, process: not ok", "Delay of the signal, container: not ok", "Delay of the signal, crun: not ok"}},
		{"a host that becomes slower", flaws{comparisons: 204, drift: 0.2}, []string{"Drift of the host, a fixed task: not ok"}},
		{"false alarms", flaws{comparisons: 204, alarms: 0.02}, []string{"A/A: false alarms, dealt out at random: not ok", "A/A: false alarms, one of each a round: not ok"}},
		{"too few comparisons", flaws{comparisons: 120}, []string{"A/A: false alarms, dealt out at random: not measured", "A/A: false alarms, one of each a round: not measured"}},
		{"a delay that is not found", flaws{comparisons: 204, deaf: 0.9}, []string{"Injected delay, container, 5%: not ok"}},
		{"another instrument says otherwise", flaws{comparisons: 204, disagree: 0.2}, []string{"Start to exit: ratio to hyperfine's, process: not ok", "Start to exit: ratio to hyperfine's, crun: not ok"}},
		{"no other instrument", flaws{comparisons: 204, noHyperfine: true}, []string{"Start to exit: ratio to hyperfine's, process: not measured", "Start to exit: ratio to hyperfine's, crun: not measured"}},
	} {
		run := synthetic(tt.flaws)
		got := map[string]bool{}
		for _, c := range Evaluate(run) {
			if c.Verdict == NotOK || c.Verdict == NotMeasured {
				got[fmt.Sprintf("%s, %s: %s", c.Part, c.Name, c.Verdict)] = true
				if c.Why == "" {
					t.Errorf("%s: %s, %s is %s without a reason", tt.name, c.Part, c.Name, c.Verdict)
				}
			}
		}
		for _, want := range append(tt.want, always...) {
			if !got[want] {
				t.Errorf("%s: it does not say %q", tt.name, want)
			}
			delete(got, want)
		}
		if len(got) > 0 {
			t.Errorf("%s: it also says %v", tt.name, got)
		}
	}
}

// TestEvaluateNothing: a run that was cut off, or had nothing, has all checks, and none
// that passes.
func TestEvaluateNothing(t *testing.T) {
	cut := synthetic(flaws{comparisons: 204})
	cut.Samples, cut.End = cut.Samples[:1], nil
	for _, run := range []*result.Run{{}, cut} {
		all := Evaluate(run)
		if len(all) < 8 || len(Failed(all)) > 0 {
			t.Errorf("%d checks, of which failed: %+v", len(all), Failed(all))
		}
		for _, c := range all {
			if (c.Verdict == OK || c.Verdict == Told) && c.Part != "Clock (CLOCK_MONOTONIC)" {
				t.Errorf("ok without a sample: %+v", c)
			}
		}
		if notes := strings.Join(Notes(run, all), "\n"); strings.Contains(notes, "NaN") {
			t.Error(notes)
		}
	}
}
