package result

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
)

// LeanFrom is from how many bytes on [ReadLean] reads a journal leanly: the samples of a
// smaller one take at most some 150 MiB of memory. Tests lower it.
var LeanFrom int64 = 64 << 20

// KeepWhole is how many samples of one key a lean run keeps whole, and how many failed ones
// besides. Of those after them only the values are kept: see [ReadLean].
const KeepWhole = 1000

// column is what a lean run keeps of the samples of one key, of all of them: the ones that
// are whole too.
type column struct {
	key           Key
	names         bool     // of the values are all that is kept
	series        []series // by name
	whole, failed int      // how many are whole, and how many of the failed
	folded        Counts   // of those that are not whole
}

// series are the values of one name.
type series struct {
	name      string
	values    []float64 // counted, in the order taken
	disturbed int       // how many of these
}

// of is nil if there are no values of the name.
func (c *column) of(name string) *series {
	if i, ok := c.find(name); ok {
		return &c.series[i]
	}
	return nil
}

func (c *column) find(name string) (int, bool) {
	return slices.BinarySearchFunc(c.series, name, func(s series, name string) int { return cmp.Compare(s.name, name) })
}

// add counts a sample, and tells whether that is all that is to be kept of it.
func (c *column) add(l *leanSample) (folded bool) {
	quota := &c.whole
	if l.failed {
		quota = &c.failed
	}
	if folded = c.names || *quota >= KeepWhole && !l.rich; folded {
		c.folded.add(l.warmup, l.failed, l.disturbed)
	} else {
		*quota++
	}
	if (l.warmup || l.failed) && !c.names {
		return folded
	}
	for i, v := range l.values {
		// The values of one key have the same names, nearly always.
		if i >= len(c.series) || c.series[i].name != string(v.name) {
			var ok bool
			if i, ok = c.find(string(v.name)); !ok {
				c.series = slices.Insert(c.series, i, series{name: string(v.name)})
			}
		}
		if c.names {
			continue
		}
		s := &c.series[i]
		s.values = append(s.values, v.value)
		if l.disturbed {
			s.disturbed++
		}
	}
	return folded
}

// lean is a reader that folds: it counts a sample, and drops it.
type lean struct {
	run    *Run
	names  bool // of the values are all that is kept
	sample leanSample
	known  map[string]*column // by the parts of their key
	buffer []byte
	gap    bool // the sample before was folded
}

func newLean(run *Run, names bool) *lean {
	run.columns, run.gaps = map[Key]*column{}, map[int]bool{}
	return &lean{run: run, names: names, known: map[string]*column{}}
}

// line takes a line of the journal. If it is folded there is no more to be done; else the
// other reader must read it. If it is not counted either, and holds a sample, that is then for
// [lean.whole].
func (l *lean) line(line []byte) (folded, counted bool) {
	if !l.sample.read(line) {
		return false, false
	}
	return l.add(), true
}

// whole takes the last sample of the run, which only the other reader could read.
func (l *lean) whole(s *Sample) {
	last := len(l.run.Samples) - 1
	l.run.Samples = l.run.Samples[:last]
	l.sample = leanSample{experiment: []byte(s.Experiment), platform: []byte(s.Platform), series: []byte(s.Series), n: s.N,
		warmup: s.Warmup, failed: s.Error != "", disturbed: s.Disturbed != "", rich: s.rich(), values: l.sample.values[:0]}
	for _, name := range slices.Sorted(maps.Keys(s.Values)) {
		l.sample.values = append(l.sample.values, leanValue{[]byte(name), s.Values[name]})
	}
	if !l.add() {
		l.run.Samples = l.run.Samples[:last+1]
	}
}

// add counts the sample, which would be the next of the run.
func (l *lean) add() (folded bool) {
	s := &l.sample
	b := append(append(l.buffer[:0], s.experiment...), 0)
	b = append(append(b, s.platform...), 0)
	b = append(append(b, s.series...), 0)
	l.buffer = strconv.AppendInt(b, int64(s.n), 10)
	c := l.known[string(l.buffer)]
	if c == nil {
		c = &column{names: l.names, key: Key{string(s.experiment), string(s.platform), string(s.series), s.n}}
		l.known[string(l.buffer)], l.run.columns[c.key] = c, c
	}
	folded = c.add(s)
	if l.gap && !folded {
		l.run.gaps[len(l.run.Samples)] = true
	}
	l.gap = folded
	return folded
}

// end forgets the columns of keys whose samples are all whole.
func (l *lean) end() {
	maps.DeleteFunc(l.run.columns, func(_ Key, c *column) bool { return c.folded == (Counts{}) })
}

// rich tells whether a sample holds what is not in columns: it took seconds to measure, and
// there are never many.
func (s *Sample) rich() bool {
	return len(s.Each) > 0 || s.Identity != nil || s.GuestNamespaces != nil || s.Outcome != "" || s.View != nil || s.Privileges != nil ||
		s.Probings != nil || s.Surface != nil || s.Tracings != nil || s.Interference != nil || s.Faults != nil
}
