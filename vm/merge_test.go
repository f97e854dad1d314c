package vm

import (
	"testing"
	"time"
)

// TestCompareRAM: two guests of one image have much in common, and a guest has it all in
// common with itself.
func TestCompareRAM(t *testing.T) {
	c := machineOf(t, "vmctr/bench/workload", "", "idle")
	second := c
	second.Name, second.Dir = "bench-test-2", c.Dir+"2"
	one, _ := start(t, c)
	two, _ := start(t, second)
	for _, m := range []*Machine{one, two} {
		if !m.Running(within(t)) {
			t.Fatal(m.Err())
		}
		if err := m.query(within(t), "stop", nil, nil); err != nil { // nothing changes while it is read
			t.Fatal(err)
		}
	}
	begin := time.Now()
	alone, err := CompareRAM(within(t), one)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("one: %+v in %v", alone, time.Since(begin))
	all, err := one.Memory(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if d := alone.Resident - all.RAM.RSS; d != 0 {
		t.Errorf("%d bytes were read, of %d that are there", alone.Resident, all.RAM.RSS)
	}
	if alone.Across != 0 || alone.Zero == 0 || alone.Within == 0 || alone.Saved() > alone.Resident {
		t.Errorf("one guest: %+v", alone)
	}
	both, err := CompareRAM(within(t), one, two)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("two: %+v", both)
	// The image and the kernel's text are the same in both.
	if both.Across < 8<<20 || both.Resident <= alone.Resident || both.Saved() > both.Resident {
		t.Errorf("two guests: %+v", both)
	}
	twice, err := CompareRAM(within(t), one, one)
	if err != nil {
		t.Fatal(err)
	}
	distinct := alone.Resident - alone.Saved()
	if twice.Resident-twice.Saved() != distinct || twice.Within != 2*alone.Within {
		t.Errorf("a guest and itself: %+v, and alone %+v", twice, alone)
	}
}
