package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"vmctr/report/result/isolation"
)

// viewsSection sets what programs see inside beside what the host has. A run that has not
// looked has no such section.
func (m *model) viewsSection() (s section, any bool) {
	list := slices.DeleteFunc(m.views(), func(v viewed) bool { return v.view == nil })
	if len(list) == 0 {
		return s, false
	}
	s = section{ID: "views", Title: "Isolation: what the program sees"}
	add := func(b ...block) { s.Blocks = append(s.Blocks, b...) }
	add(paragraph{"Question.", "A program looks around: processes, files, network, users, kernel. Is what it sees the host's, is it its own, or is it hidden from it?"},
		topicTable(list),
		paragraph{"Findings.", ""}, points(m.viewWords(list)),
		paragraph{"How to read it.", "\"The host's\" is the very thing that the host itself has, which the program shares with all others there. \"Its own\" is another one, made for it; it can look the same. \"Hidden\" is what the host has and the program is not shown. " +
			"A namespace gives a program a view of its own of something that a kernel has; where Linux has none for it, such as for memory and processors, or where the container was given none of its own, it sees the host's. A machine has a kernel of its own, and so nearly all that it sees is its own, however much it looks like the host's."},
		paragraph{"How it was measured.", "One piece of code looks inside and on the host, and the two are compared by what names a thing within its kernel (the number of a namespace, of a mount, of a file, the start of process 1) together with the kernel's boot_id, and not by how it looks. " +
			"The host's side is what bench itself saw at that time. `bench look` shows the same of any platform."},
		paragraph{"Its error.", "Numbers that change all the time, such as that of processes, can differ by a few. A limit that binds can be out of view: that none is seen does not say that there is none. What nobody looked at is not counted: the counts are of a list of things, and no measure of all that could be seen."})
	s.Ask = []string{
		"Find something of the host that the container sees and that no namespace hides. What could a program do with it?",
		"Process 1 of the container is the program itself. What does a process 1 have to do that an ordinary process does not?",
		"How can a program find out whether it runs on a host, in a container or in a virtual machine? Name two signs of the table, and how each could be faked.",
	}
	s.Details = append(s.Details, m.sideBySide(list))
	if t := m.otherViews(list); t != nil {
		s.Details = append(s.Details, t)
	}
	return s, true
}

// topicTable counts by topic whose the things are that each platform sees.
func topicTable(list []viewed) *table {
	t := &table{Caption: "Whose is what the program sees? Things that were looked at, by topic", Columns: []column{{Title: "Topic"}},
		Notes: []string{"host's: the very thing that the host has. own: another one. hidden: the host has it, and the program does not see it."}}
	for _, v := range list {
		t.Columns = append(t.Columns, column{Title: v.name, Wide: 1})
	}
	var topics []string
	for _, f := range isolation.Facts {
		if !slices.Contains(topics, f.Topic) {
			topics = append(topics, f.Topic)
		}
	}
	for _, topic := range topics {
		cells, some := []string{topic}, false
		for _, v := range list {
			by := map[isolation.Whose]int{}
			for _, s := range v.view.Sights {
				if isolation.FindFact(s.Fact).Topic == topic {
					by[s.Whose]++
				}
			}
			var parts []string
			for _, whose := range []isolation.Whose{isolation.Hosts, isolation.Own, isolation.Hidden} {
				if n := by[whose]; n > 0 {
					parts = append(parts, fmt.Sprintf("%d%s%s", n, nbsp, map[isolation.Whose]string{isolation.Hosts: "host's", isolation.Own: "own", isolation.Hidden: "hidden"}[whose]))
				}
			}
			some = some || len(parts) > 0
			cells = append(cells, cmpOr(strings.Join(parts, ", "), "–"))
		}
		if some {
			t.Rows = append(t.Rows, cells)
		}
	}
	if slices.ContainsFunc(list, func(v viewed) bool { return v.platform.Emulated }) {
		t.Notes = append(t.Notes, emulatedNote)
	}
	return t
}

// viewWords say of each platform how much it shares, of those that share alike together.
func (m *model) viewWords(views []viewed) (words []string) {
	var seen, namespaces alike
	for _, v := range views {
		all, by := v.facts()
		if all == 0 {
			continue
		}
		kernel := "with a kernel of its own"
		if v.view.SameKernel() {
			kernel = "served by the host's kernel"
		}
		text := fmt.Sprintf("%s: of %s looked at, %d %s the host's, %d its own, and %d hidden.", kernel, count(all, "thing", "things"),
			len(by[isolation.Hosts]), isAre(len(by[isolation.Hosts])), len(by[isolation.Own]), len(by[isolation.Hidden]))
		if n := len(by[isolation.Hosts]); n > 0 && n < all/2 {
			text += " Shared with the host: " + clip(strings.Join(by[isolation.Hosts], ", "), 300) + "."
		}
		seen.add(v.platform.the(), text)
	}
	for _, text := range seen.texts {
		words = append(words, begin(list(seen.who[text]))+", "+text)
	}
	for _, v := range views {
		if v.view.NamespacesOf == "" {
			continue
		}
		var own, shared []string
		for _, n := range v.view.Namespaces {
			if n.Whose == isolation.Own {
				own = append(own, n.Type)
			} else {
				shared = append(shared, n.Type)
			}
		}
		seen := "Namespaces, as the host reads them from /proc"
		if v.view.NamespacesOf == "guest" {
			seen = "Namespaces beside those of the guest's first process"
		}
		switch {
		case len(own) == 0:
			namespaces.add(v.platform.the(), seen+": none of its own: %s.")
		case len(shared) == 0:
			namespaces.add(v.platform.the(), seen+": all its own: %s.")
		default:
			namespaces.add(v.platform.the(), seen+": "+list(own)+" its own, "+list(shared)+" shared: %s.")
		}
	}
	for _, text := range namespaces.texts {
		words = append(words, strings.ReplaceAll(text, "%s", list(namespaces.who[text])))
	}
	return words
}

func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// sideBySide shows a container and a machine beside the host.
func (m *model) sideBySide(list []viewed) *table {
	t := &table{Caption: "Outside and inside", Columns: []column{{Title: ""}, {Title: "outside: the host", Wide: 1}}}
	var shown []viewed
	for _, kind := range []string{"container", "vm"} {
		if v := representative(list, kind); v != nil {
			shown = append(shown, *v)
		}
	}
	if len(shown) == 0 {
		shown = list[:1]
	}
	for _, v := range shown {
		t.Columns = append(t.Columns, column{Title: "inside: " + v.name, Wide: 1})
	}
	for _, f := range isolation.Facts {
		if f.Name == "file" {
			t.Rows = append(t.Rows, fileRows(shown)...)
			continue
		}
		cells := []string{f.Title, "–"}
		some := false
		for n, v := range shown {
			s, ok := v.sight(f.Name)
			some = some || ok && s.Whose != isolation.Nobody
			if n == 0 && f.Name != "pid" {
				cells[1] = cmpOr(short(s.Outside), "–")
			}
			cells = append(cells, sighted(s))
		}
		if some {
			t.Rows = append(t.Rows, cells)
		}
	}
	t.Notes = []string{"The host is as it was when the first of them was looked at. Long lists are cut; the journal has them longer."}
	if slices.ContainsFunc(shown, func(v viewed) bool { return v.platform.Emulated }) {
		t.Notes = append(t.Notes, emulatedNote)
	}
	return t
}

// sighted is what is seen, and whose it is.
func sighted(s isolation.Sight) string {
	switch s.Whose {
	case isolation.Nobody:
		return "–"
	case isolation.Hidden:
		if s.Inside == "" {
			return "hidden"
		}
		return "hidden: " + short(s.Inside)
	}
	text := short(s.Inside)
	if s.Fact == "pid" && s.Outside != "" && s.Outside != s.Inside {
		text += "; outside " + short(s.Outside)
	}
	return text + " (" + string(s.Whose) + ")"
}

// short is what fits in a cell.
func short(s string) string { return clip(printable(s), 80) }

func (v viewed) sight(fact string) (isolation.Sight, bool) {
	for _, s := range v.view.Sights {
		if s.Fact == fact {
			return s, true
		}
	}
	return isolation.Sight{Fact: fact}, false
}

// fileRows puts the well-known files together by whose they are.
func fileRows(shown []viewed) (rows [][]string) {
	for _, whose := range []isolation.Whose{isolation.Hosts, isolation.Own, isolation.Hidden} {
		cells := []string{map[isolation.Whose]string{isolation.Hosts: "Files that are the host's", isolation.Own: "Files of its own", isolation.Hidden: "Hidden files"}[whose], ""}
		some := false
		for _, v := range shown {
			by := map[string][]string{} // by what is to be seen of them
			for _, s := range v.view.Sights {
				if s.Fact == "file" && s.Whose == whose {
					by[s.Inside] = append(by[s.Inside], printable(s.Of))
				}
			}
			var parts []string
			for _, seen := range slices.Sorted(maps.Keys(by)) {
				parts = append(parts, cmpOr(printable(seen), "not there")+": "+strings.Join(by[seen], ", "))
			}
			some = some || len(parts) > 0
			cells = append(cells, cmpOr(clip(strings.Join(parts, "; "), 500), "–"))
		}
		if some {
			rows = append(rows, cells)
		}
	}
	return rows
}

// otherViews tells of the others in short: how they differ from the one of their kind that
// is shown, a container in a machine from the container.
func (m *model) otherViews(list []viewed) *table {
	t := &table{Caption: "The others, in short", Columns: []column{{Title: "Platform"}, {Title: "the host's", Right: true}, {Title: "its own", Right: true}, {Title: "hidden", Right: true}, {Title: "What differs", Wide: 1}}}
	for _, v := range list {
		kind := v.platform.Kind
		if kind == "nested" {
			kind = "container"
		}
		base := representative(list, kind)
		if base == nil || base.platform == v.platform {
			if kind != "process" {
				continue
			}
			base = nil
		}
		all, by := v.facts()
		differs := "–"
		if base != nil {
			var parts []string
			for _, s := range v.view.Sights {
				for _, o := range base.view.Sights {
					if o.Fact == s.Fact && o.Of == s.Of && o.Whose != s.Whose && s.Whose != isolation.Nobody && o.Whose != isolation.Nobody {
						parts = append(parts, fmt.Sprintf("%s: %s", sightTitle(s), s.Whose))
					}
				}
			}
			differs = "nothing, from " + base.platform.the()
			if len(parts) > 0 {
				differs = "from " + base.platform.the() + ": " + clip(strings.Join(parts, ", "), 400)
			}
		} else if n := len(by[isolation.Own]); n > 0 {
			differs = "its own: " + clip(strings.Join(by[isolation.Own], ", "), 300)
		}
		if all > 0 {
			t.Rows = append(t.Rows, []string{v.name, fmt.Sprint(len(by[isolation.Hosts])), fmt.Sprint(len(by[isolation.Own])), fmt.Sprint(len(by[isolation.Hidden])), differs})
		}
	}
	if len(t.Rows) == 0 {
		return nil
	}
	return t
}
