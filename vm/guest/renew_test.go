package main

import (
	"strings"
	"testing"

	"vmctr/vm/guest/wire"
)

// TestRenewRefuses: what would leave a machine with what is another's too ends it. (That
// all is renewed, TestSnapshot of package vm shows in a guest.)
func TestRenewRefuses(t *testing.T) {
	for _, tt := range []struct {
		r    *wire.Renewal
		want string
	}{
		{nil, "not as whom"},
		{&wire.Renewal{}, "renewing the seed of the kernel's random numbers: the host gives 0 bytes, of 32"},
		{&wire.Renewal{Seed: make([]byte, 31), Hostname: "x"}, "gives 31 bytes"},
	} {
		g := &guest{resumed: make(chan *wire.Renewal, 1), late: &moduleDir{}}
		g.spec.Annotations = map[string]string{wire.Template: "yes"}
		g.resumed <- tt.r
		if err := g.hold()(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.r, err, tt.want)
		}
		if len(g.pending) < 2 || g.pending[1].Event != wire.EventHeld {
			t.Errorf("it has reported %+v", g.pending)
		}
	}
}

// TestNoTemplate: a machine that boots to run does not wait.
func TestNoTemplate(t *testing.T) {
	if (&guest{}).hold() != nil {
		t.Error("it would be held")
	}
}
