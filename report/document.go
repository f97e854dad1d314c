package report

import (
	"fmt"
	"strings"
	"time"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// document is the report before it is set in a format.
type document struct {
	Title    string
	Subtitle string
	Host     string
	Run      string // the run's ID
	Time     time.Time
	Alerts   []string // the box on the first page
	Lecture  lectureTable
	Sections []section
}

// section asks one question and answers it.
type section struct {
	ID, Title string // the ID is what links lead to: [text](#startup)
	Blocks    []block
	Ask       []string // questions to the student, with room for the answers
	Details   []block  // the figures in full: they stand in the appendix
}

// A block is one thing on a page, below the one before it.
type block interface{ isBlock() }

type heading string

// anchor is a place for links to lead to, which nobody sees.
type anchor string

// paragraph is running text; Lead stands before it in bold. The text has a little
// markup: see [parse].
type paragraph struct{ Lead, Text string }

// points are short texts, each behind a bullet.
type points []string

// table has a row of headings, rows of cells, and notes below.
type table struct {
	Caption string
	Columns []column
	Rows    [][]string
	Notes   []string
}

type column struct {
	Title string
	Right bool    // numbers are set to the right
	Wide  float64 // share of the width that is left over; 0 keeps the column as narrow as its text
	Mono  bool
}

// figure is a plot. Every format draws it by the same function.
type figure struct {
	Name    string // of its file
	Caption string
	Alt     string // what it shows, for those who do not see it
	W, H    vg.Length
	Draw    func(draw.Canvas) error
}

func (heading) isBlock()   {}
func (anchor) isBlock()    {}
func (paragraph) isBlock() {}
func (points) isBlock()    {}
func (*table) isBlock()    {}
func (*figure) isBlock()   {}

func (m *model) document() *document {
	h := m.run.Header
	doc := &document{
		Title:    "Containers and virtual machines, measured",
		Subtitle: m.subtitle(),
		Host:     m.hostLine(),
		Run:      h.ID,
		Time:     h.Time.UTC(),
		Alerts:   m.alerts(),
		Lecture:  m.lectureTable(),
	}
	sections := []func() (section, bool){
		m.ratiosSection, always(m.startupSection), m.changesSection, m.matrixSection, m.applicationSection,
		always(m.memorySection), m.memoryMoreSection, m.elasticSection,
		m.wallsSection, m.viewsSection, m.privilegesSection, m.surfaceSection, m.functionsSection, m.interferenceSection, m.faultsSection,
		always(m.placeSection), always(m.portabilitySection), always(m.usesSection),
	}
	if isSelftest(m.run) {
		doc.Title, doc.Lecture = "How far these figures can be trusted", lectureTable{}
		sections = []func() (section, bool){always(m.selftestSection)}
	}
	for _, of := range sections {
		if s, any := of(); any {
			doc.Sections = append(doc.Sections, s)
		}
	}
	if s, any := inFull(doc.Sections); any {
		doc.Sections = append(doc.Sections, s)
	}
	doc.Sections = append(doc.Sections, m.appendix()...)
	if s, any := m.wallEvidence(); any {
		doc.Sections = append(doc.Sections, s)
	}
	if s, any := citedSection(doc.Sections); any {
		doc.Sections = append(doc.Sections, s)
	}
	return doc
}

// always is a section that says so if nothing of it was measured.
func always(of func() section) func() (section, bool) {
	return func() (section, bool) { return of(), true }
}

// inFull moves the details of the sections to one of the appendix, and leaves links to
// them.
func inFull(sections []section) (s section, any bool) {
	s = section{ID: "in-full", Title: "Appendix: the figures in full"}
	for i := range sections {
		of := &sections[i]
		if len(of.Details) == 0 {
			continue
		}
		id := of.ID + "-in-full"
		of.Blocks = append(of.Blocks, paragraph{"In full:", fmt.Sprintf("[the tables of this section](#%s) are in the appendix.", id)})
		s.Blocks = append(s.Blocks, anchor(id), heading(of.Title), paragraph{"", fmt.Sprintf("Of the section [%s](#%s).", of.Title, of.ID)})
		s.Blocks = append(s.Blocks, of.Details...)
		of.Details = nil
	}
	return s, len(s.Blocks) > 0
}

func (d *document) figures() []*figure {
	var list []*figure
	for _, s := range d.Sections {
		for _, b := range s.Blocks {
			if f, ok := b.(*figure); ok {
				list = append(list, f)
			}
		}
	}
	return list
}

func (m *model) subtitle() string {
	h := m.run.Header
	parts := []string{"bench " + cmpOr(h.Version, "of unknown version")}
	if h.Profile != "" {
		parts = append(parts, h.Profile+" profile")
	}
	if !h.Time.IsZero() {
		parts = append(parts, h.Time.UTC().Format("2 January 2006, 15:04 UTC"))
	}
	if m.run.End != nil {
		parts = append(parts, "measured for "+duration(m.run.End.AtNs))
	}
	return strings.Join(parts, " · ")
}

// duration prints a long time to the second.
func duration(ns int64) string {
	d := time.Duration(ns).Round(time.Second)
	if d < time.Minute {
		return fmt.Sprintf("%d%ss", int(d.Seconds()), nbsp)
	}
	return fmt.Sprintf("%d%smin %d%ss", int(d.Minutes()), nbsp, int(d.Seconds())%60, nbsp)
}

// hostLine is the machine in one line.
func (m *model) hostLine() string {
	h := m.run.Header.Host
	var parts []string
	if h.CPU != "" {
		parts = append(parts, strings.Join(strings.Fields(h.CPU), " "))
	}
	if h.CPUs > 0 {
		parts = append(parts, count(h.CPUs, "CPU", "CPUs"))
	}
	if h.MemTotal > 0 {
		parts = append(parts, value(float64(h.MemTotal), "bytes")+" of memory")
	}
	if h.OS != "" {
		parts = append(parts, h.OS)
	}
	if h.Kernel.Release != "" {
		parts = append(parts, h.Kernel.Sysname+nbsp+h.Kernel.Release)
	}
	if h.Virtualization != "" {
		parts = append(parts, "itself a virtual machine ("+h.Virtualization+")")
	}
	return strings.Join(parts, ", ")
}
