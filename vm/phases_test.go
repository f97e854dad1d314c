package vm

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"vmctr/vm/guest/wire"
)

func TestParseTrace(t *testing.T) {
	line := func(at, key string) string {
		return fmt.Sprintf("27062@%s:fw_cfg_select 0x562100ecfac0 key 0x%s 'something', ret: 1\n", at, key)
	}
	const second = int64(1795546645e9)
	for _, tt := range []struct {
		name, trace string
		first, last int64 // after second; 0 for none
	}{
		{"a boot", line("1795546644.975007", "0000") + line("1795546645.038238", "000e") + line("1795546645.042855", "0014") +
			line("1795546645.042888", "000a") + line("1795546645.057179", "0010") + line("1795546645.100000", "0019"), 42_855e3, 57_179e3},
		{"one item", line("1795546645.000001", "0011"), 1000, 1000},
		{"the firmware alone", line("1795546645.000001", "0000"), 0, 0},
		{"nothing", "", 0, 0},
		{"no times (QEMU from 6.0, without -msg)", "fw_cfg_select 0x562100ecfac0 key 0x0010 'kernel_entry', ret: 1\n", 0, 0},
		{"another event", "1@1795546645.000001:fw_cfg_read 0x562100ecfac0 key 0x0010\n", 0, 0},
		{"milliseconds", line("1795546645.001", "0011"), 0, 0},
		{"cut off in the key", strings.TrimSuffix(line("1795546645.000001", "0011"), "1 'something', ret: 1\n"), 0, 0},
		{"warnings between", "qemu: warning: something: a b@c.d\n" + line("1795546645.000001", "0011") + "\n\x00", 1000, 1000},
		{"a clock that went back", line("1795546645.000009", "0011") + line("1795546645.000001", "0011"), 0, 0},
		{"times beyond all clocks", line("99999999999999999999.000001", "0011"), 0, 0},
	} {
		first, last, ok := parseTrace([]byte(tt.trace))
		if want := tt.first != 0; ok != want || ok && (first != second+tt.first || last != second+tt.last) {
			t.Errorf("%s: from %d to %d, %v", tt.name, first-second, last-second, ok)
		}
	}
}

func FuzzParseTrace(f *testing.F) {
	f.Add([]byte("27062@1795546645.057179:fw_cfg_select 0x562100ecfac0 key 0x0010 'kernel_entry', ret: 1\n"))
	f.Add([]byte("@.:fw_cfg_select  key 0x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		first, last, ok := parseTrace(b)
		if ok && (first < 0 || last < first) {
			t.Errorf("from %d to %d", first, last)
		}
	})
}

func TestSteady(t *testing.T) {
	for _, tt := range []struct {
		then, now, want offset
		ok              bool
	}{
		{offset{1000, 40}, offset{1010, 60}, offset{1000, 40}, true},
		{offset{1000, 90}, offset{1010, 60}, offset{1010, 60}, true},
		{offset{1000, 40}, offset{1000 + stepTolerance + 1, 40}, offset{1000, 40}, false},
		{offset{1000, 40}, offset{1000 - stepTolerance - 1, 40}, offset{1000, 40}, false},
	} {
		if got, ok := tt.then.steady(tt.now); ok != tt.ok || ok && got != tt.want {
			t.Errorf("%v then, %v now: %v, %v", tt.then, tt.now, got, ok)
		}
	}
	// The real clocks, as far as they are the wall's.
	var wall unix.Timespec
	unix.ClockGettime(unix.CLOCK_REALTIME, &wall)
	o := wallOffset()
	if off := now() + o.ns - wall.Nano(); o.err <= 0 || off < -o.err || off > 5e9 {
		t.Errorf("the wall clock is %d ns from where the offset %+v has it", off, o)
	}
}

// TestTimeline: what the methods say is put in order, and what QEMU does not trace,
// or nobody can date, is left out.
func TestTimeline(t *testing.T) {
	for _, tt := range []struct {
		name  string
		trace func(wall int64) string
		moved int64 // the wall clock, since the start
		want  []string
	}{
		{"traced", func(wall int64) string { return traceAt(wall+3_000_000, "0014") + traceAt(wall+5_000_000, "0010") }, 0,
			[]string{"start", PhaseFirmware, PhaseLoader, PhaseEntry, wire.PhaseKernel, wire.PhaseInit}},
		{"not traced", func(int64) string { return "" }, 0, []string{"start", PhaseFirmware, wire.PhaseKernel, wire.PhaseInit}},
		{"the clock was set", func(wall int64) string { return traceAt(wall+3_000_000, "0014") }, 1e9,
			[]string{"start", PhaseFirmware, wire.PhaseKernel, wire.PhaseInit}},
		{"of another boot", func(wall int64) string { return traceAt(wall-9e9, "0014") }, 0,
			[]string{"start", PhaseFirmware, wire.PhaseKernel, wire.PhaseInit}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := memfd("trace")
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			wall := wallOffset()
			begin := now() - 20_000_000
			if _, err := f.WriteString(tt.trace(begin + wall.ns)); err != nil {
				t.Fatal(err)
			}
			wall.ns -= tt.moved
			m := &Machine{trace: f, wall: wall, control: &control{changed: make(chan struct{})},
				marks: []Mark{{Phase: "start", Ns: begin}, {Phase: PhaseFirmware, Ns: begin + 2_000_000}}}
			// A guest whose clock runs from before it was entered.
			m.control.add(wire.Report{Event: wire.EventPhase, Phase: wire.PhaseInit, At: 6_000_000, Now: 7_000_000}, begin+8_000_000)
			var phases []string
			marks := m.Timeline()
			for _, k := range marks {
				phases = append(phases, k.Phase)
			}
			if !slices.Equal(phases, tt.want) {
				t.Errorf("phases %q, want %q", phases, tt.want)
			}
			if !slices.IsSortedFunc(marks, func(a, b Mark) int { return int(a.Ns - b.Ns) }) {
				t.Errorf("out of order: %v", marks)
			}
		})
	}
}

// traceAt is a line of a trace.
func traceAt(wall int64, key string) string {
	return fmt.Sprintf("1@%d.%06d:fw_cfg_select 0x1 key 0x%s 'item', ret: 1\n", wall/1e9, wall%1e9/1e3, key)
}
