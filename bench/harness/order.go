package harness

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"

	"vmctr/report/result"
)

// shuffled gives the trials of a round in its random order. The place of each is drawn from
// the seed, the experiment, the round and the trial itself, so that the order is the same
// in a run that was stopped and goes on, and that of the others when one drops out.
func shuffled(seed uint64, experiment string, warmup bool, round int, trials []Trial) []Trial {
	type placed struct {
		place uint64
		trial Trial
	}
	var list []placed
	for _, t := range trials {
		h := fnv.New64a()
		fmt.Fprintf(h, "%q %t %d %q %q %d", experiment, warmup, round, t.Platform, t.Series, t.N)
		list = append(list, placed{rand.NewPCG(seed, h.Sum64()).Uint64(), t})
	}
	slices.SortStableFunc(list, func(a, b placed) int { return cmp.Compare(a.place, b.place) })
	ordered := make([]Trial, 0, len(list))
	for _, p := range list {
		ordered = append(ordered, p.trial)
	}
	return ordered
}

// key is that of a trial's samples.
func (t Trial) key(experiment string) result.Key {
	return result.Key{Experiment: experiment, Platform: t.Platform, Series: t.Series, N: t.N}
}
