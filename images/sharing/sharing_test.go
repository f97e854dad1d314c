package sharing

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// layer is one named by a letter; its blob has 10 bytes times the letter's
// place, its archive twice that. After a slash is another way to compress it.
func layer(name string) Layer {
	id, how, _ := strings.Cut(name, "/")
	n := int64(id[0]-'a'+1) * 10
	return Layer{DiffID: id, Digest: id + how, Size: n, Archive: 2 * n}
}

// stack reads "name: a b c".
func stack(text string) Stack {
	name, layers, _ := strings.Cut(text, ":")
	s := Stack{Name: name}
	for _, l := range strings.Fields(layers) {
		s.Layers = append(s.Layers, layer(l))
	}
	return s
}

func stacks(text ...string) []Stack {
	var all []Stack
	for _, t := range text {
		all = append(all, stack(t))
	}
	return all
}

func TestOf(t *testing.T) {
	type image struct {
		Name             string
		All, Own, Beside int64
	}
	for _, tt := range []struct {
		name         string
		stacks       []Stack
		once, copied Bytes
		images       []image
	}{
		{"none", nil, Bytes{}, Bytes{}, nil},
		{"one", stacks("x: a b"), Bytes{30, 60}, Bytes{30, 60}, []image{{"x", 30, 30, 30}}},
		{"the same twice", stacks("x: a b", "y: a b"), Bytes{30, 60}, Bytes{60, 120}, []image{{"x", 30, 0, 0}, {"y", 30, 0, 0}}},
		{"nothing in common", stacks("x: a", "y: b"), Bytes{30, 60}, Bytes{30, 60}, []image{{"x", 10, 10, 10}, {"y", 20, 20, 20}}},
		{"a base", stacks("debian: c", "nginx: c a", "httpd: c b"), Bytes{60, 120}, Bytes{120, 240},
			[]image{{"debian", 30, 0, 0}, {"nginx", 40, 10, 10}, {"httpd", 50, 20, 20}}},
		{"on another base", stacks("x: a c", "y: b c"), Bytes{60, 120}, Bytes{90, 180}, []image{{"x", 40, 10, 10}, {"y", 50, 20, 20}}},
		{"twice in one", stacks("x: a b a"), Bytes{30, 60}, Bytes{30, 60}, []image{{"x", 30, 30, 30}}},
		// Unpacked once, and stored and sent twice.
		{"compressed twice", stacks("x: a/gzip", "y: a/zstd"), Bytes{20, 20}, Bytes{20, 40}, []image{{"x", 10, 10, 10}, {"y", 10, 10, 10}}},
		{"empty", stacks("x:", "y: a"), Bytes{10, 20}, Bytes{10, 20}, []image{{"x", 0, 0, 0}, {"y", 10, 10, 10}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := Of(tt.stacks)
			if s.Once != tt.once || s.Copied != tt.copied {
				t.Errorf("once %v, copied %v, want %v and %v", s.Once, s.Copied, tt.once, tt.copied)
			}
			var got []image
			for _, i := range s.Images {
				got = append(got, image{i.Name, i.All.Size, i.Own.Size, i.FetchBeside})
			}
			if diff := cmp.Diff(tt.images, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFetch(t *testing.T) {
	all := stacks("here: a b", "elsewhere: a c")
	all[0].Layers[0].Stored, all[0].Layers[1].Stored, all[1].Layers[0].Stored = true, true, true
	all[1].Layers[1].Archive = -1 // nobody has looked
	s := Of(all)
	if s.Images[0].Fetch != 0 || s.Images[1].Fetch != 30 {
		t.Errorf("to fetch: %d and %d, want 0 and 30", s.Images[0].Fetch, s.Images[1].Fetch)
	}
	if s.Once != (Bytes{60, -1}) || s.Copied != (Bytes{70, -1}) || s.Images[0].All != (Bytes{30, 60}) || s.Images[1].Own != (Bytes{30, -1}) {
		t.Errorf("once %v, copied %v, %v, %v", s.Once, s.Copied, s.Images[0].All, s.Images[1].Own)
	}
	if got := fmt.Sprintf("%.3f", s.Saved()); got != "1.167" {
		t.Errorf("saved %s", got)
	}
	if s := Of(nil); s.Saved() != 1 {
		t.Errorf("of nothing: saved %v", s.Saved())
	}
}

func TestSign(t *testing.T) {
	for n, want := range map[int]string{0: "A", 25: "Z", 26: "AA", 51: "AZ", 52: "BA", 701: "ZZ", 702: "AAA"} {
		if got := sign(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

// show is a block as "x,y: A B" with a step for each level.
func show(s Sharing, b Block) string {
	var names, signs []string
	for _, i := range s.Images[b.From:b.To] {
		names = append(names, i.Name)
	}
	for _, l := range b.Layers {
		signs = append(signs, s.Layers[l].Sign)
	}
	return strings.Repeat("  ", b.Level) + strings.Join(names, ",") + ": " + strings.Join(signs, " ")
}

func TestBlocks(t *testing.T) {
	for _, tt := range []struct {
		name   string
		stacks []Stack
		merge  bool
		want   []string
	}{
		{"none", nil, true, nil},
		{"a base", stacks("nginx: c a", "debian: c", "httpd: c b"), false, []string{"debian,nginx,httpd: A", "  nginx: B", "  httpd: C"}},
		{"apart at first", stacks("x: a b", "y: c", "z: a d"), false, []string{"x,z: A", "  x: B", "  z: C", "y: D"}},
		{"merged", stacks("x: a b c", "y: a b d e", "z: a b d"), true, []string{"x,z,y: A B", "  x: C", "  z,y: D", "    y: E"}},
		{"not merged", stacks("x: a b c", "y: a b"), false, []string{"y,x: A", "  y,x: B", "    x: C"}},
		{"on another base", stacks("x: a c", "y: b c"), true, []string{"x: A B", "y: C B"}},
		{"twice in one", stacks("x: a a"), true, []string{"x: A A"}},
		{"empty", stacks("x:", "y: a"), true, []string{"y: A"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := Of(tt.stacks)
			var got []string
			for _, b := range s.Blocks(tt.merge) {
				got = append(got, show(s, b))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// FuzzOf: whatever the images are, the blocks show each of their layers once and
// in order, and what is stored once is no more than the copies.
func FuzzOf(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var all []Stack
		for i := range rng.IntN(6) {
			s := Stack{Name: fmt.Sprint(i)}
			for range rng.IntN(5) {
				s.Layers = append(s.Layers, layer(string(rune('a'+rng.IntN(4)))))
			}
			all = append(all, s)
		}
		s := Of(all)
		if len(s.Images) != len(all) || s.Once.Size > s.Copied.Size || s.Once.Archive > s.Copied.Archive || s.Saved() < 1 {
			t.Errorf("%d images of %d; once %v, copied %v", len(s.Images), len(all), s.Once, s.Copied)
		}
		for _, merge := range []bool{false, true} {
			piles := make([][]int, len(s.Images))
			for _, b := range s.Blocks(merge) {
				for i := b.From; i < b.To; i++ {
					piles[i] = append(piles[i], b.Layers...)
				}
			}
			for i, img := range s.Images {
				if diff := cmp.Diff(img.Layers, append([]int{}, piles[i]...)); diff != "" {
					t.Errorf("merge %v: image %s is drawn as %s", merge, img.Name, diff)
				}
			}
		}
	})
}
