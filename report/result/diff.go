package result

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// A Diff is what changed from one run to another, and under which circumstances.
//
// It speaks of two runs, not of two versions of a program: what a p-value excludes is
// chance among the samples of these two, and not that the host was in another state in
// the second run. Only runs that are repeated in turn can tell that.
type Diff struct {
	Old, New *Run
	// Circumstances are those that differ, those of the whole runs first.
	Circumstances []Circumstance
	// Missing are platforms that only one of the runs has figures of, and why.
	Missing []Missing
	Rows    []DiffRow
}

// A Circumstance is a fact of the two runs that is not the same.
type Circumstance struct {
	Platform string `json:"platform,omitempty"` // "" for all
	Name     string `json:"name"`
	Old      string `json:"old"`
	New      string `json:"new"`
}

// Missing is a platform without figures in one of the runs.
type Missing struct {
	Platform string `json:"platform"`
	Run      string `json:"run"` // "old" or "new"
	Why      string `json:"why"`
}

// An Outcome is what became of one value.
type Outcome string

// The outcomes. Worse and Better are told by the test, whatever the size of the change.
const (
	Worse        Outcome = "worse"
	Better       Outcome = "better"
	Changed      Outcome = "changed" // of a value of which neither more nor less is good
	Same         Outcome = "no difference shown"
	TooFew       Outcome = "too few samples"
	Incomparable Outcome = "not comparable"
)

// A DiffRow is one value of one platform in both runs.
type DiffRow struct {
	Key
	Value    string
	Old, New Summary
	// Ratio is that of the new median to the old one.
	Ratio Ratio
	// P is the Mann-Whitney test's, corrected by Holm's method for all rows; NaN
	// where there is none.
	P float64
	// Delta is Cliff's: 1 when all new values are larger than all old ones.
	Delta float64
	// Emulated says so of either.
	Emulated bool
	Outcome  Outcome
	Why      string // of Incomparable
}

// Regressed tells whether a value is worse by at least a share of its old median.
func (r *DiffRow) Regressed(threshold float64) bool {
	if r.Outcome != Worse {
		return false
	}
	if math.IsNaN(r.Ratio.Ratio) {
		return true // from nothing to something
	}
	return r.Ratio.Ratio >= 1+threshold
}

// neutral are values of which neither more nor less is good: what was asked for, what a
// guest sees, and what two instances share. By the beginning of their name.
var neutral = []string{"guest_", "mergeable_", "ksm_", "touch", "ram_touched_", "ram_freed_", "ram_balloon_", "freed_for_", "compare_", "shared_", "cached_"}

// isCompared tells whether a value is a time or a size, and not the error of one.
func isCompared(experiment, name string) bool {
	return Unit(name) != "" && !(experiment == "identity" && name == "delay_ns") && !strings.HasSuffix(name, "_error_ns") && !strings.HasSuffix(name, "_unseen_ns") && name != "injected_ns"
}

// NewDiff compares two runs.
func NewDiff(before, after *Run) *Diff {
	d := &Diff{Old: before, New: after, Circumstances: circumstances(before, after)}
	names := func(r *Run) []string {
		list := slices.Clone(r.Header.Platforms)
		for _, p := range r.Platforms {
			list = append(list, p.Name)
		}
		for _, s := range r.Samples {
			list = append(list, s.Platform)
		}
		return list
	}
	seen := map[string]bool{}
	for _, name := range append(names(before), names(after)...) {
		if seen[name] {
			continue
		}
		seen[name] = true
		x, y := hasFigures(before, name), hasFigures(after, name)
		switch {
		case x && !y:
			d.Missing = append(d.Missing, Missing{name, "new", after.whyMissing(name)})
		case y && !x:
			d.Missing = append(d.Missing, Missing{name, "old", before.whyMissing(name)})
		case x && y:
			d.Circumstances = append(d.Circumstances, platformCircumstances(before.platform(name), after.platform(name))...)
		}
	}
	d.addRows()
	return d
}

func hasFigures(r *Run, platform string) bool {
	return slices.ContainsFunc(r.Samples, func(s Sample) bool {
		return s.Platform == platform && !s.Warmup && s.Error == "" && len(s.Values) > 0
	})
}

func (r *Run) platform(name string) Platform {
	for _, p := range r.Platforms {
		if p.Name == name {
			return p
		}
	}
	return Platform{Name: name}
}

func (r *Run) whyMissing(name string) string {
	p := r.platform(name)
	switch {
	case p.Reason != "":
		return fmt.Sprintf("%s: %s", p.Status, p.Reason)
	case slices.Contains(r.Header.Platforms, name):
		return "it has no sample that counts"
	default:
		return "it was not asked for"
	}
}

// addRows compares each value that both runs have.
func (d *Diff) addRows() {
	var experiments []string
	for _, s := range d.Old.Samples {
		if !slices.Contains(experiments, s.Experiment) {
			experiments = append(experiments, s.Experiment)
		}
	}
	for _, e := range experiments {
		for _, value := range d.Old.valueNames(e) {
			for _, k := range d.Old.Keys(e) {
				a, b := d.Old.ValuesOf(k, value), d.New.ValuesOf(k, value)
				if len(a) > 0 && len(b) > 0 && !(zero(a) && zero(b)) {
					d.Rows = append(d.Rows, d.row(k, value, a, b))
				}
			}
		}
	}
	p := make([]float64, len(d.Rows))
	for i := range d.Rows {
		p[i] = d.Rows[i].P
	}
	for i, corrected := range Holm(p) {
		r := &d.Rows[i]
		r.P = corrected
		if r.Outcome == "" {
			r.Outcome = r.outcome()
		}
	}
}

// zero tells of an account that nothing is on: to compare it would only cost the others,
// whose p-values are corrected for the number of all.
func zero(values []float64) bool {
	return !slices.ContainsFunc(values, func(v float64) bool { return v != 0 })
}

// valueNames are the compared values of an experiment: those that its first samples
// have first, which are in the order of the alphabet among themselves.
func (r *Run) valueNames(experiment string) []string {
	var names []string
	for i := range r.Samples {
		s := &r.Samples[i]
		if s.Experiment != experiment {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(s.Values)) {
			if isCompared(experiment, name) && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

func (d *Diff) row(k Key, value string, before, after []float64) DiffRow {
	r := DiffRow{Key: k, Value: value, Old: Summarize(before), New: Summarize(after)}
	// In order they are faster to compare. The row need not keep them.
	before, after = r.Old.Sorted, r.New.Sorted
	r.Old.Values, r.Old.Sorted, r.New.Values, r.New.Sorted = nil, nil, nil, nil
	r.Ratio, r.Delta = Compare(after, before, d.New.Header.Seed), CliffsDelta(after, before)
	x, y := d.Old.platform(k.Platform), d.New.platform(k.Platform)
	r.Emulated = x.Emulated || y.Emulated
	var warnings []Warning
	r.P, warnings = MannWhitney(before, after)
	switch {
	case x.Emulated != y.Emulated:
		word := map[bool]string{true: "emulated", false: "not emulated"}
		r.Outcome, r.Why, r.P = Incomparable, fmt.Sprintf("%s in the old run, %s in the new one", word[x.Emulated], word[y.Emulated]), math.NaN()
	case len(before) < minSamples || len(after) < minSamples || slices.ContainsFunc(warnings, func(w Warning) bool { return w.Code == FewSamples }):
		r.Outcome, r.P = TooFew, math.NaN()
	}
	return r
}

// outcome tells what the corrected p-value and the direction come to.
func (r *DiffRow) outcome() Outcome {
	switch {
	case !(r.P < 1-confidence):
		return Same
	case slices.ContainsFunc(neutral, func(prefix string) bool { return strings.HasPrefix(r.Value, prefix) }):
		return Changed
	case r.Delta > 0:
		return Worse // of times and sizes less is better
	default:
		return Better
	}
}

// circumstances are the facts of whole runs that differ.
func circumstances(before, after *Run) []Circumstance {
	var list []Circumstance
	add := func(name, x, y string) {
		if x != y {
			list = append(list, Circumstance{Name: name, Old: cmp.Or(x, none), New: cmp.Or(y, none)})
		}
	}
	x, y := before.Header, after.Header
	a, b := x.Host, y.Host
	add("host", a.Hostname, b.Hostname)
	add("machine", a.Machine, b.Machine)
	add("CPU", a.CPU, b.CPU)
	add("CPUs", fmt.Sprint(a.CPUs), fmt.Sprint(b.CPUs))
	add("memory", FormatValue(float64(a.MemTotal), "bytes"), FormatValue(float64(b.MemTotal), "bytes"))
	add("virtualization of the host", a.Virtualization, b.Virtualization)
	add("operating system", a.OS, b.OS)
	add("kernel", a.Kernel.Release+" "+a.Kernel.Version, b.Kernel.Release+" "+b.Kernel.Version)
	add("kernel command line", a.Cmdline, b.Cmdline)
	if a.Hostname == b.Hostname && a.BootID != b.BootID {
		list = append(list, Circumstance{Name: "boot of the host", Old: "one", New: "another"})
	}
	add("governor", a.Governor, b.Governor)
	add("turbo", a.Turbo, b.Turbo)
	add("transparent huge pages", a.THP, b.THP)
	add("KSM", a.KSM, b.KSM)
	add("swap", FormatValue(float64(a.SwapTotal), "bytes"), FormatValue(float64(b.SwapTotal), "bytes"))
	add("cgroups", a.Cgroup, b.Cgroup)
	add("root", fmt.Sprint(a.Root), fmt.Sprint(b.Root))
	for _, name := range keysOf(a.Mitigations, b.Mitigations) {
		add("mitigation of "+name, a.Mitigations[name], b.Mitigations[name])
	}
	add("bench", x.Version, y.Version)
	add("Go", a.Go, b.Go)
	add("profile", x.Profile, y.Profile)
	add("image", x.Image.Name+" "+x.Image.Digest, y.Image.Name+" "+y.Image.Digest)
	add("how it ended", before.howEnded(), after.howEnded())
	add("times that it was stopped and resumed", fmt.Sprint(len(before.Resumes)), fmt.Sprint(len(after.Resumes)))
	add("samples taken under disturbance", before.disturbed(), after.disturbed())
	// What disturbed the one and not the other.
	for i, r := range []*Run{before, after} {
		other := []*Run{after, before}[i]
		for _, n := range r.Notes {
			if slices.ContainsFunc(other.Notes, func(m Note) bool { return m.Text == n.Text }) {
				continue
			}
			c := Circumstance{Name: "noted", Old: none, New: none}
			if i == 0 {
				c.Old = n.Text
			} else {
				c.New = n.Text
			}
			list = append(list, c)
		}
	}
	return list
}

// howEnded is how a run ended.
func (r *Run) howEnded() string {
	if r.End == nil {
		return "cut off"
	}
	return r.End.Reason
}

// disturbed counts the samples that others than bench may have changed.
func (r *Run) disturbed() string {
	n := r.Count("", "")
	if n.Disturbed == 0 {
		return "none"
	}
	return fmt.Sprintf("%d of %d", n.Disturbed, n.Counted)
}

// platformCircumstances are those of one platform: its accelerator, versions, limits.
func platformCircumstances(x, y Platform) []Circumstance {
	var list []Circumstance
	add := func(name, a, b string) {
		if a != b {
			list = append(list, Circumstance{Platform: x.Name, Name: name, Old: cmp.Or(a, none), New: cmp.Or(b, none)})
		}
	}
	accelerator := func(p Platform) string {
		if p.Emulated {
			return strings.TrimSpace(p.Accelerator + " (emulated)")
		}
		return p.Accelerator
	}
	add("accelerator", accelerator(x), accelerator(y))
	add("status", string(x.Status), string(y.Status))
	for _, name := range keysOf(x.Details, y.Details) {
		add(name, x.Details[name], y.Details[name])
	}
	return list
}

// keysOf are those of both maps, in order.
func keysOf(a, b map[string]string) []string {
	all := maps.Clone(a)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}
