package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"vmctr/report/result"
	"vmctr/report/result/isolation"
)

const probesExperiment = "probes"

// walls are what the probes of a run have found.
type walls struct {
	arena    []isolation.Probing // in the throwaway machine, by variant
	machine  result.Platform     // that machine
	ablation *isolation.Ablation
	subjects []*walled
}

// walled is one platform, as the probes have found it.
type walled struct {
	platform *platform
	findings []isolation.Finding
	// control says that nothing was in the way: it is the plain process, which was tried in
	// the throwaway machine alone.
	control bool
	sameKernel
}

// sameKernel tells whose kernel served the attempts.
type sameKernel struct{ known, host bool }

// throwaway is the machine of the run in which is tried what must not be tried on the host,
// or nil.
func (m *model) throwaway() *result.Platform {
	i := slices.IndexFunc(m.run.Platforms, func(p result.Platform) bool { return p.Experiment == isolation.Group })
	if i < 0 {
		return nil
	}
	return &m.run.Platforms[i]
}

// findWalls collects what the probes have found; nil if there were none.
func (m *model) findWalls() *walls {
	w := &walls{machine: result.Platform{Name: "throwaway"}}
	if p := m.throwaway(); p != nil {
		w.machine = *p
	}
	for i := range m.run.Samples {
		if s := &m.run.Samples[i]; s.Experiment == probesExperiment && s.Platform == w.machine.Name {
			w.arena = append(w.arena, s.Probings...)
		}
	}
	w.ablation = isolation.Ablate(w.arena)
	for _, p := range m.platforms {
		x := &walled{platform: p}
		for i := range m.run.Samples {
			s := &m.run.Samples[i]
			if s.Experiment != probesExperiment || s.Platform != p.Name || len(s.Probings) == 0 || x.findings != nil {
				continue
			}
			x.take(s.Probings[0], w.arena)
		}
		if p.Kind == "process" {
			for _, found := range w.arena {
				if found.Variant == isolation.Bare && x.findings == nil {
					x.take(found, nil)
					x.control = true
				}
			}
		}
		if len(x.findings) > 0 {
			w.subjects = append(w.subjects, x)
		}
	}
	if len(w.subjects) == 0 && len(w.arena) == 0 {
		return nil
	}
	return w
}

func (x *walled) take(p isolation.Probing, arena []isolation.Probing) {
	x.findings = isolation.Controlled(p.Findings, arena)
	for i := range x.findings {
		f := &x.findings[i]
		f.Probe, f.Evidence, f.Errno = clean(f.Probe), clean(f.Evidence), clean(f.Errno)
	}
	x.sameKernel = sameKernel{p.BootID != "" && p.HostBootID != "", p.BootID == p.HostBootID}
}

// tally counts the verdicts of a group of probes; of all, if it is "".
type tally struct{ blocked, reached, open int }

// tried counts those that could be made.
func (t tally) tried() int { return t.blocked + t.reached }

func (t tally) all() int { return t.tried() + t.open }

func (x *walled) tally(group string) (t tally) {
	for _, f := range x.findings {
		if group != "" && isolation.Find(f.Probe).Group != group {
			continue
		}
		switch f.Verdict {
		case isolation.Blocked:
			t.blocked++
		case isolation.Reached:
			t.reached++
		default:
			t.open++
		}
	}
	return t
}

// with are the findings of a verdict.
func (x *walled) with(v isolation.Verdict) []isolation.Finding {
	return slices.DeleteFunc(slices.Clone(x.findings), func(f isolation.Finding) bool { return f.Verdict != v })
}

// finding is that of a probe, or one without a verdict.
func (x *walled) finding(probe string) isolation.Finding {
	for _, f := range x.findings {
		if f.Probe == probe {
			return f
		}
	}
	return isolation.Finding{Probe: probe}
}

// the is the subject in a sentence.
func (x *walled) the() string { return x.platform.the() }

// groupTitles say in two or three words what the probes of a group try.
var groupTitles = map[string]string{
	"see": "See the host", "read": "Read its data", "write": "Change its data", "signal": "End its processes", "trace": "Look into them", "mount": "Mount its files",
	"load": "Load code into it", "network": "Reach its network", "time": "Set its clock", "resource": "Take more than given", "kernel": "Steer its kernel", "cve": "Known ways out",
}

func groupTitle(group string) string { return cmpOr(groupTitles[group], group) }

// groups are those that the findings are of.
func (w *walls) groups() []string {
	return slices.DeleteFunc(slices.Clone(isolation.Groups), func(g string) bool {
		return !slices.ContainsFunc(w.subjects, func(x *walled) bool { return x.tally(g).all() > 0 })
	})
}

// wallsSection shows what attempts to get out of an instance have come to.
func (m *model) wallsSection() (s section, any bool) {
	w := m.walls
	if w == nil {
		return s, false
	}
	s = section{ID: "isolation", Title: "Isolation: what the walls stop"}
	add := func(b ...block) { s.Blocks = append(s.Blocks, b...) }
	add(paragraph{"Question.", "A program wants out: it tries to see, read, change and disturb what is not its own. What does it reach of the host, and which wall stops it?"})
	for _, f := range m.matrixFigures(w) {
		add(f)
	}
	add(paragraph{"Findings.", ""}, points(m.wallWords(w)))
	if t := m.reachedTable(w); t != nil {
		add(t)
	}
	add(paragraph{"How to read it.", "\"Blocked\" is an attempt that was made and has left its target alone; \"reached\" one that has seen or changed it; \"not tried\" " +
		"one that could not be made there, for a reason that the evidence gives. They are words and counts, and no score: one way out is enough for who finds it, and which of them matters depends on what is to be kept safe."})
	for _, f := range m.ablationFigures(w) {
		add(f)
	}
	if len(w.arena) > 2 {
		add(paragraph{"Which wall does what.", ""}, points(m.ablationWords(w)), paragraph{"How to read it.", "A full mark stands where a container that lacks this one wall lets the attempt through: the wall is necessary. A ring stands where " +
			"a plain process that has this wall and no other is stopped by it: the wall is sufficient. Where there are several rings and no full mark, " +
			"several walls stand one behind the other, and any one of them may fail."})
	}
	method := m.wallMethod(w)
	if w.first("container") != nil || w.first("vm") != nil {
		method += " What was seen of each attempt is [in the appendix](#evidence)."
	}
	add(paragraph{"How it was measured.", method}, paragraph{"What it does not tell.", m.wallLimits()}, paragraph{"What others measured.", wallsPublished})
	s.Ask = m.wallsAsk(w)
	return s, true
}

// wallsAsk are questions on what was found.
func (m *model) wallsAsk(w *walls) []string {
	ask := []string{"Choose one attempt that was blocked in the container. By which wall was it stopped, and what would its success have been worth to an attacker?"}
	if c := w.first("container"); c != nil && c.tally("").reached > 0 {
		ask = append(ask, fmt.Sprintf("%s reached the host from %s. Which of these would you accept for a program that you do not trust, and how could the others be closed?",
			count(c.tally("").reached, "attempt", "attempts"), c.the()))
	}
	if len(w.arena) > 2 {
		ask = append(ask, "Take away one wall for the sake of convenience. Which one would you choose by the figure, and what do you lose?")
	}
	if v := w.first("vm"); v != nil && v.carriedOut() > 0 && v.known && !v.host {
		ask = append(ask, fmt.Sprintf("In %s some attempts were carried out and still count as blocked. Whose kernel carried them out, and why does the host not notice?", v.the()))
	}
	return append(ask, "Which platform would you trust more if there was an error in a kernel, which none of these attempts uses, and why?")[:min(len(ask)+1, 4)]
}

// wallLimits say what these attempts cannot show.
func (m *model) wallLimits() string {
	text := "The attempts are a sample of what an attacker would try, and use no error in a kernel or in QEMU: a blocked attempt does not prove that there is no way. A container's attempts are served by the " +
		"host's own kernel, all of whose errors lie open to them, as far as the filter of system calls lets them come; those of a virtual machine by a kernel of its own, behind which there is QEMU, a process of the host " +
		"with errors of its own."
	if len(m.surfaces()) > 0 {
		text += " How much of the host's kernel each can come at is the question of [another section](#surface)."
	}
	return text
}

const wallsPublished = lin + " ran 88 exploits that were known against a default container of the time: 50 succeeded; capabilities, seccomp and mandatory " +
	"access control stopped more of them than namespaces did. Those were errors in kernels, of which none is tried here."

// wallWords are what was found, a sentence for each platform first.
func (m *model) wallWords(w *walls) (words []string) {
	var fared alike
	for _, x := range w.subjects {
		if !x.control {
			fared.add(x.the(), x.words())
		}
	}
	for _, text := range fared.texts {
		words = append(words, begin(list(fared.who[text]))+": "+text+".")
	}
	return append(words, w.controlWords())
}

// words are what was found of one platform.
func (x *walled) words() string {
	t := x.tally("")
	text := fmt.Sprintf("of %s to get out, %d were blocked", count(t.tried(), "attempt", "attempts"), t.blocked)
	if own := x.carriedOut(); own > 0 && x.known && !x.host {
		text += fmt.Sprintf(" (%d of these were carried out, by and on the machine's own kernel: the host did not notice)", own)
	}
	if t.reached == 0 {
		text += ", and none reached the host"
	} else {
		text += fmt.Sprintf(", and %d reached the host: %s", t.reached, titles(x.with(isolation.Reached)))
	}
	if t.open > 0 {
		text += fmt.Sprintf(". %d more could not be tried there", t.open)
	}
	return text
}

// lines say the same in short, for a terminal.
func (w *walls) lines() (lines []string) {
	if w == nil {
		return nil
	}
	for _, x := range w.subjects {
		t := x.tally("")
		if x.control {
			continue
		}
		text := fmt.Sprintf("%s: of %d attempts to get out, %d blocked", x.platform.label(), t.tried(), t.blocked)
		if t.reached > 0 {
			text += fmt.Sprintf(" and %d not: %s", t.reached, titles(x.with(isolation.Reached)))
		}
		lines = append(lines, text+".")
	}
	return append(lines, w.controlWords())
}

// carriedOut counts the attempts that were blocked though nothing has refused them.
func (x *walled) carriedOut() (n int) {
	for _, f := range x.findings {
		if f.Verdict == isolation.Blocked && f.Own {
			n++
		}
	}
	return n
}

// titles name probes, in small letters, some of many.
func titles(findings []isolation.Finding) string {
	var names []string
	for _, f := range findings {
		names = append(names, lowerFirst(isolation.Find(f.Probe).Title))
	}
	if n := len(names); n > 8 {
		names = append(names[:7], fmt.Sprintf("%d others", n-7))
	}
	return list(names)
}

func lowerFirst(s string) string {
	if len(s) > 1 && s[1] >= 'a' && s[1] <= 'z' {
		return strings.ToLower(s[:1]) + s[1:]
	}
	return s
}

// controlWords tell whether the probes are good for anything.
func (w *walls) controlWords() string {
	bare := 0
	for _, p := range w.arena {
		if p.Variant == isolation.Bare {
			bare = max(bare, len(p.Findings))
		}
	}
	failed := isolation.FailedControls(w.arena)
	switch {
	case bare == 0:
		return "There was no control: whether these attempts succeed where nothing protects was not tried in this run. " + cmpOr(stop(w.machine.Reason), "The throwaway machine, where that is done, did not come up.")
	case len(failed) == 0:
		return fmt.Sprintf("The control: where nothing protects, as root of a machine to be thrown away, each of the %d attempts reached its target. So what is blocked elsewhere was stopped by something.", bare)
	default:
		var names []string
		for _, c := range failed {
			names = append(names, clean(c.Probe))
		}
		return fmt.Sprintf("The control failed for %d of %d attempts, which did not reach their target where nothing protects: %s. They say nothing of walls, and count as not tried.", len(failed), bare, clip(list(names), 300))
	}
}

// reachedTable explains each attempt that came through where there are walls.
func (m *model) reachedTable(w *walls) *table {
	by := map[string][]string{}
	for _, x := range w.subjects {
		if x.control {
			continue
		}
		for _, f := range x.with(isolation.Reached) {
			by[f.Probe] = append(by[f.Probe], x.platform.label())
		}
	}
	if len(by) == 0 {
		return nil
	}
	t := &table{Caption: "What was reached in spite of the walls", Columns: []column{{Title: "Attempt", Wide: 1.2}, {Title: "From", Wide: 1}, {Title: "What it does", Wide: 3}}}
	for _, name := range inOrder(by) {
		p := isolation.Find(name)
		t.Rows = append(t.Rows, []string{p.Title, strings.Join(by[name], ", "), p.About})
	}
	return t
}

// inOrder are the names of probes in the order of the catalogue, strangers last.
func inOrder[T any](by map[string]T) (names []string) {
	for _, p := range isolation.Probes {
		if _, ok := by[p.Name]; ok {
			names = append(names, p.Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(by)) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// ablationWords say which wall does most, and what stands behind several.
func (m *model) ablationWords(w *walls) (words []string) {
	most, mostAlone := "", 0
	var necessary, idle, untried []string
	for _, mech := range isolation.Mechanisms {
		opened, alone := w.ablation.Count(mech.Name)
		if alone > mostAlone {
			most, mostAlone = mech.Title, alone
		}
		switch {
		case !w.tried(mech.Name):
			untried = append(untried, lowerFirst(mech.Title))
		case opened > 0:
			necessary = append(necessary, fmt.Sprintf("%s (%s)", lowerFirst(mech.Title), count(opened, "attempt", "attempts")))
		case alone == 0:
			idle = append(idle, lowerFirst(mech.Title))
		}
	}
	if mostAlone > 0 {
		words = append(words, fmt.Sprintf("What stops most by itself: %s. A plain process with that and no other wall is kept from %d of the %d targets.", lowerFirst(most), mostAlone, len(w.ablation.Probes)))
	}
	if len(necessary) > 0 {
		words = append(words, "Walls that nothing else stands in for: without them, and with all others, some attempts come through. "+sentence(list(necessary)))
	}
	several := 0
	redundant := w.ablation.Redundant()
	for _, n := range redundant {
		if n > 1 {
			several++
		}
	}
	if several > 0 {
		words = append(words, fmt.Sprintf("Defence in depth: %s of the container's %d that are blocked would be stopped by any one of several walls, each alone.", count(several, "attempt", "attempts"), w.contained()))
	}
	if len(idle) > 0 {
		words = append(words, fmt.Sprintf("Not seen to stop any of these attempts: %s. That says something of the attempts, which are a sample, and not that the wall is idle.", list(idle)))
	}
	if len(untried) > 0 {
		words = append(words, fmt.Sprintf("Neither taken away nor given alone in this run, so that nothing is known of them: %s.", list(untried)))
	}
	return words
}

// tried tells whether a wall was taken away or given alone.
func (w *walls) tried(mechanism string) bool {
	return slices.ContainsFunc(w.ablation.Probes, func(p string) bool {
		return w.ablation.Verdict(p, isolation.Without(mechanism)) != "" || w.ablation.Verdict(p, isolation.Only(mechanism)) != ""
	})
}

// contained counts what the container of the throwaway machine blocks.
func (w *walls) contained() (n int) {
	for _, p := range w.ablation.Probes {
		if w.ablation.Verdict(p, isolation.Contained) == isolation.Blocked {
			n++
		}
	}
	return n
}

func (m *model) wallMethod(w *walls) string {
	text := "A small program runs in each instance and makes the attempts one after the other, as root of what it is in, each on a thread that ends with it. Each has a target on the host that is made for it alone, a canary: a file, a process or a listener with a random word in it. " +
		"Afterwards the host looks whether the canary was touched, or whether the program knows the word. What the program says of itself is evidence; the verdict is the host's. "
	if len(w.arena) > 0 {
		machine := "a machine to be thrown away (QEMU"
		if k := w.machine.Details["guest kernel"]; k != "" {
			k, _, _ = strings.Cut(clean(k), " (") // where it lies is in the appendix
			machine += ", " + k
		}
		if w.machine.Emulated {
			machine += "; emulated, which changes how fast it is and no wall"
		}
		text += "What must not be tried on this host was tried in " + machine + "): the process without any walls, and containers that lack one wall or have but one. There that machine is the host. Its kernel is another than " +
			"this host's, and so is what it was built with; the walls are the same code of bench and the same features of Linux. "
	}
	return text + "An attempt that succeeds harms nothing, and is put back."
}
