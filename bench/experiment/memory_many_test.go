package experiment

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"vmctr/bench/harness"
	"vmctr/bench/platform"
)

// TestFleet: what is read is the sum over all, and all are stopped, whatever happened.
func TestFleet(t *testing.T) {
	f := newFake(t, healthy)
	var all []*instance
	f.change = func(i *instance) { i.bytes, i.hasGroup = 1000, true; all = append(all, i) }
	many := &fleet{bound: 1}
	if err := many.start(t.Context(), repeat(f, 3)); err != nil {
		t.Fatal(err)
	}
	s, err := many.accounts(t.Context())
	if err != nil {
		t.Error(err)
	}
	if s.Values["processes"] != 3 || s.Values["cgroup_bytes"] != 3000 {
		t.Errorf("three instances: %v", s.Values)
	}
	if err := many.stop(t.Context()); err != nil {
		t.Error(err)
	}
	for n, i := range all {
		if i.stopped.Load() != 1 {
			t.Errorf("instance %d was stopped %d times", n, i.stopped.Load())
		}
	}
}

// TestFleetOutOfReach: no instance is started that there is no memory for.
func TestFleetOutOfReach(t *testing.T) {
	f := newFake(t, healthy)
	host, err := readHost()
	if err != nil {
		t.Fatal(err)
	}
	many := &fleet{bound: (host.available - kept*host.total) * 0.7}
	err = many.start(t.Context(), repeat(f, 2))
	var far *harness.OutOfReach
	if !errors.As(err, &far) || !strings.Contains(far.Reason, "after 1 of them") {
		t.Errorf("error %v", err)
	}
	if len(many.running) != 1 {
		t.Errorf("%d run", len(many.running))
	}
	if err := many.stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestFleetFails: the instance's own error is the one that counts.
func TestFleetFails(t *testing.T) {
	f := newFake(t, "echo first-instruction")
	own := &platform.InstanceError{Err: errors.New("it ended by itself")}
	f.change = func(i *instance) { i.err = own }
	many := &fleet{bound: 1}
	if err := many.start(t.Context(), repeat(f, 2)); !errors.Is(err, own) || !strings.Contains(err.Error(), "instance 1 of 2") {
		t.Errorf("error %v", err)
	}
	if err := many.stop(context.Background()); err != nil {
		t.Error(err)
	}
}

// TestNumbers: the numbers rise from 1, and a machine's are few.
func TestNumbers(t *testing.T) {
	for _, machines := range []bool{false, true} {
		for _, budget := range []time.Duration{0, time.Minute, time.Hour} {
			list := numbers(machines, budget)
			if list[0] != 1 || len(list) < 4 || machines && list[len(list)-1] > 8 {
				t.Errorf("machines %v, budget %v: %v", machines, budget, list)
			}
		}
	}
}
