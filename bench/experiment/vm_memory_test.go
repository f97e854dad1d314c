package experiment

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vmctr/bench/platform"
	"vmctr/report/result"
	"vmctr/vm"
)

// guest is an instance with RAM, of which a test says what it does.
type guest struct {
	*instance
	ram      int64
	touchErr error
}

func (g *guest) RAM(context.Context) (int64, error) { return g.ram, nil }

func (g *guest) Touch(_ context.Context, bytes int64) error {
	g.ram += bytes
	return g.touchErr
}

type balloonGuest struct{ *guest }

func (g balloonGuest) Balloon(_ context.Context, bytes int64) error {
	g.ram -= bytes
	return nil
}

type twinGuest struct {
	*guest
	second *fake
}

func (g twinGuest) Another(ctx context.Context) (platform.Instance, error) {
	return g.second.Start(ctx)
}

func (g twinGuest) Compare(_ context.Context, other platform.Instance) (vm.Mergeable, error) {
	if other != platform.Instance(g.second.last) {
		return vm.Mergeable{}, errors.New("compared with another one")
	}
	return vm.Mergeable{Resident: 100, Zero: 1, Within: 2, Across: 3}, nil
}

// TestVMMemory: what is asked of a machine depends on what it can.
func TestVMMemory(t *testing.T) {
	const ram = 1000
	second, dead := newFake(t, healthy), newFake(t, "exit 0")
	tests := []struct {
		name string
		wrap func(*guest) platform.Instance
		want map[string]float64 // less the times
		err  string
	}{
		{"reporting", func(g *guest) platform.Instance { return g },
			map[string]float64{"ram_rest_bytes": ram, "touch_bytes": touched, "ram_touched_bytes": ram + touched, "ram_freed_bytes": ram + touched, "ram_kept_bytes": ram + touched}, ""},
		{"balloon", func(g *guest) platform.Instance { return balloonGuest{g} },
			map[string]float64{"ram_rest_bytes": ram, "touch_bytes": touched, "ram_touched_bytes": ram + touched, "ram_freed_bytes": ram + touched, "ram_balloon_bytes": ram, "ram_kept_bytes": ram, "ram_again_bytes": ram + touched}, ""},
		{"twin", func(g *guest) platform.Instance { return twinGuest{g, second} },
			map[string]float64{"ram_rest_bytes": ram, "touch_bytes": touched, "ram_touched_bytes": ram + touched, "ram_freed_bytes": ram + touched, "ram_kept_bytes": ram + touched,
				"mergeable_of_bytes": 100, "mergeable_zero_bytes": 1, "mergeable_within_bytes": 2, "mergeable_across_bytes": 3}, ""},
		{"no second one", func(g *guest) platform.Instance { return twinGuest{g, dead} }, map[string]float64{"ram_rest_bytes": ram}, "comparing it with a second one: "},
		{"no memory", func(g *guest) platform.Instance { g.touchErr = errors.New("it has not so much"); return g }, map[string]float64{"ram_rest_bytes": ram}, "it has not so much"},
		{"no machine", func(g *guest) platform.Instance { return g.instance }, map[string]float64{}, "no RAM of its own"},
	}
	all := make([]struct {
		s   result.Sample
		err error
	}, len(tests))
	var wg sync.WaitGroup // all at once: each idles for some seconds
	for i, tt := range tests {
		f := newFake(t, healthy)
		f.wrap = func(i platform.Instance) platform.Instance { return tt.wrap(&guest{instance: i.(*instance), ram: ram}) }
		wg.Go(func() { all[i].s, _, all[i].err = measure(t, vmMemory, f) })
	}
	wg.Wait()
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := all[i].s, all[i].err
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			maps.DeleteFunc(s.Values, func(name string, _ float64) bool {
				return slices.Contains([]string{"balloon_ns", "compare_ns", "freed_for_ns"}, name)
			})
			if diff := cmp.Diff(tt.want, s.Values); diff != "" {
				t.Error(diff)
			}
		})
	}
	for name, f := range map[string]*fake{"a second one": second, "one that ended": dead} {
		if n := f.last.stopped.Load(); n != 1 {
			t.Errorf("%s was stopped %d times", name, n)
		}
	}
}
