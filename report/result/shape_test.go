package result

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOutliers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		values []float64
		want   []int
	}{
		{"too few", []float64{1, 1, 1, 1, 99}, nil},
		{"not a number", []float64{1, 2, 3, 4, 5, math.NaN()}, nil},
		// Iglewicz and Hoaglin's own data: median 3.02, MAD 0.405; 9.65 has a score of 11.
		{"Iglewicz and Hoaglin", []float64{2.1, 2.6, 2.4, 2.5, 2.3, 2.1, 2.3, 2.6, 8.2, 8.3}, []int{8, 9}},
		// MAD 1: 3.5/0.6745 = 5.189.
		{"at the limit", []float64{-1, 0, 1, -1, 0, 1, 5.18}, nil},
		{"above the limit", []float64{-1, 0, 1, -1, 0, 1, 5.20}, []int{6}},
		{"below", []float64{-1, 0, 1, -5.20, -1, 0, 1}, []int{3}},
		{"all equal", []float64{4, 4, 4, 4, 4, 4}, nil},
		// MAD 0; the mean distance is 6/8, 3.5 times 1.2533 of that is 3.29.
		{"nearly all equal", []float64{4, 4, 4, 4, 4, 4, 4, 10}, []int{7}},
	} {
		if d := cmp.Diff(tt.want, Outliers(tt.values)); d != "" {
			t.Errorf("%s:\n%s", tt.name, d)
		}
	}
}

func TestDip(t *testing.T) {
	for _, tt := range []struct {
		name string
		x    []float64
		want float64
	}{
		{"one value", []float64{3, 3, 3}, 0},
		{"even steps", upTo(20), 1. / 40},
		{"two far apart", []float64{0, 0, 0, 0, 1, 1, 1, 1}, 1. / 4},
		{"two thirds and a third", []float64{0, 0, 0, 0, 0, 0, 1, 1, 1}, 1. / 6},
		// The quality of 63 faculties of statistics, R package diptest: its manual gives
		// D = 0.05952381.
		{"statfaculty", []float64{30, 33, 35, 36, 37, 37, 39, 39, 39, 39, 39, 40, 40, 40, 40, 41, 42, 43, 43, 43, 44, 44, 45, 45, 46, 46, 47, 47, 48, 48, 48, 49, 50, 50, 51, 52, 52, 53, 53, 53, 53, 53, 54, 54, 57, 57, 59, 60, 60, 60, 61, 61, 61, 61, 62, 62, 62, 62, 63, 66, 70, 72, 72}, 0.05952381},
	} {
		if got := dip(tt.x); !near(got, tt.want, 1e-8) {
			t.Errorf("%s: %v, want %v (n=%d)", tt.name, got, tt.want, len(tt.x))
		}
	}
}

func uniform(rng *rand.Rand, n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = rng.Float64()
	}
	return v
}

// TestDipTable holds the table against the one of R's diptest (qDiptab, 99%),
// and against samples of its own.
func TestDipTable(t *testing.T) {
	published := map[int]float64{10: 0.159684, 15: 0.135984, 20: 0.120624, 30: 0.101479, 50: 0.081200, 100: 0.059024, 200: 0.042686, 500: 0.027452, 1000: 0.019608, 5000: 0.0088636}
	for _, d := range dips {
		want, ok := published[d.n]
		if got := d.dip / math.Sqrt(float64(d.n)); ok && math.Abs(got/want-1) > 0.01 {
			t.Errorf("n=%d: %.5f, the published table has %.5f", d.n, got, want)
		}
	}
	for _, n := range []int{10, 72, 250} {
		const draws = 2000
		rng := rand.New(rand.NewPCG(10, uint64(n)))
		called := 0
		for range draws {
			if Multimodal(uniform(rng, n)) {
				called++
			}
		}
		// 1%, and four standard deviations.
		if share := float64(called) / draws; share > 0.019 || share < 0.001 {
			t.Errorf("n=%d: %.2f%% of uniform samples are called multimodal, want 1%%", n, 100*share)
		}
	}
}

func TestMultimodal(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	two := func(n int) []float64 {
		v := skewed(rng, n)
		for i := range v {
			v[i] = 10 + 0.1*v[i]
			if i%3 == 0 {
				v[i] += 2
			}
		}
		return v
	}
	for _, n := range []int{20, 100, 1000} {
		if !Multimodal(two(n)) {
			t.Errorf("n=%d: two groups are not seen", n)
		}
		for range 100 {
			if Multimodal(skewed(rng, n)) {
				t.Errorf("n=%d: a long tail is called a second group", n)
			}
		}
	}
	// Pages of memory: five neighbouring values, and one page or another.
	var pages, either []float64
	for i := range 200 {
		pages = append(pages, 4096*float64(500+i*7%5))
		either = append(either, 4096*float64(500+i%2))
	}
	if Multimodal(pages) || Multimodal(either) {
		t.Error("steps of a page are called groups")
	}
	for _, v := range [][]float64{nil, upTo(9), slices.Repeat([]float64{1}, 50), {math.Inf(1), 1, 2, 3, 4, 5, 6, 7, 8, 9}} {
		if Multimodal(v) {
			t.Errorf("%v is called multimodal", v)
		}
	}
}

func TestDrifts(t *testing.T) {
	nan := math.NaN()
	falling := upTo(12)
	slices.Reverse(falling)
	for _, tt := range []struct {
		name   string
		values []float64
		rho, p float64
	}{
		{"too few", upTo(9), nan, nan},
		{"equal", slices.Repeat([]float64{1}, 12), nan, nan},
		{"rising", upTo(12), 1, 0},
		{"falling", falling, -1, 0},
		// 1 - 6*Σd²/(n(n²-1)), Σd² = 194, n = 10: the textbook case (IQ against hours of
		// television, Wikipedia: rho = -29/165, p by Student's t = 0.627).
		{"textbook", []float64{1, 6, 8, 7, 10, 9, 3, 5, 2, 4}, -29. / 165, 0.627188},
		// Swaps of neighbours: Σd² = 10.
		{"nearly", []float64{2, 1, 4, 3, 6, 5, 8, 7, 10, 9}, 1 - 60./990, 4.9e-5},
	} {
		rho, p := Drifts(tt.values)
		if !near(rho, tt.rho, 1e-9) || !near(p, tt.p, 3e-5) {
			t.Errorf("%s: rho = %v, p = %v, want %v, %v", tt.name, rho, p, tt.rho, tt.p)
		}
	}
	called := 0
	rng := rand.New(rand.NewPCG(13, 14))
	for range 2000 {
		if _, p := Drifts(skewed(rng, 25)); p < 0.05 {
			called++
		}
	}
	if called < 60 || called > 140 { // 100, and four standard deviations
		t.Errorf("%d of 2000 samples without a drift are called drifting at 5%%", called)
	}
}

func TestExamine(t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 16))
	codes := func(values []float64) (list []Code) {
		for _, w := range Examine(values) {
			list = append(list, w.Code)
		}
		return list
	}
	drifting := uniform(rng, 40)
	for i := range drifting {
		drifting[i] += float64(i) / 10
	}
	groups := uniform(rng, 40)
	for i := range groups {
		groups[i] += 5 * float64(i%2)
	}
	for _, tt := range []struct {
		name   string
		values []float64
		want   []Code
	}{
		{"nothing", nil, nil},
		{"plain", uniform(rng, 40), nil},
		{"far off", append(uniform(rng, 40), 90), []Code{FarOff}},
		{"drift", drifting, []Code{Drift}},
		{"groups", groups, []Code{Bimodal}},
	} {
		if d := cmp.Diff(tt.want, codes(tt.values)); d != "" {
			t.Errorf("%s:\n%s", tt.name, d)
		}
	}
}

func TestFormatP(t *testing.T) {
	for p, want := range map[float64]string{0: "p < 0.001", 0.00123: "p = 0.0012", 0.0312: "p = 0.031", 0.5: "p = 0.5", 0.999: "p = 1", math.NaN(): "–"} {
		if got := FormatP(p); got != want {
			t.Errorf("FormatP(%v) = %q, want %q", p, got, want)
		}
	}
}
