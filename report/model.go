package report

import (
	"slices"
	"strings"

	"vmctr/report/result"
)

// model is a run as the report speaks of it.
type model struct {
	run       *result.Run
	platforms []*platform
	base      *platform // what ratios compare with: the plain process, or nil
	metrics   []measured
	// Of vm-matrix and vm-memory, whose platforms are variants that no other experiment
	// has.
	matrix, elastic measured
	families        map[string][]comparison // once computed; see family
	walls           *walls                  // nil without probes
	summaries       map[string]result.Summary
	before          map[string]float64          // the same; see preceded
	examined        map[string][]result.Warning // once found; see examine
}

// platform is one platform of the run and how it is drawn.
type platform struct {
	result.Platform
	look look
}

// A metric is one quantity that an experiment measures.
type metric struct {
	Experiment string
	Value      string
	Title      string // "Startup time"
	Short      string // "PSS": in a plot or a table of its experiment
}

// metrics are what this version knows to report, in the order of the report. A
// value that is not here stays in the journal.
var metrics = []metric{
	{"startup", "first_instruction_ns", "Startup time", "Startup"},
	{"startup", "http_ns", "First HTTP response", "HTTP"},
	{"memory", "pss_bytes", "Memory: PSS", "PSS"},
	{"memory", "uss_bytes", "Memory: USS", "USS"},
	{"memory", "rss_bytes", "Memory: RSS", "RSS"},
	{"memory", "cgroup_bytes", "Memory: cgroup", "cgroup"},
}

func (m metric) unit() string { return result.Unit(m.Value) }

// measured is one metric with the figure of every platform, measured or not.
type measured struct {
	metric
	Series  string // of the samples, "" where there is but one
	N       int
	Base    *platform // what its ratios compare with, or nil
	Figures []figureOf
}

// figureOf is what one platform measured of one metric.
type figureOf struct {
	Platform *platform
	Summary  result.Summary
	Ratio    *result.Ratio // to the base; nil for itself, and without one
}

func newModel(run *result.Run) *model {
	m := &model{run: run}
	variants := m.addPlatforms()
	m.walls = m.findWalls()
	for _, mt := range metrics {
		m.metrics = append(m.metrics, m.measure(mt, m.platforms, m.base))
	}
	m.matrix, m.elastic = m.measureMatrix(variants[matrixMetric.Experiment]), m.measureElastic(variants[elasticMetric.Experiment])
	return m
}

// measure gives the figures of a metric.
func (m *model) measure(mt metric, platforms []*platform, base *platform) measured {
	ms := measured{metric: mt, Base: base}
	for _, p := range platforms {
		f := figureOf{Platform: p, Summary: m.summary(mt, p)}
		if base != nil && p != base && f.Summary.N > 0 {
			r := m.compare(mt, p, base)
			f.Ratio = &r
		}
		ms.Figures = append(ms.Figures, f)
	}
	return ms
}

// kinds are the kinds of platform, the lightest isolation first.
var kinds = []string{"process", "container", "vm", "nested"}

// addPlatforms collects the platforms: those that the journal describes, those
// that were asked for and never reached, and those that only have samples. Those
// that take part in one experiment alone are kept apart.
func (m *model) addPlatforms() (variants map[string][]*platform) {
	variants = map[string][]*platform{} // by their experiment
	add := func(p result.Platform) {
		p.Name, p.Title, p.Status = cmpOr(clean(p.Name), "unnamed"), clean(p.Title), result.Status(clean(string(p.Status)))
		if p.Experiment != "" {
			if list := variants[p.Experiment]; !slices.ContainsFunc(list, func(q *platform) bool { return q.Name == p.Name }) {
				variants[p.Experiment] = append(list, &platform{Platform: p})
			}
			return
		}
		if !slices.ContainsFunc(m.platforms, func(q *platform) bool { return q.Name == p.Name }) {
			m.platforms = append(m.platforms, &platform{Platform: p})
		}
	}
	for _, p := range m.run.Platforms {
		add(p)
	}
	for _, name := range m.run.Header.Platforms {
		add(result.Platform{Name: name, Kind: kindFromName(name), Reason: "the run ended before it was reached"})
	}
	for _, s := range m.run.Samples {
		p := result.Platform{Name: s.Platform, Kind: kindFromName(s.Platform), Status: result.Ready}
		if s.Experiment == matrixMetric.Experiment || s.Experiment == elasticMetric.Experiment {
			p.Experiment = s.Experiment
		}
		if slices.ContainsFunc(m.run.Platforms, func(q result.Platform) bool { return q.Name == p.Name }) {
			continue // with what it is for
		}
		add(p)
	}
	rank := func(p *platform) int {
		if i := slices.Index(kinds, p.Kind); i >= 0 {
			return i
		}
		return len(kinds)
	}
	slices.SortStableFunc(m.platforms, func(a, b *platform) int { return rank(a) - rank(b) })
	seen := map[string]int{}
	for _, p := range m.platforms {
		p.look = lookOf(p.Kind, seen[p.Kind])
		seen[p.Kind]++
		if p.Kind == "process" && m.base == nil {
			m.base = p
		}
	}
	return variants
}

// kindFromName guesses the kind of a platform that never said it.
func kindFromName(name string) string {
	switch {
	case name == "process", name == "nested":
		return name
	case strings.HasPrefix(name, "vm-"):
		return "vm"
	default:
		return "container"
	}
}

// label names a platform wherever a figure of it stands. A name that would take
// a plot's whole width is cut.
func (p *platform) label() string {
	name := clip(p.Name, 40)
	if p.Emulated {
		return name + " (emulated)"
	}
	return name
}

// the is a platform as the subject or the object of a sentence.
func (p *platform) the() string {
	switch p.label() {
	case "process":
		return "the plain process"
	case "container":
		return "the container"
	default:
		return p.label()
	}
}

// state says in a word why a platform has no figure.
func (p *platform) state() string {
	switch p.Status {
	case result.Ready:
		return "not measured"
	case "":
		return "not reached"
	default:
		return clip(string(p.Status), 11)
	}
}

// lacks are the words for a value that some platforms have not.
var lacks = map[string]string{"cgroup_bytes": "no account", "http_ns": "no network"}

// absent says in a word why a platform has no figure of a metric, though it may have the
// first of the same experiment.
func (m *model) absent(ms measured, p *platform) string {
	if word := lacks[ms.Value]; word != "" && p.ready() && m.of(ms.Experiment)[0].figure(p).Summary.N > 0 {
		return word
	}
	return p.state()
}

// why tells what became of a platform that is not ready, as sentences.
func (p *platform) why() string {
	s := sentence(cmpOr(p.Reason, "no reason was recorded"))
	if p.Fix != "" {
		s += " What would mend it: " + stop(p.Fix)
	}
	return s
}

// ready are the platforms that were measured to the end.
func (p *platform) ready() bool { return p.Status == result.Ready }

func (m *model) values(mt metric, p *platform) []float64 {
	return m.run.Values(mt.Experiment, p.Name, mt.Value)
}

// summary is that of a metric of one platform. It is computed once: many ask for it.
func (m *model) summary(mt metric, p *platform) result.Summary {
	name := mt.Experiment + "/" + mt.Value + "/" + p.Name
	s, ok := m.summaries[name]
	if !ok {
		s = result.Summarize(m.values(mt, p))
		if m.summaries == nil {
			m.summaries = map[string]result.Summary{}
		}
		m.summaries[name] = s
	}
	return s
}

// compare is the ratio of two platforms' medians, by the run's own seed.
func (m *model) compare(mt metric, p, base *platform) result.Ratio {
	return result.Compare(m.summary(mt, p).Sorted, m.summary(mt, base).Sorted, m.run.Header.Seed)
}

// metric finds a metric by the name of its value.
func (m *model) metric(value string) measured {
	i := slices.IndexFunc(m.metrics, func(ms measured) bool { return ms.Value == value })
	return m.metrics[i]
}

// of are the metrics of one experiment.
func (m *model) of(experiment string) []measured {
	var list []measured
	for _, ms := range m.measured() {
		if ms.Experiment == experiment {
			list = append(list, ms)
		}
	}
	return list
}

// measured are the metrics of all platforms, and those of the variants.
func (m *model) measured() []measured { return slices.Concat(m.metrics, m.ofVariants()) }

// ofVariants are the metrics of experiments that have platforms of their own.
func (m *model) ofVariants() []measured { return []measured{m.matrix, m.elastic} }

// everyone are all platforms, variants too.
func (m *model) everyone() []*platform {
	return slices.Concat(m.platforms, m.matrix.platforms(), m.elastic.platforms())
}

// platforms are those that a metric is of, measured or not.
func (ms measured) platforms() []*platform {
	var list []*platform
	for _, f := range ms.Figures {
		list = append(list, f.Platform)
	}
	return list
}

// kind are the platforms of a kind.
func (m *model) kind(kind string) []*platform {
	var list []*platform
	for _, p := range m.platforms {
		if p.Kind == kind {
			list = append(list, p)
		}
	}
	return list
}

// present are the figures that have at least one value.
func (ms measured) present() []figureOf {
	var list []figureOf
	for _, f := range ms.Figures {
		if f.Summary.N > 0 {
			list = append(list, f)
		}
	}
	return list
}

// first is the first figure of a kind that has a value; one that is not
// emulated goes first.
func (ms measured) first(kind string) *figureOf {
	var found *figureOf
	for _, f := range ms.present() {
		if f.Platform.Kind == kind && (found == nil || found.Platform.Emulated && !f.Platform.Emulated) {
			found = &f
		}
	}
	return found
}

// emulated are the platforms whose figures are an emulator's, variants too.
func (m *model) emulated() []*platform {
	var list []*platform
	for _, p := range m.everyone() {
		if p.Emulated {
			list = append(list, p)
		}
	}
	return list
}

// asked tells whether the run was to do an experiment.
func (m *model) asked(experiment string) bool {
	return slices.Contains(m.run.Header.Experiments, experiment)
}

// warmups counts the samples of an experiment that are kept and not counted.
func (m *model) warmups(experiment string) int {
	return m.run.Count(experiment, "").Warmups
}
