package result

import (
	"cmp"
	"maps"
	"slices"

	"vmctr/report/result/identity"
)

// A Key is what samples have in common that are values of one thing.
type Key struct {
	Experiment, Platform, Series string
	N                            int
}

func (k Key) compare(other Key) int {
	return cmp.Or(cmp.Compare(k.Experiment, other.Experiment), cmp.Compare(k.Platform, other.Platform), cmp.Compare(k.Series, other.Series), cmp.Compare(k.N, other.N))
}

// Key is the sample's.
func (s *Sample) Key() Key { return Key{s.Experiment, s.Platform, s.Series, s.N} }

// Keys are those of an experiment's samples, in the order of their first ones.
func (r *Run) Keys(experiment string) []Key {
	var keys []Key
	seen := map[Key]bool{}
	for i := range r.Samples {
		if k := r.Samples[i].Key(); k.Experiment == experiment && !seen[k] {
			seen[k] = true
			keys = append(keys, k)
		}
	}
	return keys
}

// Values are the counted values of one name of an experiment that has no series.
func (r *Run) Values(experiment, platform, value string) []float64 {
	return r.ValuesOf(Key{Experiment: experiment, Platform: platform}, value)
}

// ValuesOf are the counted values of one name, in the order taken: those of
// warm-ups and of failed samples are left out. It is empty, not an error, when
// there are none. They are not to be changed.
func (r *Run) ValuesOf(k Key, value string) []float64 {
	if c := r.columns[k]; c != nil {
		if s := c.of(value); s != nil {
			return s.values
		}
		return nil
	}
	var values []float64
	for i := range r.Samples {
		s := &r.Samples[i]
		if s.Key() != k || s.Warmup || s.Error != "" {
			continue
		}
		if v, ok := s.Values[value]; ok {
			values = append(values, v)
		}
	}
	return values
}

// A Column is the counted values of one name.
type Column struct {
	Key
	Name   string
	Values []float64 // in the order taken
}

// AllValues are the counted values of all names, in the order of the first of each, and of
// those that a sample has at once in the order of the alphabet.
func (r *Run) AllValues() []Column {
	type place struct {
		Key
		name string
	}
	var list []Column
	places := map[place]int{}
	column := func(k Key, name string) (c *Column, found bool) {
		i, found := places[place{k, name}]
		if !found {
			i, list = len(list), append(list, Column{Key: k, Name: name})
			places[place{k, name}] = i
		}
		return &list[i], found
	}
	for i := range r.Samples {
		s := &r.Samples[i]
		if s.Warmup || s.Error != "" {
			continue
		}
		k := s.Key()
		for _, name := range slices.Sorted(maps.Keys(s.Values)) {
			c, found := column(k, name)
			switch folded := r.columns[k]; {
			case folded == nil:
				c.Values = append(c.Values, s.Values[name])
			case !found:
				c.Values = folded.of(name).values
			}
		}
	}
	// What only folded samples have.
	for _, k := range slices.SortedFunc(maps.Keys(r.columns), Key.compare) {
		for _, s := range r.columns[k].series {
			if c, found := column(k, s.name); !found {
				c.Values = s.values
			}
		}
	}
	return list
}

// DisturbedOf counts the samples among those of [Run.ValuesOf] that were taken while
// others than bench used the host enough to change them.
func (r *Run) DisturbedOf(k Key, value string) int {
	if c := r.columns[k]; c != nil {
		if s := c.of(value); s != nil {
			return s.disturbed
		}
		return 0
	}
	n := 0
	for i := range r.Samples {
		s := &r.Samples[i]
		if _, ok := s.Values[value]; ok && s.Disturbed != "" && s.Key() == k && !s.Warmup && s.Error == "" {
			n++
		}
	}
	return n
}

// Counts are numbers of samples.
type Counts struct {
	Warmups   int
	Counted   int // all others, failed ones too
	Failed    int // warm-ups too
	Disturbed int // of Counted
}

func (c *Counts) add(warmup, failed, disturbed bool) {
	if failed {
		c.Failed++
	}
	if warmup {
		c.Warmups++
		return
	}
	c.Counted++
	if disturbed {
		c.Disturbed++
	}
}

// All is how many there are.
func (c Counts) All() int { return c.Warmups + c.Counted }

// Count counts samples; experiment and platform are "" for those of all.
func (r *Run) Count(experiment, platform string) (n Counts) {
	for i := range r.Samples {
		if s := &r.Samples[i]; (experiment == "" || s.Experiment == experiment) && (platform == "" || s.Platform == platform) {
			n.add(s.Warmup, s.Error != "", s.Disturbed != "")
		}
	}
	for k, c := range r.columns {
		if (experiment == "" || k.Experiment == experiment) && (platform == "" || k.Platform == platform) {
			n.Warmups += c.folded.Warmups
			n.Counted += c.folded.Counted
			n.Failed += c.folded.Failed
			n.Disturbed += c.folded.Disturbed
		}
	}
	return n
}

// Folded tells whether there are samples that are not in Samples ([ReadLean]).
func (r *Run) Folded() bool { return len(r.columns) > 0 }

// Failures are the failed samples of a platform in an experiment, in the order
// taken, warm-ups with them: a warm-up that fails is a failure too.
func (r *Run) Failures(experiment, platform string) []Sample {
	var failed []Sample
	for _, s := range r.Samples {
		if s.Experiment == experiment && s.Platform == platform && s.Error != "" {
			failed = append(failed, s)
		}
	}
	return failed
}

// GuestNamespaces are the first that a platform's guest reported, or nil.
func (r *Run) GuestNamespaces(platform string) map[string]uint64 {
	for _, s := range r.Samples {
		if s.Platform == platform && s.GuestNamespaces != nil {
			return s.GuestNamespaces
		}
	}
	return nil
}

// Identity is the first that the workload reported on a platform, in whatever
// experiment, or nil.
func (r *Run) Identity(platform string) *identity.Identity {
	for _, s := range r.Samples {
		if s.Platform == platform && s.Identity != nil {
			return s.Identity
		}
	}
	return nil
}
