package experiment

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"vmctr/bench/platform"
)

// TestSearch: wherever the border is, it is found, and both of its sides are tried again.
func TestSearch(t *testing.T) {
	for least := range limitSizes {
		s := newSearch(limitSizes)
		for range 12 {
			at := s.next()
			s.record(at, at >= least)
		}
		if s.opens != least || s.fails != least-1 {
			t.Errorf("the border is below %d, and found between %d and %d", least, s.fails, s.opens)
		}
		for _, at := range []int{s.fails, s.opens} {
			if at >= 0 && s.seen[at].started+s.seen[at].failed < 3 {
				t.Errorf("border at %d: %d was tried only as often as %v", least, at, s.seen[at])
			}
		}
	}
}

// TestSearchWavers: a size in which the workload starts now and then counts as what most
// of its tries came to, and one try that goes otherwise than the others moves nothing.
func TestSearchWavers(t *testing.T) {
	sizes := []int64{1, 2, 3, 4, 5}
	for _, tt := range []struct {
		name  string
		size  int    // that wavers; those above it start
		tries []bool // of that
		want  int    // the smallest that starts
	}{
		{"mostly starts", 2, []bool{true, false, true, true, true, true, true}, 2},
		{"mostly fails", 2, []bool{true, false, false, false, false, false, false}, 3},
		{"fails at first", 2, []bool{false, true, true, true, true, true, true}, 2},
		{"the largest fails once", 4, []bool{false, true, true, true, true, true, true, true}, 4},
	} {
		s := newSearch(sizes)
		n := 0
		for range 14 {
			at := s.next()
			started := at > tt.size
			if at == tt.size {
				started = tt.tries[min(n, len(tt.tries)-1)]
				n++
			}
			s.record(at, started)
			if s.opens < 0 || s.opens >= len(sizes) || s.fails > s.opens {
				t.Fatalf("%s: between %d and %d", tt.name, s.fails, s.opens)
			}
		}
		if s.opens != tt.want {
			t.Errorf("%s: %d starts, want %d (%v)", tt.name, s.opens, tt.want, s.seen)
		}
	}
}

func TestSizes(t *testing.T) {
	for _, sizes := range [][]int64{limitSizes, ramSizes} {
		if !slices.IsSorted(sizes) || slices.ContainsFunc(sizes, func(n int64) bool { return n%(4<<10) != 0 }) {
			t.Errorf("sizes %v", sizes)
		}
	}
	if got := below([]int64{1, 2, 4, 8}, 4); !slices.Equal(got, []int64{1, 2, 4}) {
		t.Errorf("%v", got)
	}
	if got := below([]int64{1, 2, 4}, 6); !slices.Equal(got, []int64{1, 2, 4, 6}) {
		t.Errorf("%v", got)
	}
}

func TestClassify(t *testing.T) {
	instance := func(text string) error { return &platform.InstanceError{Err: errors.New(text)} }
	for _, tt := range []struct {
		seen error
		late bool
		want string
	}{
		{instance("it ended by itself: killed by signal SIGKILL (over its memory limit)"), false, killed},
		{instance("the guest's kernel panicked: Out of memory and no killable processes"), false, killed},
		{instance("it ended by itself: exit status 1; container init was OOM-killed (memory limit too low?)"), false, killed},
		{instance("it ended by itself: exit status 137"), false, killed},
		{instance("it ended by itself: exit status 2"), false, gaveUp},
		{fmt.Errorf("waiting: %w", instance("panic")), false, gaveUp},
		{errors.New("waiting for the workload's first instruction: it was not up within 5s"), true, stuck},
		{instance("the guest does not answer"), true, stuck},
		{errors.New("writing memory.max: device or resource busy"), false, refused},
		{&platform.UnavailableError{Reason: "too little RAM"}, false, refused},
	} {
		if got, why := classify(tt.seen, nil, tt.late); got != tt.want || why == "" {
			t.Errorf("%v: %q, want %q", tt.seen, got, tt.want)
		}
	}
}
