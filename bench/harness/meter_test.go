package harness

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vmctr/report/result"
)

const ms = time.Millisecond

func TestDisturbed(t *testing.T) {
	// Two CPUs, and a pause of 100 ms.
	pause := func(busy, steal time.Duration, waited map[string]time.Duration) usage {
		a := reading{cpus: 2, idle: time.Hour, waited: map[string]time.Duration{"cpu some": time.Hour, "memory some": 0, "io some": 0}}
		b := reading{at: int64(100 * ms), cpus: 2, idle: time.Hour + 200*ms - busy, steal: steal, waited: map[string]time.Duration{}}
		for name, total := range a.waited {
			b.waited[name] = total + waited[name]
		}
		return a.until(b)
	}
	for _, tt := range []struct {
		name           string
		u              usage
		before, during string
	}{
		{"nothing", pause(0, 0, nil), "", ""},
		{"a little", pause(40*ms, 0, map[string]time.Duration{"cpu some": 9 * ms, "io some": 9 * ms}), "", ""},
		{"busy", pause(60*ms, 0, nil), "30% of the CPUs' time was used by others before it", ""},
		{"CPU pressure", pause(0, 0, map[string]time.Duration{"cpu some": 12 * ms}), "CPU pressure was 12% before it", ""},
		{"memory pressure", pause(0, 0, map[string]time.Duration{"memory some": 2 * ms}), "memory pressure was 2% before it", ""},
		{"all", pause(200*ms, 40*ms, map[string]time.Duration{"cpu some": 100 * ms, "memory some": 100 * ms, "io some": 100 * ms}),
			"100% of the CPUs' time was used by others before it; CPU pressure was 100% before it; memory pressure was 100% before it; I/O pressure was 100% before it",
			"20% of the CPUs' time was stolen during it"},
		{"a tick is stolen", pause(0, 10*ms, nil), "", "5% of the CPUs' time was stolen during it"},
		{"a tick of a long time", reading{cpus: 2}.until(reading{at: int64(3 * time.Second), cpus: 2, steal: 10 * ms, idle: 6 * time.Second}), "", ""},
		// What was not counted is not judged.
		{"no /proc/stat", reading{}.until(reading{at: int64(100 * ms)}), "", ""},
		{"a CPU was taken out", reading{cpus: 2, idle: time.Hour}.until(reading{at: int64(100 * ms), cpus: 1, idle: time.Minute}), "", ""},
		{"a clock that stands", reading{cpus: 2}.until(reading{cpus: 2}), "", ""},
	} {
		if before, during := tt.u.before(), tt.u.during(); before != tt.before || during != tt.during {
			t.Errorf("%s: before %q, during %q", tt.name, before, during)
		}
	}
}

func TestReading(t *testing.T) {
	f := files(tree(t, `
-- proc/stat --
cpu  100 1 50 4000 200 0 3 7 0 0
cpu0 50 1 25 2000 100 0 2 4 0 0
cpu1 50 0 25 2000 100 0 1 3 0 0
intr 12345 1 2 3
-- proc/pressure/cpu --
some avg10=1.00 avg60=1.00 avg300=1.00 total=5000
full avg10=0.00 avg60=0.00 avg300=0.00 total=0
-- proc/pressure/memory --
some avg10=0.00 avg60=0.00 avg300=0.00 total=7
full avg10=0.00 avg60=0.00 avg300=0.00 total=6
-- proc/loadavg --
1.50 1.00 0.50 1/100 99
-- sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq --
800000
-- sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq --
3600500
`))
	r := f.reading()
	if r.cpus != 2 || r.idle != 42*time.Second || r.steal != 70*ms {
		t.Errorf("read %+v", r)
	}
	if d := cmp.Diff(map[string]time.Duration{"cpu some": 5 * ms, "memory some": 7 * time.Microsecond, "memory full": 6 * time.Microsecond}, r.waited); d != "" {
		t.Error(d)
	}
	b := f.block(r)
	if b.Ns <= 0 || b.Load != 1.5 || !cmp.Equal(b.MHz, []float64{800, 3600.5}) || !cmp.Equal(b.Pressure, map[string]float64{"cpu some": 0, "memory some": 0, "memory full": 0}) {
		t.Errorf("block %+v", b)
	}
	// A host that counts nothing is not judged, and is no error.
	if b := files(t.TempDir()).block(reading{}); b.MHz != nil || b.Pressure != nil || b.Steal != 0 {
		t.Errorf("of nothing: %+v", b)
	}
}

// TestRoundsDisturbed: a sample after a pause in which somebody used the CPUs says so, is
// counted like any other, and its round has a record.
func TestRoundsDisturbed(t *testing.T) {
	quiet(t)
	stat := func(idle string) {
		t.Helper()
		if err := os.MkdirAll(host.path("proc"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(string(host), "proc/stat"), []byte("cpu  0 0 0 "+idle+" 0 0 0 0 0 0\ncpu0 0 0 0 "+idle+" 0 0 0 0 0 0\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	stat("1000") // nothing is idle while it rests
	f := newFake(t, 1)
	own := trials("own")[0]
	own.Platform, own.Series = "a", "beside others"
	own.Enter = func(context.Context) error { return nil }
	if err := f.Rounds(t.Context(), Plan{Experiment: "startup", Trials: append(trials("a"), own), Rounds: 1, Settle: 100 * ms}); err != nil {
		t.Fatal(err)
	}
	run := f.read(t)
	for _, s := range run.Samples {
		if disturbed := strings.HasPrefix(s.Disturbed, "100% of the CPUs' time was used by others"); disturbed != (s.Series == "") {
			t.Errorf("%s%s: disturbed %q", s.Platform, s.Series, s.Disturbed)
		}
	}
	if len(run.Values("startup", "a", "x_ns")) != 1 {
		t.Error("a sample that was disturbed is not counted")
	}
	if len(run.Blocks) != 1 || run.Blocks[0].Ns < int64(200*ms) || run.Blocks[0].Experiment != "startup" {
		t.Errorf("blocks %+v", run.Blocks)
	}
}

func TestSameHost(t *testing.T) {
	was := result.Host{Hostname: "lab", Machine: "m", BootID: "1", CPU: "x", CPUs: 2, MemTotal: 1000, Cgroup: "v2", Root: true, LoadAvg: "0.1"}
	for _, tt := range []struct {
		name    string
		change  func(*result.Host)
		refused string
		changed string // the last one
	}{
		{"nothing", func(*result.Host) {}, "", "loadavg"},
		{"a boot", func(h *result.Host) { h.BootID = "2" }, "", "boot_id loadavg"},
		{"a name", func(h *result.Host) { h.Hostname = "other" }, "", "loadavg"},
		{"a page of memory", func(h *result.Host) { h.MemTotal = 1001 }, "", "mem_total loadavg"},
		{"mitigations", func(h *result.Host) { h.Mitigations = map[string]string{"a": "b"} }, "", "loadavg mitigations"},
		{"another machine", func(h *result.Host) { h.Machine = "n" }, "another machine", ""},
		{"another name, and no machine-id", func(h *result.Host) { h.Machine, h.Hostname = "", "other" }, "the host's name", ""},
		{"half the memory", func(h *result.Host) { h.MemTotal = 500 }, "the memory", ""},
		{"a kernel", func(h *result.Host) { h.Kernel.Release = "7" }, "the kernel", ""},
		{"one CPU less", func(h *result.Host) { h.CPUs = 1 }, "the number of CPUs", ""},
		{"no root", func(h *result.Host) { h.Root = false }, "whether bench is root", ""},
	} {
		is := was
		tt.change(&is)
		changed, err := SameHost(was, is)
		if tt.refused != "" {
			if err == nil || !strings.Contains(err.Error(), tt.refused) {
				t.Errorf("%s: error %v", tt.name, err)
			}
			continue
		}
		var names []string
		for _, c := range changed {
			names = append(names, c.What)
		}
		if got := strings.Join(names, " "); err != nil || got != tt.changed {
			t.Errorf("%s: %q, %v, want %q", tt.name, got, err, tt.changed)
		}
	}
}
