package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// A useCase is one of those that the lecture names, with what the run has to say of it.
type useCase struct {
	Name, Choice string // the lecture's words
	Needs        string // what decides
	verdict
}

// useCases are those of the lecture, and last the combination of both.
func (m *model) useCases() []useCase {
	return []useCase{
		{"Legacy applications", "virtual machine", "the kernel that the program was made for, which need not be the host's", m.useLegacy()},
		{"Several operating systems", "virtual machine", "a kernel for each of them, on one computer", m.useSystems()},
		{"Security-critical applications", "virtual machine", "a wall that holds when a program behind it is malicious", m.useSecurity()},
		{"Microservices", "containers", "many small instances side by side, each of which is reached over the network soon after it was asked for", m.useMicroservices()},
		{"CI/CD pipelines", "containers", "a new instance for every job, which is thrown away after it", m.usePipelines()},
		{"DevOps", "containers", "the same files where a program is written and where it is used, and a short way for each new version", m.useDevOps()},
		{"Both at once", "containers in virtual machines", "the wall of a machine, and in it what containers are good for", m.useBoth()},
	}
}

// usesSection answers: when to take which?
func (m *model) usesSection() section {
	s := section{ID: "uses", Title: "Use cases: when to take which"}
	add := func(b ...block) { s.Blocks = append(s.Blocks, b...) }
	add(paragraph{"Question.", "The lecture names uses for virtual machines and uses for containers. What does each of them need, and what do the figures of this run say: is the lecture's choice the better one on this computer?"})
	for _, u := range m.useCases() {
		add(paragraph{u.Name + " (lecture: " + u.Choice + ").", fmt.Sprintf("Needed: %s. **%s.** %s", u.Needs, u.Mark, u.Text)})
	}
	if t := m.usesTable(); t != nil {
		add(t)
	} else {
		add(paragraph{"Not measured.", "This run has none of the figures by which the uses are judged."})
	}
	add(paragraph{"How to read it.", "\"Agrees\" says that what the use needs was measured, and that the lecture's choice had more of it here, with an interval that does not hold 1 where there is one. \"Partly measured\" says that a condition for it was seen and the use itself was not tried. " +
		"None of these sentences chooses for you: they say what a choice costs here, and what it buys."},
		paragraph{"How it was measured.", "Nothing was measured for this section. It puts together what other sections have: " + m.usesSources() + ". They have the intervals, the numbers of samples, and the method."},
		paragraph{"What it does not tell.", m.usesLimits()},
		paragraph{"What others measured.", felter + " ran MySQL: in a Docker container within 2% of the speed without, in a machine under KVM more than 40% slower. " +
			"The choice is not for ever: machines that were built for many small instances start in at most 125" + nbsp + "ms with an overhead of at most 5" + nbsp + "MiB (" + firecracker + "), " +
			"and " + manco + " ran 8" + nbsp + "000 machines on one host."})
	s.Ask = []string{
		"A company wants to run programs that its customers upload, each for some seconds. Which of the figures above matter most, and what would you take?",
		"Which verdict of this section would you expect to change on a computer with hardware virtualization and more memory, and which not?",
		"Choose an application that you know. Which of the use cases is it, and what would you have to measure before you decide?",
	}
	return s
}

// usesSources links the sections that this one takes from, those that there are.
func (m *model) usesSources() string {
	sources := []string{"[startup time](#startup)", "[memory](#memory)", "[where the program found itself](#place)", "[portability](#portability)"}
	if m.walls != nil {
		sources = append(sources, "[what the walls stop](#isolation)")
	}
	if len(m.surfaces()) > 0 {
		sources = append(sources, "[how much of the host's kernel is at work](#surface)")
	}
	if columns, _ := m.faulties(); len(columns) > 0 {
		sources = append(sources, "[what a broken instance takes with it](#faults)")
	}
	return list(sources)
}

func (m *model) usesLimits() string {
	text := "No old application, no operating system other than Linux, no pipeline and no service with users was run. What people cost who look after such systems, what tools there are for each, and what a provider charges decide in practice, and are no figures of a benchmark. All was measured on one computer."
	if len(m.emulated()) > 0 {
		text += " Of machines on hardware virtualization it tells nothing: those of this run that are marked as emulated had an emulator's speed and memory."
	}
	return text
}

// useLegacy and useSystems ask whose kernel there was.
func (m *model) useLegacy() verdict {
	c, v := m.pair()
	if c == nil || v == nil {
		return verdict{unasked, m.missing(c != nil, v != nil)}
	}
	cid, vid := m.run.Identity(c.Name), m.run.Identity(v.Name)
	switch ck, vk := m.kernelOf(cid), m.kernelOf(vid); {
	case ck == kernelUnknown || vk == kernelUnknown:
		return verdict{unasked, "Whose kernel served the program was not recorded."}
	case ck != kernelShared || vk != kernelOwn:
		return verdict{disagrees, fmt.Sprintf("Here it was not the machine alone that brought a kernel: %s was served by %s, %s by %s.", c.the(), m.whose(c), v.the(), m.whose(v))}
	}
	text := fmt.Sprintf("%s was served by %s, which is the same for all containers; %s by %s.", begin(c.the()), m.whose(c), v.the(), m.whose(v))
	if vid.Kernel.Release == cid.Kernel.Release {
		text += " Here it was of the same release as the host's: that it can be another one was not tried."
	} else {
		text += " So the machine had another kernel than its host; a container has none that could be another."
	}
	return verdict{partly, text + " Whether an old application runs on either was not tried."}
}

// whose is the kernel that served the program of a platform.
func (m *model) whose(p *platform) string {
	id := m.run.Identity(p.Name)
	name := ""
	if k := clean(kernelName(id.Kernel)); k != "" {
		name = " (" + k + ")"
	}
	return map[kernelOf]string{kernelShared: "the host's kernel", kernelOwn: "a kernel of its own"}[m.kernelOf(id)] + name
}

func (m *model) useSystems() verdict {
	var systems []string
	own := false
	for _, p := range m.platforms {
		id := m.run.Identity(p.Name)
		if id == nil || id.Kernel.Sysname == "" {
			continue
		}
		own = own || m.kernelOf(id) == kernelOwn
		if s := clean(id.Kernel.Sysname); !slices.Contains(systems, s) {
			systems = append(systems, s)
		}
	}
	kernels := m.kernels()
	switch {
	case len(systems) == 0:
		return verdict{unasked, "Which kernels served the program was not recorded."}
	case len(systems) > 1:
		return verdict{agrees, fmt.Sprintf("Kernels of %d systems served the program on this one computer: %s.", len(systems), list(kernels))}
	case !own:
		return verdict{unasked, fmt.Sprintf("All platforms of this run had the host's kernel (%s): no machine was there to bring another one.", list(kernels))}
	}
	text := fmt.Sprintf("All kernels of this run were %s: %s.", systems[0], list(kernels))
	if len(kernels) > 1 {
		text += " So there was more than one kernel on this computer at a time, but no other operating system was started."
	} else {
		text += " Machines had one of their own, but no other operating system was started."
	}
	return verdict{partly, text + " For another user space on the same kernel no machine is needed: an image brings its own ([portability](#portability))."}
}

func (m *model) useSecurity() verdict {
	c, v := m.walls.first("container"), m.walls.first("vm")
	if c == nil || v == nil {
		return verdict{unasked, "Attempts to get out were not made on both in this run."}
	}
	a, b := c.tally(""), v.tally("")
	text := fmt.Sprintf("From %s, %d of %s to get out reached the host; from %s, %d of %d.", c.the(), a.reached, count(a.tried(), "attempt", "attempts"), v.the(), b.reached, b.tried())
	var surfaces []string
	for _, x := range m.surfaces() {
		if x.platform == c.platform || x.platform == v.platform {
			surfaces = append(surfaces, x.span()+" for "+x.platform.the())
		}
	}
	if len(surfaces) > 1 {
		text += " The same work made different system calls of the host's kernel, each of which is code that can have an error: " + list(surfaces) + "."
	}
	if a, b := m.panicOf(c.platform), m.panicOf(v.platform); a != "" && b != "" {
		text += fmt.Sprintf(" A panic of its kernel, on purpose: %s from %s, %s from %s.", a, c.the(), b, v.the())
	}
	return verdict{m.walls.judge(c, v).Mark, text + " Neither errors of a kernel nor of QEMU were tried, and one is enough for who knows it."}
}

// panicOf is what became of a panic that an instance wanted, "" if it was not tried.
func (m *model) panicOf(p *platform) string {
	columns, _ := m.faulties()
	for _, c := range columns {
		if c.platform == p {
			return clean(string(c.faults["panic"].Outcome))
		}
	}
	return ""
}

// oneMore is the PSS of one more instance, and whether it is the slope over several; NaN
// if neither was measured.
func (m *model) oneMore(p *platform) (bytes float64, slope bool) {
	if line, _, _ := m.lineOf(p, "pss_bytes"); !math.IsNaN(line.Slope) {
		return line.Slope, true
	}
	if s := m.metric("pss_bytes").figure(p).Summary; s.N > 0 {
		return s.Median, false
	}
	return math.NaN(), false
}

// fitsText is how many instances of so many bytes fit into 1 GiB.
func fitsText(bytes float64) string {
	n := math.Floor((1 << 30) / bytes)
	if !(n >= 1) || n > 1e6 {
		return "–"
	}
	return fmt.Sprintf("%.0f", n)
}

func (m *model) useMicroservices() verdict {
	pss, http := m.metric("pss_bytes"), m.metric("http_ns")
	c, v := pss.first("container"), pss.first("vm")
	if c == nil || v == nil {
		return m.notBoth("memory", c, v)
	}
	a, aSlope := m.oneMore(c.Platform)
	b, bSlope := m.oneMore(v.Platform)
	what := "one instance has"
	if aSlope && bSlope {
		what = "one more instance costs"
	} else {
		a, b = c.Summary.Median, v.Summary.Median
	}
	text := fmt.Sprintf("Of memory (PSS), %s %s in %s and %s in %s", what, value(a, "bytes"), c.Platform.the(), value(b, "bytes"), v.Platform.the())
	if x, y := fitsText(a), fitsText(b); x != "–" && y != "–" {
		text += fmt.Sprintf(": 1%sGiB would do for %s and for %s of them, by division, since so many were not started", nbsp, x, y)
	}
	text += fmt.Sprintf(". The ratio of the two for one instance is %s.", ratio(m.compare(pss.metric, v.Platform, c.Platform)))
	marks := []markOf{m.markOfMore(pss)}
	if c, v := http.first("container"), http.first("vm"); c != nil && v != nil {
		marks = append(marks, m.markOfMore(http))
		text += fmt.Sprintf(" The first answer over the network came after %s from %s and after %s from %s.", value(c.Summary.Median, "ns"), c.Platform.the(), value(v.Summary.Median, "ns"), v.Platform.the())
	} else {
		text += " A first answer over the network was not measured on both."
	}
	return verdict{inCommon(marks, v.Platform), text}
}

// notBoth is the verdict where an experiment has no figure of a container or of a machine.
func (m *model) notBoth(experiment string, c, v *figureOf) verdict {
	if !m.asked(experiment) && c == nil && v == nil {
		return verdict{unasked, "This run was not asked for " + experiment + "."}
	}
	return verdict{unasked, m.missing(c != nil, v != nil)}
}

// markOfMore says whether the first machine needs more of something than the first
// container, as the lecture has it; the interval of their ratio decides.
func (m *model) markOfMore(ms measured) markOf {
	c, v := ms.first("container"), ms.first("vm")
	if c == nil || v == nil {
		return unasked
	}
	_, mark := directionOf(m.compare(ms.metric, v.Platform, c.Platform))
	return mark
}

// inCommon is the mark of a use that several figures decide: that on which they agree.
func inCommon(marks []markOf, vm *platform) markOf {
	mark := marks[0]
	for _, other := range marks {
		if other != mark {
			return undecided
		}
	}
	if vm.Emulated {
		return mark.emulated()
	}
	return mark
}

// lossShare is the part of a job's time that its start may take, in the sentence on pipelines.
const lossShare = 0.05

func (m *model) usePipelines() verdict {
	start := m.metric("first_instruction_ns")
	c, v := start.first("container"), start.first("vm")
	if c == nil || v == nil {
		return m.notBoth("startup", c, v)
	}
	job := func(f *figureOf) string { return value(f.Summary.Median*(1-lossShare)/lossShare, "ns") }
	text := fmt.Sprintf("Every job waits for a start: %s in %s, %s in %s, %s times as long. For that to be %.0f%% of the time or less, a job has to run for %s or longer in the one, and for %s in the other",
		value(c.Summary.Median, "ns"), c.Platform.the(), value(v.Summary.Median, "ns"), v.Platform.the(), ratio(m.compare(start.metric, v.Platform, c.Platform)), 100*lossShare, job(c), job(v))
	if f := m.fastestMachine(); f != nil && f.Platform != v.Platform {
		text += fmt.Sprintf(" (in the fastest machine that ran the image, %s, for %s)", f.Platform.label(), job(f))
	}
	return verdict{inCommon([]markOf{m.markOfMore(start)}, v.Platform), text + ". Where jobs run for longer, the start is no reason for either."}
}

// fastestMachine is the one whose start has the smallest median, of those in which a program
// of the image ran.
func (m *model) fastestMachine() (found *figureOf) {
	for _, f := range m.metric("first_instruction_ns").present() {
		if f.Platform.Kind == "vm" && m.run.Identity(f.Platform.Name) != nil && (found == nil || f.Summary.Median < found.Summary.Median) {
			found = &f
		}
	}
	return found
}

func (m *model) useDevOps() verdict {
	v := m.judgePortability()
	if s := m.sharing(); len(s.Images) > 1 && s.Once.Size < s.Copied.Size {
		v.Text += fmt.Sprintf(" Who has the %s of this run has stored %s, since layers that several have are sent and stored once; copies would be %s.",
			count(len(s.Images), "image", "images"), value(float64(s.Once.Size), "bytes"), value(float64(s.Copied.Size), "bytes"))
	}
	return v
}

func (m *model) useBoth() verdict {
	list := m.kind("nested")
	if len(list) == 0 {
		return verdict{unasked, "No container in a machine was in this run."}
	}
	p := list[0]
	id := m.run.Identity(p.Name)
	if id == nil {
		return verdict{unasked, m.combinationOf(p)}
	}
	mark := undecided
	switch own, shared := apart(id, m.run.GuestNamespaces(p.Name)); {
	case m.kernelOf(id) == kernelUnknown || len(own)+len(shared) == 0:
	case m.kernelOf(id) == kernelOwn && len(own) > 0:
		mark = agrees
	default:
		mark = disagrees
	}
	text := m.combinationOf(p)
	if f := m.metric("first_instruction_ns").figure(p); f.Summary.N > 0 {
		text += fmt.Sprintf(" With the machine's start it took %s. %s", value(f.Summary.Median, "ns"), m.containerShare(f))
	}
	if x := m.walls.of(p); x != nil {
		t := x.tally("")
		text += fmt.Sprintf(" Of %s to get out, %d reached the host.", count(t.tried(), "attempt", "attempts"), t.reached)
	}
	return verdict{mark, strings.TrimSpace(text)}
}

// usesTable sets the figures beside each other that the sentences speak of.
func (m *model) usesTable() *table {
	t := &table{Caption: "The figures that decide", Columns: []column{{Title: "", Wide: 1.5}}}
	list := m.usesPlatforms()
	for _, p := range list {
		t.Columns = append(t.Columns, column{Title: p.label(), Wide: 1, Right: true})
	}
	row := func(title string, of func(p *platform) string) {
		cells, some := []string{title}, false
		for _, p := range list {
			text := of(p)
			some = some || text != ""
			cells = append(cells, cmpOr(text, "–"))
		}
		if some {
			t.Rows = append(t.Rows, cells)
		}
	}
	median := func(name string) func(p *platform) string {
		return func(p *platform) string {
			ms := m.metric(name)
			if s := ms.figure(p).Summary; s.N > 0 {
				return value(s.Median, ms.unit())
			}
			return ""
		}
	}
	row("Kernel", func(p *platform) string {
		return map[kernelOf]string{kernelShared: "the host's", kernelOwn: "its own"}[m.kernelOf(m.run.Identity(p.Name))]
	})
	row("Start", median("first_instruction_ns"))
	row("First HTTP response", median("http_ns"))
	row("One idle instance, PSS", median("pss_bytes"))
	row("One more instance, PSS", func(p *platform) string {
		if bytes, slope := m.oneMore(p); slope {
			return value(bytes, "bytes")
		}
		return ""
	})
	row("Of these fit in 1"+nbsp+"GiB", func(p *platform) string {
		if bytes, _ := m.oneMore(p); !math.IsNaN(bytes) {
			return fitsText(bytes)
		}
		return ""
	})
	row("Attempts that reached the host", func(p *platform) string {
		if x := m.walls.of(p); x != nil {
			t := x.tally("")
			return fmt.Sprintf("%d of %d", t.reached, t.tried())
		}
		return ""
	})
	surfaces := m.surfaces()
	row("Different system calls of the host", func(p *platform) string {
		for _, x := range surfaces {
			if x.platform == p {
				return x.span()
			}
		}
		return ""
	})
	row("A panic of its kernel", m.panicOf)
	if img := m.image(); img != nil {
		row("To carry besides the image", func(p *platform) string {
			if _, bytes := p.parts(img); bytes > 0 {
				return value(float64(bytes), "bytes")
			}
			return ""
		})
	}
	if len(t.Rows) == 0 {
		return nil
	}
	t.Notes = []string{"Start, response and PSS are medians; one more instance is the slope over several at a time. What fits is a division, of the slope if there is one. – was not measured, or does not exist for it."}
	if slices.ContainsFunc(list, func(p *platform) bool { return p.Emulated }) {
		t.Notes = append(t.Notes, emulatedNote)
	}
	return t
}

// usesPlatforms are those of the table: the plain process, the container, the machines that
// the sentences speak of, and the combination.
func (m *model) usesPlatforms() []*platform {
	chosen := map[*platform]bool{m.base: m.base != nil}
	choose := func(f *figureOf) {
		if f != nil {
			chosen[f.Platform] = true
		}
	}
	c, v := m.pair()
	chosen[c], chosen[v] = c != nil, v != nil
	for _, kind := range []string{"container", "vm", "nested"} {
		choose(m.metric("first_instruction_ns").first(kind))
		choose(m.metric("pss_bytes").first(kind))
		if x := m.walls.first(kind); x != nil {
			chosen[x.platform] = true
		}
	}
	choose(m.fastestMachine())
	return slices.DeleteFunc(slices.Clone(m.platforms), func(p *platform) bool { return !chosen[p] })
}
