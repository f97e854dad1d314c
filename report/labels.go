package report

import (
	"cmp"
	"slices"
)

// A span is where a label would like to be on a line, and how long it is.
type span struct{ centre, width float64 }

// place moves labels on a line as little as possible, so that none covers
// another and all lie between lo and hi, and returns the left end of each. The
// order of the centres is kept, so that lines from the labels to what they
// name do not cross. It fails when they do not fit.
//
// Without its predecessors' widths and gaps, each label has a wish for where
// the whole row would begin; the nearest row that never steps back is the
// isotonic regression of those wishes (pool adjacent violators).
func place(labels []span, lo, hi, gap float64) ([]float64, bool) {
	order := byCentre(labels)
	type block struct {
		sum float64
		n   int
	}
	var blocks []block
	before := make([]float64, len(labels)) // widths and gaps ahead of each
	used := 0.0
	for k, i := range order {
		before[k] = used
		blocks = append(blocks, block{labels[i].centre - labels[i].width/2 - used, 1})
		used += labels[i].width + gap
		for n := len(blocks); n > 1 && blocks[n-2].sum/float64(blocks[n-2].n) > blocks[n-1].sum/float64(blocks[n-1].n); n = len(blocks) {
			blocks[n-2].sum += blocks[n-1].sum
			blocks[n-2].n += blocks[n-1].n
			blocks = blocks[:n-1]
		}
	}
	used -= gap
	if used > hi-lo {
		return nil, false
	}
	left := make([]float64, len(labels))
	k := 0
	for _, b := range blocks {
		for range b.n {
			left[order[k]] = min(max(b.sum/float64(b.n), lo), hi-used) + before[k]
			k++
		}
	}
	return left, true
}

// A raised label stands at the top of a pole: in a row, counted from below.
type raised struct {
	pole, left float64
	row        int
}

// raise puts names above the places that they name, each at the top of a pole that stands
// there, so that no pole passes behind another name. Poles are at least apart from each
// other; the same places have poles side by side.
func raise(labels []span, apart, lo, hi, gap float64) []raised {
	poles := make([]span, len(labels))
	for i, l := range labels {
		poles[i] = span{l.centre, apart}
	}
	if left, ok := place(poles, lo, hi, 0); ok {
		for i := range poles {
			poles[i].centre = left[i] + apart/2
		}
	}
	mirrored := make([]span, len(labels))
	for i, l := range labels {
		poles[i].width = l.width
		mirrored[i] = span{lo + hi - poles[i].centre, l.width}
	}
	best, other := raiseFromLeft(poles, lo, hi, gap), raiseFromLeft(mirrored, lo, hi, gap)
	if rowsOf(other) < rowsOf(best) {
		for i, o := range other {
			best[i] = raised{poles[i].centre, lo + hi - o.left - labels[i].width, o.row}
		}
	}
	return best
}

// raiseFromLeft fills rows from below. A row takes, from left to right, the names that have
// room between the poles of those that come above it. If it has room for none, as for
// names of half the width, the first stands in it nevertheless.
func raiseFromLeft(labels []span, lo, hi, gap float64) []raised {
	all := make([]raised, len(labels))
	above := byCentre(labels)
	for row := 0; len(above) > 0; row++ {
		var next []int
		from := lo
		for k, i := range above {
			l, to := labels[i], hi
			if k+1 < len(above) {
				to = labels[above[k+1]].centre - gap/2
			}
			at := max(min(l.centre-l.width/2, to-l.width), from)
			if at > l.centre || at+l.width < l.centre || at+l.width > to {
				next = append(next, i)
				from = max(from, l.centre+gap/2)
				continue
			}
			all[i] = raised{l.centre, at, row}
			from = at + l.width + gap
		}
		if len(next) == len(above) {
			i := next[0]
			all[i] = raised{labels[i].centre, max(lo, min(labels[i].centre-labels[i].width/2, hi-labels[i].width)), row}
			next = next[1:]
		}
		above = next
	}
	return all
}

// rowsOf is how many rows there are.
func rowsOf(all []raised) (n int) {
	for _, r := range all {
		n = max(n, r.row+1)
	}
	return n
}

// byCentre are the indices of labels in the order of their centres.
func byCentre(labels []span) []int {
	order := make([]int, len(labels))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(labels[a].centre, labels[b].centre) })
	return order
}
