// Package selftest says what a run of bench selftest shows: whether the harness that
// measures everything else can be trusted, and how far.
//
// A run of it is a journal like any other (package result). Its experiments start
// nothing that is to be compared; they ask of the way in which bench measures what one
// asks of any instrument:
//
//   - Does the clock resolve what is measured, and does it keep time?
//   - How late does the end of a start come to be known?
//   - Does the host stay the same while it is measured?
//   - Does it find a difference where there is none? One platform is compared with
//     itself (A/A), again and again. At the 5% level, 5% of the comparisons are to
//     call a difference: more are false alarms, and far fewer a test that sees nothing.
//   - Does it find a difference where there is one? Known delays are put into the start
//     of a platform.
//   - Does another instrument say the same? hyperfine times the same commands.
//
// [Evaluate] answers from the journal alone, so that an old one can be asked again.
package selftest

import (
	"fmt"
	"slices"

	"vmctr/report/result"
)

// The experiments of a selftest.
const (
	Clock    = "selftest-clock"    // of Host
	Drift    = "selftest-drift"    // of Host: a fixed task, in blocks of rounds all over the run
	Delay    = "selftest-delay"    // of every platform
	AA       = "selftest-aa"       // series A and B, dealt out at random: a round is a comparison
	AARounds = "selftest-aa-pairs" // the same, one of each in every round
	Injected = "selftest-injected" // series None, and 5%
	Others   = "selftest-others"   // series None, and the other delays
	Exit     = "selftest-exit"     // series Own and Hyperfine, a sample is a block of runs
)

// What stands in the place of a platform, and the series.
const (
	Host      = "host"
	A         = "A"
	B         = "B"
	None      = "+0%"
	Own       = "bench"
	Hyperfine = "hyperfine" // also the name under which the journal says whether there is one
)

// Series is that of an injected delay, in percent of the median.
func Series(percent int) string { return fmt.Sprintf("+%d%%", percent) }

// What is expected.
const (
	// Comparisons are how many of A with B there are at least.
	Comparisons = 200
	// SeriesSize is how many samples each side of them has. The exact test of 20
	// against 20 can attain 4.9%, near enough to 5%.
	SeriesSize = 20
	// HalfWidth is that of the median's interval, as a share of the median, up to which
	// the profile standard measures a process and a container.
	HalfWidth = 0.015
	// MustFind is the delay, in percent, that is then to be found, in at least so many
	// trials.
	MustFind   = 5
	FoundShare = 0.95

	level     = 0.05 // of the tests
	falseAt   = 0.01 // of the tests of the tests
	pipeDelay = 100e3
)

// OtherDelays are injected as well, in percent.
var OtherDelays = []int{1, 2, 10}

// A Verdict is what becomes of a check.
type Verdict string

// The verdicts.
const (
	OK          Verdict = "ok"
	NotOK       Verdict = "not ok"
	NotMeasured Verdict = "not measured"
	Told        Verdict = "told" // of a figure that is to be known, whatever it is
)

// A Check is one question and its answer.
type Check struct {
	Part    string  `json:"part"` // "A/A"
	Name    string  `json:"name"` // "process"
	Found   string  `json:"found,omitempty"`
	Wanted  string  `json:"wanted,omitempty"`
	Verdict Verdict `json:"verdict"`
	// Why is why it is not ok or not measured, and what mends it; or what else is to
	// be known.
	Why string `json:"why,omitempty"`
	// Figures are those of Found, in the units of the journal.
	Figures map[string]float64 `json:"figures,omitempty"`
}

// Evaluate gives the checks of a run, in the order of the parts.
func Evaluate(run *result.Run) []Check {
	var all []Check
	for _, part := range []func(*result.Run) []Check{clock, delays, drift, same, injected, exits} {
		all = append(all, part(run)...)
	}
	return all
}

// Failed are those that are not ok.
func Failed(all []Check) []Check {
	return slices.DeleteFunc(slices.Clone(all), func(c Check) bool { return c.Verdict != NotOK })
}

// verdict is OK or not, with the reason for the latter.
func (c Check) verdict(ok bool, why string, args ...any) Check {
	if c.Verdict = OK; !ok {
		c.Verdict, c.Why = NotOK, fmt.Sprintf(why, args...)
	}
	return c
}

// missing is a check that could not be made.
func missing(part, name, why string) Check {
	return Check{Part: part, Name: name, Verdict: NotMeasured, Why: why}
}

// why tells why a platform has no samples of an experiment.
func why(run *result.Run, experiment, platform string) string {
	for _, p := range run.Platforms {
		if p.Name == platform && p.Status != result.Ready {
			if p.Fix != "" {
				return p.Reason + "; " + p.Fix
			}
			return p.Reason
		}
	}
	if failed := run.Failures(experiment, platform); len(failed) > 0 {
		return fmt.Sprintf("%d samples failed; the first: %s", len(failed), failed[0].Error)
	}
	if run.End == nil || run.End.Reason != "complete" {
		return "the run ended before"
	}
	if platform != Host && !slices.Contains(run.Header.Platforms, platform) {
		return "it was not among the platforms: it was not asked for, is not installed, or does not run for this user"
	}
	return "there was no time for it; a longer selftest (--time) has it"
}

func percent(share float64) string { return fmt.Sprintf("%.3g%%", 100*share) }
