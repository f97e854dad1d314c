package isolation

import "slices"

// Answer is whether something holds, as far as the probes show.
type Answer int

// The answers. Unknown is one that a probe which could not be tried leaves open.
const (
	Unknown Answer = iota
	No
	Yes
)

// Effect is what one mechanism does against one probe.
type Effect struct {
	// Opened says that the probe is reached by a container that has all mechanisms but
	// this one, and blocked by one that has all: the mechanism is necessary.
	Opened Answer
	// Alone says that a process with this mechanism and no other blocks the probe, which
	// one with none does not: the mechanism is sufficient.
	//
	// A mechanism may need another to be made with ([Mechanism.Needs]). What that one
	// blocks alone is its own merit.
	Alone Answer
}

// An Ablation is what each mechanism protects from, found out by taking them away one at
// a time, and by giving them one at a time.
//
// The two questions have two answers. A probe that several mechanisms block alone is
// opened by none that is taken away: that is defence in depth. And a mechanism may be
// necessary and not suffice.
type Ablation struct {
	// Probes are those that were tried, in the order of [Probes].
	Probes []string

	verdicts map[string]map[string]Verdict // by variant and probe
}

// Ablate takes what the arena has found. Of a variant that was tried twice the first
// counts; but a control counts as reached if it ever was. One with an error counts for what
// was found in it until then.
func Ablate(probings []Probing) *Ablation {
	a := &Ablation{verdicts: map[string]map[string]Verdict{}}
	seen := map[string]bool{}
	for _, p := range probings {
		if a.verdicts[p.Variant] == nil {
			a.verdicts[p.Variant] = map[string]Verdict{}
		}
		for _, f := range p.Findings {
			if have := a.verdicts[p.Variant][f.Probe]; have != "" && !(p.Variant == Bare && f.Verdict == Reached) {
				continue
			}
			a.verdicts[p.Variant][f.Probe] = f.Verdict
			seen[f.Probe] = true
		}
	}
	for _, p := range Probes {
		if seen[p.Name] {
			a.Probes = append(a.Probes, p.Name)
			delete(seen, p.Name)
		}
	}
	var unknown []string // of another version
	for name := range seen {
		unknown = append(unknown, name)
	}
	slices.Sort(unknown)
	a.Probes = append(a.Probes, unknown...)
	return a
}

// Verdict is that on a probe in a variant; "" for one that was not tried.
func (a *Ablation) Verdict(probe, variant string) Verdict { return a.verdicts[variant][probe] }

// Effect is what a mechanism does against a probe. Of one whose control was not reached,
// nothing is known.
func (a *Ablation) Effect(probe, mechanism string) (e Effect) {
	if a.Verdict(probe, Bare) != Reached {
		return e
	}
	switch all, without := a.Verdict(probe, Contained), a.Verdict(probe, Without(mechanism)); {
	case all == Reached, all == Blocked && without == Blocked:
		e.Opened = No
	case all == Blocked && without == Reached:
		e.Opened = Yes
	}
	e.Alone = a.alone(probe, mechanism)
	if needs := FindMechanism(mechanism).Needs; needs != "" && e.Alone == Yes {
		switch a.alone(probe, needs) {
		case Yes:
			e.Alone = No
		case Unknown:
			e.Alone = Unknown
		}
	}
	return e
}

func (a *Ablation) alone(probe, mechanism string) Answer {
	switch a.Verdict(probe, Only(mechanism)) {
	case Blocked:
		return Yes
	case Reached:
		return No
	}
	return Unknown
}

// Count is how many probes a mechanism opens when it is taken away, and how many it
// blocks alone.
func (a *Ablation) Count(mechanism string) (opened, alone int) {
	for _, p := range a.Probes {
		e := a.Effect(p, mechanism)
		if e.Opened == Yes {
			opened++
		}
		if e.Alone == Yes {
			alone++
		}
	}
	return opened, alone
}

// Redundant are the probes that the container blocks and that no single mechanism opens
// when it is taken away, with how many block each alone: of 2 and more, any one may fail.
// Those of which an answer is unknown are not among them.
func (a *Ablation) Redundant() map[string]int {
	all := map[string]int{}
	for _, p := range a.Probes {
		if a.Verdict(p, Bare) != Reached || a.Verdict(p, Contained) != Blocked {
			continue
		}
		alone, sure := 0, true
		for _, m := range Mechanisms {
			e := a.Effect(p, m.Name)
			if e.Alone == Yes {
				alone++
			}
			sure = sure && e.Opened == No
		}
		if sure {
			all[p] = alone
		}
	}
	return all
}

// A Control is what is wrong with a probe: it does not reach what nothing protects.
type Control struct {
	Probe string
	Why   string
}

// FailedControls are the probes that nothing was in the way of and that still have not
// reached: where another finds such a one blocked, it has shown nothing. It is nil if
// there was no control at all ([Controlled]).
//
// The arena tries them before all else and, if it comes to that, after all else: each time
// once more if one failed, and one that reaches then has not. What is not reached at the
// end and was at first says that an attempt in between has changed the machine for good.
func FailedControls(probings []Probing) (failed []Control) {
	for n, times := range controls(probings) {
		first := len(failed)
		for _, p := range times {
			for _, f := range p.Findings {
				reached := slices.ContainsFunc(times, func(o Probing) bool { return o.verdict(f.Probe) == Reached })
				if reached || slices.ContainsFunc(failed, func(c Control) bool { return c.Probe == f.Probe }) {
					continue
				}
				why := string(f.Verdict)
				if f.Evidence != "" {
					why += ": " + f.Evidence
				}
				failed = append(failed, Control{f.Probe, why})
			}
		}
		for i := range failed[first:] {
			if n > 0 {
				failed[first+i].Why = "reached at first, and when all else was done " + failed[first+i].Why
			}
		}
	}
	return failed
}

// controls are the probings with nothing in the way, those without others between them
// together.
func controls(probings []Probing) (all [][]Probing) {
	last := ""
	for _, p := range probings {
		if p.Variant == Bare && last != Bare {
			all = append(all, nil)
		}
		if last = p.Variant; last == Bare {
			all[len(all)-1] = append(all[len(all)-1], p)
		}
	}
	return all
}

func (p Probing) verdict(probe string) Verdict {
	for _, f := range p.Findings {
		if f.Probe == probe {
			return f.Verdict
		}
	}
	return ""
}

// Controlled gives findings as they stand beside their controls, those of the arena: one
// whose control failed is inconclusive. Without any control they stand as they are: who
// shows them has to say so.
func Controlled(findings []Finding, arena []Probing) []Finding {
	all := slices.Clone(findings)
	failed := FailedControls(arena)
	for i, f := range all {
		for _, c := range failed {
			if c.Probe == f.Probe && f.Verdict == Blocked {
				all[i].Verdict = Inconclusive
				all[i].Evidence = "its control failed (" + c.Why + ")"
				if f.Evidence != "" {
					all[i].Evidence += "; here: " + f.Evidence
				}
			}
		}
	}
	return all
}
