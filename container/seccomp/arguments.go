package seccomp

import (
	"slices"
	"sort"
)

// outcome is where an outcome is found and answered.
func (a *assembler) outcome(o *outcomes, index uint16) node {
	if a.outcomes[index] >= 0 {
		return a.outcomes[index]
	}
	x := o.list[index]
	var n node
	if index == 0 || x.decided {
		n = a.ret(x.answer)
	} else {
		n = a.rules(o, index)
	}
	a.outcomes[index] = n
	return n
}

// rules tries the rules of an outcome. Last rules are written first, so that
// those before know where to go on.
func (a *assembler) rules(o *outcomes, index uint16) node {
	next := a.ret(o.list[0].answer)
	for index != 0 {
		last := o.list[index]
		if len(last.conditions) > 1 {
			yes := a.ret(last.answer)
			for _, c := range slices.Backward(last.conditions) {
				yes = a.compare([]outcome{{answer: last.answer, conditions: []condition{c}}}, yes, next)
			}
			next, index = yes, last.before
			continue
		}
		// Rules in a row that look at the same bits become one search.
		var row []outcome
		for index != 0 && len(o.list[index].conditions) == 1 && sameBits(o.list[index].conditions[0], last.conditions[0]) {
			row = append(row, o.list[index])
			index = o.list[index].before
		}
		slices.Reverse(row)
		next = a.compare(row, -1, next)
	}
	return next
}

func sameBits(c, d condition) bool { return c.arg == d.arg && c.mask == d.mask }

// compare tries rules of one condition each, all on the same bits of an
// argument. A rule that holds leads to yes, or to its answer if yes is -1.
//
// Only at some values can the first rule that holds change. Between two of
// them, any value speaks for all.
func (a *assembler) compare(rules []outcome, yes, no node) node {
	points := []uint64{0}
	targets := make([]node, len(rules))
	for i, r := range rules {
		c := r.conditions[0]
		if c.op != greater && c.op != lessEqual {
			points = append(points, c.value)
		}
		if c.op != less && c.op != greaterEqual {
			points = append(points, c.value+1) // or 0 after the last
		}
		if targets[i] = yes; yes < 0 {
			targets[i] = a.ret(r.answer)
		}
	}
	slices.Sort(points)
	points = slices.Compact(points)
	to := make([]node, len(points))
	for i, p := range points {
		to[i] = no
		if first := slices.IndexFunc(rules, func(r outcome) bool { return r.conditions[0].holds(p) }); first >= 0 {
			to[i] = targets[first]
		}
	}
	return a.search(rules[0].conditions[0], points, to)
}

// search finds the range of an argument, masked, between points. A has 32
// bits: the upper half of the argument tells where to go, or which tree over
// the lower half to ask.
func (a *assembler) search(c condition, points []uint64, to []node) node {
	var upper []span
	for i := 0; i < len(points); {
		high := uint32(points[i] >> 32)
		end := i + sort.Search(len(points)-i, func(j int) bool { return uint32(points[i+j]>>32) > high })
		lower := make([]span, 0, end-i+1)
		if uint32(points[i]) != 0 {
			lower = append(lower, span{0, to[i-1]})
		}
		for ; i < end; i++ {
			lower = append(lower, span{uint32(points[i]), to[i]})
		}
		upper = append(upper, span{high, a.half(c.arg, 0, uint32(c.mask), lower)})
		if rest := high + 1; rest != 0 && (i == len(points) || uint32(points[i]>>32) != rest) {
			upper = append(upper, span{rest, to[i-1]})
		}
	}
	return a.half(c.arg, offsetHigh, uint32(c.mask>>32), upper)
}

// half finds the span of one half of an argument, masked.
func (a *assembler) half(arg uint8, offset, mask uint32, spans []span) node {
	if spans = merge(spans); len(spans) == 1 || mask == 0 {
		return spans[0].to
	}
	offset += offsetArgs + 8*uint32(arg)
	if len(spans) == 2 && spans[1].start == 1 && mask != 1<<32-1 {
		return a.then(opLoad, offset, a.branch(opJset, mask, spans[1].to, spans[0].to))
	}
	n := a.tree(spans)
	if mask != 1<<32-1 {
		n = a.then(opAnd, mask, n)
	}
	return a.then(opLoad, offset, n)
}
