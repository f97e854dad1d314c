package seccomp

// A span is where the values from start up to the next span's start lead.
// A list of spans is sorted, and its first starts at 0.
type span struct {
	start uint32
	to    node
}

// merge joins neighbours that lead to the same place.
func merge(spans []span) []span {
	merged := spans[:1]
	for _, s := range spans[1:] {
		if s.to != merged[len(merged)-1].to {
			merged = append(merged, s)
		}
	}
	return merged
}

// exceptions is how many single values a leaf of the tree may hold that lead
// elsewhere than the rest. Each is one comparison, where a range of its own
// would cost two; but they are tried in turn, and a path should stay short.
const exceptions = 3

// leaf gives the end of the leaf that starts at spans[i].
func leaf(spans []span, i int) int {
	end := i + 1
	for n := 0; n < exceptions && end+1 < len(spans); n++ {
		single := spans[end+1].start-spans[end].start == 1
		if !single || spans[end+1].to != spans[i].to {
			break
		}
		end += 2
	}
	return end
}

// tree is the balanced binary tree that finds the span of the value in A.
func (a *assembler) tree(spans []span) node {
	leaves := make([]int, 0, len(spans)+1) // where they start
	for i := 0; i < len(spans); i = leaf(spans, i) {
		leaves = append(leaves, i)
	}
	return a.subtree(spans, append(leaves, len(spans)))
}

// subtree is the tree of the leaves between each two of the given starts.
func (a *assembler) subtree(spans []span, leaves []int) node {
	if len(leaves) == 2 {
		n := spans[leaves[0]].to
		for i := leaves[1] - 2; i > leaves[0]; i -= 2 {
			n = a.branch(opJeq, spans[i].start, spans[i].to, n)
		}
		return n
	}
	middle := (len(leaves) - 1) / 2
	upper := a.subtree(spans, leaves[middle:])
	lower := a.subtree(spans, leaves[:middle+1])
	return a.branch(opJge, spans[leaves[middle]].start, upper, lower)
}
