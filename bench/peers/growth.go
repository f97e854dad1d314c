package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"

	"vmctr/report/result"
)

// growth is how a start and the host's memory change with the number of
// containers that idle already.
type growth struct {
	order  []string
	first  map[string][]float64            // starts with none idling, nanoseconds
	last   map[string][]float64            // starts with all but one idling
	slopes map[string]map[string][]float64 // subject, figure: bytes for each container, one value for each time
}

// repeats is how often the first and the last start are measured, each time. A
// variable for tests.
var repeats = 25

// growth starts o.many containers that idle, o.again times with each subject, in
// a random order. The host holds one subject's at a time.
func (s *setup) growth(ctx context.Context, o options, raw *raw) (*growth, error) {
	g := &growth{first: map[string][]float64{}, last: map[string][]float64{}, slopes: map[string]map[string][]float64{}}
	type maker struct {
		name string
		make func() (starter, error)
	}
	makers := []maker{
		{libraryLo, func() (starter, error) { return s.libraryServer("many-lo", false, "idle") }},
		{limitLo, func() (starter, error) { return s.limit("many-limit-lo", false, "idle") }},
		{libraryVeth, func() (starter, error) { return s.libraryServer("many-veth", true, "idle") }},
		{limitVeth, func() (starter, error) { return s.limit("many-limit-veth", true, "idle") }},
	}
	for _, m := range makers {
		g.order = append(g.order, m.name)
		g.slopes[m.name] = map[string][]float64{}
	}
	rng := rand.New(rand.NewPCG(o.seed, 1))
	for again := range o.again {
		for position, i := range rng.Perm(len(makers)) {
			m := makers[i]
			fmt.Fprintf(os.Stderr, "peers: %d containers of %s\n", o.many, m.name)
			st, err := m.make()
			if err != nil {
				return g, err
			}
			err = g.grow(ctx, st, m.name, o.many, again, position, raw)
			if err := errors.Join(err, st.close()); err != nil {
				return g, fmt.Errorf("%s: %w", m.name, err)
			}
		}
	}
	return g, nil
}

// grow measures the first start, starts all but one container, and measures the
// last. It ends them all.
func (g *growth) grow(ctx context.Context, st starter, name string, many, again, position int, raw *raw) (err error) {
	held := 0
	defer func() {
		for n := range held {
			err = errors.Join(err, st.end(context.WithoutCancel(ctx), n, true))
		}
	}()
	measure := func(series string, n int, into map[string][]float64) error {
		for i := range repeats + warmups {
			t, err := st.start(ctx, n)
			if err == nil {
				err = st.end(ctx, n, true)
			}
			if i < warmups && err == nil {
				continue
			}
			if err := errors.Join(err, raw.add(series, name, again, position, t, err)); err != nil {
				return err
			}
			into[name] = append(into[name], float64(t.first-t.start))
		}
		return nil
	}
	if err := measure("first of many", 0, g.first); err != nil {
		return err
	}
	points := map[string][][2]float64{}
	look := func() error {
		m, err := memory(st.pid())
		for figure, v := range m {
			points[figure] = append(points[figure], [2]float64{float64(held), v})
		}
		return err
	}
	if err := look(); err != nil {
		return err
	}
	for held < many-1 {
		t, err := st.start(ctx, held)
		if err := errors.Join(err, raw.add("one of many", name, again, held, t, err)); err != nil {
			return err
		}
		held++
		if held%max(1, many/20) == 0 {
			if err := look(); err != nil {
				return err
			}
		}
	}
	for figure, p := range points {
		g.slopes[name][figure] = append(g.slopes[name][figure], slope(p))
	}
	return measure(fmt.Sprintf("number %d", many), held, g.last)
}

// The figures of memory, in the order of the table: the drop in MemAvailable
// (proc_meminfo(5)), in which all is that goes on meanwhile on the host; and what
// is known to be the containers' and their starter's, and its parts.
const (
	notAvailable = "not available (drop in MemAvailable)"
	known        = "known (sum of those below)"
	ofStarter    = "resident in the process that starts them"
)

var figures = []string{notAvailable, known, "Slab", "Percpu", "PageTables", "KernelStack", ofStarter}

// memory is what is in use, in bytes.
func memory(starter int) (map[string]float64, error) {
	m := map[string]float64{}
	read := func(path, key string) (float64, error) {
		b, err := os.ReadFile(path)
		if err != nil {
			return 0, err
		}
		for l := range strings.Lines(string(b)) {
			if f := strings.Fields(l); len(f) > 1 && f[0] == key+":" {
				kib, err := strconv.ParseFloat(f[1], 64)
				return kib * 1024, err
			}
		}
		return 0, fmt.Errorf("%s has no %s", path, key)
	}
	for _, figure := range figures {
		var v float64
		var err error
		switch figure {
		case notAvailable:
			v, err = read("/proc/meminfo", "MemAvailable")
			v = -v
		case known:
			continue
		case ofStarter:
			v, err = read(fmt.Sprintf("/proc/%d/status", starter), "VmRSS")
		default:
			v, err = read("/proc/meminfo", figure)
		}
		if err != nil {
			return nil, err
		}
		m[figure] = v
		if figure != notAvailable {
			m[known] += v
		}
	}
	return m, nil
}

// slope is that of the straight line with the least squares.
func slope(points [][2]float64) float64 {
	var n, x, y, xx, xy float64
	for _, p := range points {
		n, x, y, xx, xy = n+1, x+p[0], y+p[1], xx+p[0]*p[0], xy+p[0]*p[1]
	}
	return (n*xy - x*y) / (n*xx - x*x)
}

// A ratioOfRatios is how the growth of one subject compares with that of
// another: (last/first of values) / (last/first of base), of the medians, with
// the percentile bootstrap's interval, as result.Compare has it.
func ratioOfRatios(last, first, baseLast, baseFirst []float64, seed uint64) result.Ratio {
	samples := [][]float64{last, first, baseLast, baseFirst}
	r := result.Ratio{Ratio: math.NaN(), Low: math.NaN(), High: math.NaN()}
	if slices.ContainsFunc(samples, func(s []float64) bool { return len(s) < 6 }) {
		return r
	}
	of := func(pick func([]float64) []float64) float64 {
		var m [4]float64
		for i, s := range samples {
			m[i] = result.Summarize(pick(s)).Median
		}
		return m[0] / m[1] / (m[2] / m[3])
	}
	rng := rand.New(rand.NewPCG(seed, 2))
	var drawn []float64
	for range 2000 {
		drawn = append(drawn, of(func(s []float64) []float64 {
			again := make([]float64, len(s))
			for i := range again {
				again[i] = s[rng.IntN(len(s))]
			}
			return again
		}))
	}
	slices.Sort(drawn)
	r.Ratio = of(func(s []float64) []float64 { return s })
	r.Low, r.High = drawn[len(drawn)*25/1000], drawn[len(drawn)*975/1000-1]
	return r
}

func (g *growth) print(w io.Writer, o options) error {
	number := strconv.Itoa(o.many)
	var rows [][]string
	for _, name := range g.order {
		first, last := result.Summarize(g.first[name]), result.Summarize(g.last[name])
		r := result.Compare(g.last[name], g.first[name], o.seed)
		rows = append(rows, []string{name, result.FormatValue(first.Median, "ns"), first.FormatInterval("ns"),
			result.FormatValue(last.Median, "ns"), last.FormatInterval("ns"), result.FormatRatio(r.Ratio), r.FormatInterval()})
	}
	fmt.Fprintf(w, "\nStart to first instruction, with %d containers idling\n", o.many-1)
	if err := table(w, []string{"", "first", "95% interval", "number " + number, "95% interval", "growth", "95% interval"}, rows); err != nil {
		return err
	}
	rows = nil
	const most = 1.2
	pairs := [][2]string{{libraryLo, limitLo}, {libraryVeth, limitVeth}}
	for _, p := range pairs {
		r := ratioOfRatios(g.last[p[0]], g.first[p[0]], g.last[p[1]], g.first[p[1]], o.seed)
		rows = append(rows, []string{"growth: " + p[0] + " / " + p[1], result.FormatRatio(r.Ratio), r.FormatInterval(), "≤ 1.20", verdict(r, most)})
	}
	if err := table(w, []string{"", "ratio", "95% interval", "target", ""}, rows); err != nil {
		return err
	}
	rows = nil
	for _, figure := range figures {
		rows = append(rows, []string{figure, "", ""})
		for _, name := range g.order {
			v := g.slopes[name][figure]
			rows = append(rows, []string{"  " + name, kib(result.Summarize(v).Median), kib(slices.Min(v)) + " to " + kib(slices.Max(v))})
		}
		if figure != notAvailable && figure != known {
			continue
		}
		for _, p := range pairs {
			r := result.Summarize(g.slopes[p[0]][figure]).Median / result.Summarize(g.slopes[p[1]][figure]).Median
			rows = append(rows, []string{"  " + p[0] + " / " + p[1] + ", target ≤ 1.20", result.FormatRatio(r), ""})
		}
	}
	fmt.Fprintf(w, "\nHost memory for each idle container: the slope over %d of them, KiB; the median and all of %d times\n", o.many-1, o.again)
	return table(w, []string{"", "KiB", "range"}, rows)
}

func kib(bytes float64) string { return strconv.FormatFloat(bytes/1024, 'f', 1, 64) }
