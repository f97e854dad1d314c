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

// placeRows puts labels on as few lines as they need, and returns the line and
// the left end of each. Neighbours go on different lines.
func placeRows(labels []span, lo, hi, gap float64) (row []int, left []float64) {
	row, left = make([]int, len(labels)), make([]float64, len(labels))
	order := byCentre(labels)
	for rows := 1; rows <= len(labels); rows++ {
		fits := true
		for r := range rows {
			var some []span
			var which []int
			for k := r; k < len(order); k += rows {
				some = append(some, labels[order[k]])
				which = append(which, order[k])
			}
			at, ok := place(some, lo, hi, gap)
			if !ok && len(some) == 1 {
				at, ok = []float64{lo}, true // one that is too long alone sticks out
			}
			if !ok {
				fits = false
				break
			}
			for j, i := range which {
				row[i], left[i] = r, at[j]
			}
		}
		if fits {
			break
		}
	}
	return row, left
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
