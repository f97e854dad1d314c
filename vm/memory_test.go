package vm

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/procfs"
)

// TestMemory takes a machine that stands still apart, then one that runs, and asks
// the guest.
func TestMemory(t *testing.T) {
	for name, small := range map[string]bool{"huge": false, "small": true} {
		t.Run(name, func(t *testing.T) {
			c := machineOf(t, "vmctr/bench/workload", "", "idle")
			c.SmallPages = small
			takeApart(t, c)
		})
	}
}

func takeApart(t *testing.T, c Config) {
	m, _ := start(t, c)
	if !m.Running(within(t)) {
		t.Fatal(m.Err())
	}
	guest, err := m.GuestMemory(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if guest.Total >= m.cfg.Memory || guest.Total < m.cfg.Memory/2 || guest.Free > guest.Total || guest.Available > guest.Total || guest.Slab == 0 || guest.KernelStack == 0 {
		t.Errorf("of %d bytes of RAM the guest says %+v", m.cfg.Memory, guest)
	}

	if err := m.query(within(t), "stop", nil, nil); err != nil {
		t.Fatal(err)
	}
	all, err := m.Memory(within(t))
	if err != nil {
		t.Fatal(err)
	}
	sum := all.RAM
	for _, part := range []Resident{all.Translations, all.Kernel, all.Initramfs, all.Program, all.Rest} {
		sum.add(part)
		if part.USS > part.PSS || part.PSS > part.RSS || part.RSS <= 0 {
			t.Errorf("a part with %+v", part)
		}
	}
	if sum != all.Whole {
		t.Errorf("the parts are %+v, the whole %+v", sum, all.Whole)
	}
	// QEMU touches some pages more in answering for the first time, and then no more.
	p, err := procfs.NewProc(m.PID())
	if err != nil {
		t.Fatal(err)
	}
	for try := 1; ; try++ {
		rollup, err := p.ProcSMapsRollup()
		if err != nil {
			t.Fatal(err)
		}
		if d := all.Whole.RSS - int64(rollup.Rss); -4096 <= d && d <= 4096 {
			break
		} else if try == 10 {
			t.Fatalf("the whole is %d bytes, and the kernel's own sum %d", all.Whole.RSS, rollup.Rss)
		}
		if all, err = m.Memory(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	// The guest has touched at least what it does not call free.
	if used := guest.Total - guest.Free; all.RAM.RSS < used/2 || all.RAM.RSS > m.cfg.Memory {
		t.Errorf("%d bytes of RAM are touched, and the guest uses %d of %d", all.RAM.RSS, used, m.cfg.Memory)
	}
	if c.SmallPages && all.RAMTransparent != 0 {
		t.Errorf("%d bytes of RAM are in huge pages", all.RAMTransparent)
	}
	if all.RAMHugetlb != 0 || all.SecondPageTables < -1 {
		t.Errorf("%+v", all)
	}

	files, err := m.Cached()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.Size == 0 || f.Cached < f.Size/2 || f.Cached > f.Size+4095 {
			t.Errorf("just read, and not in the page cache: %+v", f)
		}
	}
	t.Logf("%+v\n%+v\n%+v", all, guest, files)
}

// TestCachedByMincore: the older way counts the same.
func TestCachedByMincore(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if n, err := mincore(f, 0); n != 0 || err != nil {
		t.Errorf("of an empty file %d pages: %v", n, err)
	}
	const size = 5*4096 + 1
	if _, err := f.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	if n, err := mincore(f, size); n != 6 || err != nil {
		t.Errorf("%d pages of 6: %v", n, err)
	}
	c := CachedFile{Path: f.Name()}
	if err := c.look(); err != nil || c.Size != size || c.Cached != 6*4096 {
		t.Errorf("%+v: %v", c, err)
	}
}

// TestBalloon: memory that the guest has freed stays with it until the balloon takes
// it, and is there again when the balloon shrinks.
func TestBalloon(t *testing.T) {
	c := machineWith(t, Initramfs{Modules: []string{BalloonModule}}, "vmctr/bench/workload", "", "idle")
	c.Balloon = true
	m, _ := start(t, c)
	if !m.Running(within(t)) {
		t.Fatal(m.Err())
	}
	ram := func() int64 {
		t.Helper()
		all, err := m.Memory(within(t))
		if err != nil {
			t.Fatal(err)
		}
		return all.RAM.RSS
	}
	const much = 64 << 20
	before := ram()
	if err := m.TouchMemory(within(t), much); err != nil {
		t.Fatal(err)
	}
	touched := ram()
	if touched < before+much/2 {
		t.Errorf("the guest has touched %d bytes, and its RAM went from %d to %d", much, before, touched)
	}
	if err := m.Balloon(within(t), c.Memory-much); err != nil {
		t.Fatal(err)
	}
	small := ram()
	if small > touched-much/2 {
		t.Errorf("a balloon of %d bytes: RAM went from %d to %d", much, touched, small)
	}
	if err := m.Balloon(within(t), c.Memory); err != nil {
		t.Fatal(err)
	}
	if err := m.TouchMemory(within(t), much*2); err != nil {
		t.Fatal(err)
	}
	if again := ram(); again < small+much {
		t.Errorf("with the balloon gone, RAM went from %d to %d", small, again)
	}
	t.Log(before>>20, touched>>20, small>>20, ram()>>20)
	for bytes, want := range map[int64]string{0: "not between", c.Memory + 1: "not between"} {
		if err := m.Balloon(within(t), bytes); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d bytes: %v", bytes, err)
		}
	}
	// A deadline that passes costs no more than the wait.
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := m.Balloon(ctx, 1<<20); err == nil || !strings.Contains(err.Error(), "deadline exceeded") {
		t.Errorf("a guest that is to have 1 MiB: %v", err)
	}
	if err := m.Balloon(within(t), c.Memory); err != nil {
		t.Errorf("and back: %v", err)
	}
}

// TestFreePageReporting: nobody asks, and what the guest has freed is the host's again
// within seconds.
func TestFreePageReporting(t *testing.T) {
	c := machineWith(t, Initramfs{Modules: []string{BalloonModule}}, "vmctr/bench/workload", "", "idle")
	c.FreePageReporting = true
	m, _ := start(t, c)
	if !m.Running(within(t)) {
		t.Fatal(m.Err())
	}
	const much = 128 << 20
	if err := m.TouchMemory(within(t), much); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	var most int64
	for {
		all, err := m.Memory(within(t))
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, all.RAM.RSS)
		if all.RAM.RSS <= most-much/2 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the guest has freed %d bytes, and its RAM is at %d, of %d", much, all.RAM.RSS, most)
		}
		time.Sleep(100 * time.Millisecond)
	}
	if most < much {
		t.Errorf("the guest has touched %d bytes, and its RAM was never more than %d", much, most)
	}
}

// TestBalloonUnanswered: without its driver, a balloon does not move.
func TestBalloonUnanswered(t *testing.T) {
	c := machineOf(t, "vmctr/bench/workload", "", "idle")
	m, _ := start(t, c) // which has none: refused at once
	if err := m.Balloon(within(t), c.Memory); err == nil || !strings.Contains(err.Error(), "made without one") {
		t.Errorf("a machine without a balloon: %v", err)
	}
	c.Balloon, c.Dir = true, c.Dir+"2"
	m, _ = start(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err := m.Balloon(ctx, c.Memory/2)
	if err == nil || !strings.Contains(err.Error(), "it has not moved from 256 MiB (has the guest the module virtio_balloon?)") {
		t.Errorf("a guest without a driver: %v", err)
	}
	if _, err := m.BalloonSize(within(t)); err != nil {
		t.Errorf("and the machine is still to be controlled: %v", err)
	}
}
