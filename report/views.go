package report

import (
	"slices"

	"vmctr/report/result"
	"vmctr/report/result/isolation"
)

const viewsExperiment = "views"

// viewed is what a program on a platform has seen, and what it may do.
type viewed struct {
	platform   *platform
	name       string // in a table
	title      string // at the beginning of a sentence
	view       *isolation.View
	privileges *isolation.Privileges
}

// views are those of the platforms that have looked, in their order.
func (m *model) views() (list []viewed) {
	for _, p := range m.platforms {
		if s := m.looked(p.Name); s != nil {
			list = append(list, viewed{p, p.label(), begin(p.the()), s.View, first(s.Privileges)})
		}
	}
	return list
}

// looked is the first sample of a platform in which something was seen.
func (m *model) looked(platform string) *result.Sample {
	for i := range m.run.Samples {
		if s := &m.run.Samples[i]; s.Experiment == viewsExperiment && s.Platform == platform && (s.View != nil || first(s.Privileges) != nil) {
			return s
		}
	}
	return nil
}

// first is what a program on a platform as it is may do, or nil.
func first(list []isolation.Privileges) *isolation.Privileges {
	if len(list) == 0 || list[0].Variant != "" || list[0].Error != "" {
		return nil
	}
	return &list[0]
}

// thrownAway are what programs in the throwaway machine may do, with its own kernel: a
// process without walls first.
func (m *model) thrownAway() (list []viewed) {
	for i := range m.run.Samples {
		s := &m.run.Samples[i]
		if s.Experiment != viewsExperiment || len(list) > 0 {
			continue
		}
		for k := range s.Privileges {
			switch p := &s.Privileges[k]; {
			case p.Variant == "" || p.Error != "":
			case p.Variant == isolation.Bare:
				list = append(list, viewed{name: "no walls †", title: "A process without walls, in the throwaway machine", privileges: p})
			default:
				name := clip(printable(p.Variant), 40)
				list = append(list, viewed{name: name + " †", title: "A container " + name + ", in the throwaway machine", privileges: p})
			}
		}
	}
	return list
}

// privileged are those of whom it is known what they may do, those in the throwaway
// machine last.
func (m *model) privileged() []viewed {
	list := slices.DeleteFunc(m.views(), func(v viewed) bool { return v.privileges == nil })
	return append(list, m.thrownAway()...)
}

// facts counts what was looked at, by whose it is. What neither side has does not count.
func (v viewed) facts() (all int, by map[isolation.Whose][]string) {
	by = map[isolation.Whose][]string{}
	for _, s := range v.view.Sights {
		if s.Whose == isolation.Nobody {
			continue
		}
		all++
		by[s.Whose] = append(by[s.Whose], sightTitle(s))
	}
	return all, by
}

// sightTitle names a thing that was looked at.
func sightTitle(s isolation.Sight) string {
	if s.Of != "" {
		return clip(printable(s.Of), 60)
	}
	return clip(isolation.FindFact(s.Fact).Title, 60)
}

// representative is the platform of a kind that a table shows in full: the first.
func representative(list []viewed, kind string) *viewed {
	for i := range list {
		if list[i].platform != nil && list[i].platform.Kind == kind && list[i].view != nil {
			return &list[i]
		}
	}
	return nil
}
