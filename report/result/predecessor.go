package result

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/aclements/go-moremath/mathx"
)

// shuffles is how often [kruskalWallis] deals the values out anew.
const shuffles = 1999

// shuffledMost is how many values are dealt out anew.
const shuffledMost = 500

// Preceded tests whether what ran before mattered: the values of a key are
// grouped by the key of the sample that was taken just before each, of whatever
// experiment, and the groups compared by the test of Kruskal and Wallis. p is
// NaN when there are not two groups of at least two values. A machine that ends
// may leave the host with memory to give back and caches that are cold, and who
// comes next would pay for it; the random order spreads that over all, and
// here it shows. Of a lean run, the samples are tested that are whole.
func (r *Run) Preceded(k Key, value string) (p float64) {
	groups := map[Key][]float64{}
	for i := 1; i < len(r.Samples); i++ {
		s := &r.Samples[i]
		if s.Key() != k || s.Warmup || s.Error != "" || r.gaps[i] {
			continue
		}
		if v, ok := s.Values[value]; ok {
			before := r.Samples[i-1].Key()
			groups[before] = append(groups[before], v)
		}
	}
	// In the order of the journal, so that one seed gives one p.
	var list [][]float64
	for i := 0; len(groups) > 0; i++ {
		if g := groups[r.Samples[i].Key()]; len(g) >= 2 {
			list = append(list, g)
		}
		delete(groups, r.Samples[i].Key())
	}
	return kruskalWallis(list, r.Header.Seed)
}

// PrecededWarning is what is said of a p-value of [Run.Preceded], if there is something to
// say.
func PrecededWarning(p float64) []Warning {
	if p < odd {
		return []Warning{{Predecessor, fmt.Sprintf("what ran before mattered (Kruskal-Wallis, %s)", FormatP(p))}}
	}
	return nil
}

// kruskalWallis tests whether groups come from one distribution (Kruskal and
// Wallis, "Use of Ranks in One-Criterion Variance Analysis", Journal of the
// American Statistical Association 47, 1952). Its p-value is the share of random
// ways to deal the values out to groups of these sizes in which the ranks of
// the groups differ at least as much, with the observed way among them: groups
// are small here, for which the usual chi-squared is a poor approximation. Above
// 500 values it is good, and is used.
func kruskalWallis(groups [][]float64, seed uint64) float64 {
	if len(groups) < 2 {
		return math.NaN()
	}
	ranks := meanRanks(slices.Concat(groups...))
	// H rises with this sum; all else in it is the same for every way.
	statistic := func() (h float64) {
		at := 0
		for _, g := range groups {
			sum := 0.0
			for _, r := range ranks[at : at+len(g)] {
				sum += r
			}
			h += sum * sum / float64(len(g))
			at += len(g)
		}
		return h
	}
	observed := statistic()
	if len(ranks) > shuffledMost {
		return chiSquared(observed, ranks, len(groups))
	}
	rng := rand.New(rand.NewPCG(seed, 1))
	as := 1
	for range shuffles {
		rng.Shuffle(len(ranks), func(i, j int) { ranks[i], ranks[j] = ranks[j], ranks[i] })
		if statistic() >= observed*(1-1e-12) {
			as++
		}
	}
	return float64(as) / (shuffles + 1)
}

// chiSquared is the p-value for many values: H, corrected for ties, has the chi-squared
// distribution with one degree of freedom less than there are groups. The sum is that of the
// squares of each group's ranks over its size.
func chiSquared(sum float64, ranks []float64, groups int) float64 {
	n := float64(len(ranks))
	mean := (n + 1) / 2
	var all float64
	for _, r := range ranks {
		all += (r - mean) * (r - mean)
	}
	if all == 0 {
		return 1 // all values are equal
	}
	h := (n - 1) * (sum - n*mean*mean) / all
	return mathx.GammaIncComp(float64(groups-1)/2, max(0, h)/2)
}
