package platform

import (
	"testing"
)

// TestElastic: the variants are there for their experiment, and are what they are called.
func TestElastic(t *testing.T) {
	want := map[string]struct{ balloon, twin bool }{
		"vm-q35,no-balloon": {twin: true}, "vm-q35,balloon": {balloon: true}, "vm-q35,free-page-reporting": {},
	}
	list := For(Elastic)
	if len(list) != len(want) {
		t.Fatalf("%d variants, want %d", len(list), len(want))
	}
	for _, p := range list {
		t.Run(p.Info().Name, func(t *testing.T) {
			w, ok := want[p.Info().Name]
			if !ok {
				t.Fatal("unknown")
			}
			if p.(elastic).reporting {
				return // that a guest reports its free pages, package vm tests
			}
			ctx, i := runs(t, p)
			ram := func() int64 {
				t.Helper()
				n, err := i.(GuestRAM).RAM(ctx)
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
			const much = 64 << 20
			if err := i.(GuestRAM).Touch(ctx, much); err != nil {
				t.Fatal(err)
			}
			b, balloon := i.(Ballooned)
			twin, isTwin := i.(Twin)
			if balloon != w.balloon || isTwin != w.twin {
				t.Errorf("a balloon: %v; a twin: %v", balloon, isTwin)
			}
			if balloon {
				before := ram()
				if err := b.Balloon(ctx, much); err != nil {
					t.Fatal(err)
				}
				if after := ram(); after > before-much/2 {
					t.Errorf("a balloon of %d bytes: RAM went from %d to %d", much, before, after)
				}
			}
			if isTwin {
				if m, err := twin.Compare(ctx, i); err != nil || m.Resident != 2*ram() || m.Across == 0 {
					t.Errorf("held against itself: %+v, %v", m, err)
				}
				if _, err := twin.Compare(ctx, &bareInstance{}); err == nil {
					t.Error("held against a machine of another kind")
				}
			}
		})
	}
}
