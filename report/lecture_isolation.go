package report

import (
	"fmt"

	"vmctr/report/result/isolation"
)

// of is what the probes have found of a platform, or nil.
func (w *walls) of(p *platform) *walled {
	if w == nil || p == nil {
		return nil
	}
	for _, x := range w.subjects {
		if x.platform == p && !x.control {
			return x
		}
	}
	return nil
}

// first is the first platform of a kind that was tried; a machine that is not emulated first.
func (w *walls) first(kind string) (found *walled) {
	if w == nil {
		return nil
	}
	for _, x := range w.subjects {
		if x.platform.Kind == kind && !x.control && (found == nil || found.platform.Emulated && !x.platform.Emulated) {
			found = x
		}
	}
	return found
}

// cell is what a cell of the lecture's table says of a platform's attempts to get out.
func (w *walls) cell(p *platform) string {
	x := w.of(p)
	if x == nil {
		return ""
	}
	t := x.tally("")
	return fmt.Sprintf("Of %d attempts to get out, %d blocked, %d not.", t.tried(), t.blocked, t.reached)
}

// judge holds a container against a machine by the attempts that could be tried on both: how
// many reach the host from one and not from the other.
func (w *walls) judge(c, v *walled) verdict {
	var both int
	var onlyC, onlyV []isolation.Finding
	for _, f := range c.findings {
		g := v.finding(f.Probe)
		tried := func(f isolation.Finding) bool {
			return f.Verdict == isolation.Blocked || f.Verdict == isolation.Reached
		}
		if !tried(f) || !tried(g) {
			continue
		}
		both++
		switch {
		case f.Verdict == isolation.Reached && g.Verdict == isolation.Blocked:
			onlyC = append(onlyC, f)
		case g.Verdict == isolation.Reached && f.Verdict == isolation.Blocked:
			onlyV = append(onlyV, g)
		}
	}
	of := fmt.Sprintf("Of the %d attempts to get out that were tried on both, ", both)
	const kernel = " None of them uses an error of the host's kernel, which the container's system calls reach and the machine's do not."
	switch {
	case both == 0:
		return verdict{undecided, "No attempt to get out could be tried on both."}
	case len(w.arena) == 0:
		return verdict{partly, of + fmt.Sprintf("%d reached the host from %s alone and %d from %s alone; but whether they succeed where nothing protects was not tried.", len(onlyC), c.the(), len(onlyV), v.the())}
	case len(onlyC) == 0 && len(onlyV) == 0:
		return verdict{undecided, of + fmt.Sprintf("the same were blocked by %s and by %s: these attempts show no difference.", c.the(), v.the()) + kernel}
	case len(onlyV) > 0 && len(onlyC) > 0:
		return verdict{partly, of + fmt.Sprintf("%d reached the host from %s alone (%s) and %d from %s alone (%s): neither is closed where the other is open.", len(onlyC), c.the(), titles(onlyC), len(onlyV), v.the(), titles(onlyV))}
	case len(onlyV) > 0:
		return verdict{disagrees, of + fmt.Sprintf("%d reached the host from %s and not from %s: %s.", len(onlyV), v.the(), c.the(), titles(onlyV))}
	}
	text := of + fmt.Sprintf("%d reached the host from %s and not from %s: %s.", len(onlyC), c.the(), v.the(), titles(onlyC)) + kernel
	if v.platform.Emulated {
		return verdict{agreesEmulated, text + " This machine's walls are an emulator's."}
	}
	return verdict{agrees, text}
}
