package experiment

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vmctr/bench/harness"
	"vmctr/bench/platform"
)

// many counts the instances of a platform that a test starts.
type many struct {
	platform.Prepared
	facts platform.Facts
	most  int // that start; 0 for all

	mu             sync.Mutex
	started, alive int
	peak           int
}

var errFull = errors.New("no more of them")

func (m *many) Facts() platform.Facts { return m.facts }

func (m *many) Start(ctx context.Context) (platform.Instance, error) {
	m.mu.Lock()
	if m.most > 0 && m.alive == m.most {
		m.mu.Unlock()
		return nil, errFull
	}
	m.started++
	m.alive++
	m.peak = max(m.peak, m.alive)
	m.mu.Unlock()
	i, err := m.Prepared.Start(ctx)
	if err != nil {
		return nil, err
	}
	return counted{i, m}, nil
}

type counted struct {
	platform.Instance
	of *many
}

func (c counted) Stop(ctx context.Context) error {
	c.of.mu.Lock()
	c.of.alive--
	c.of.mu.Unlock()
	return c.Instance.Stop(ctx)
}

func trialOf(t *testing.T, e Experiment, p platform.Prepared, n int, series string) harness.Trial {
	t.Helper()
	trials := e.Plan([]Subject{{Name: "fake", Prepared: p}}, Limits{Rounds: 1}).Trials
	i := slices.IndexFunc(trials, func(t harness.Trial) bool { return t.N == n && t.Series == series })
	if i < 0 {
		t.Fatalf("%s has no trial %d %q", e.Name, n, series)
	}
	return trials[i]
}

func TestRunning(t *testing.T) {
	m := &many{Prepared: prepared(t, healthy)}
	trial := trialOf(t, running, m, 10, "")
	if err := trial.Enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m.alive != 10 {
		t.Errorf("%d run, want 10", m.alive)
	}
	s, err := trial.Measure(t.Context())
	if err != nil || s.Values["first_instruction_ns"] <= 0 {
		t.Errorf("sample %v, error %v", s.Values, err)
	}
	if err := trial.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m.started != 11 || m.peak != 11 || m.alive != 0 {
		t.Errorf("%d were started, %d ran at once and %d run still, want 11, 11 and 0", m.started, m.peak, m.alive)
	}
}

// TestRunningStops: what cannot be is said, and what was started does not stay.
func TestRunningStops(t *testing.T) {
	t.Run("one does not start", func(t *testing.T) {
		m := &many{Prepared: prepared(t, healthy), most: 4}
		trial := trialOf(t, running, m, 10, "")
		err := trial.Enter(t.Context())
		if far := (*harness.OutOfReach)(nil); !errors.As(err, &far) || !strings.Contains(far.Reason, "10 instances are too many here: with ") || !strings.Contains(far.Reason, errFull.Error()) {
			t.Errorf("error %v", err)
		}
		if err := trial.Leave(t.Context()); err != nil || m.alive != 0 {
			t.Errorf("error %v, %d run still", err, m.alive)
		}
	})
	t.Run("they end by themselves", func(t *testing.T) {
		trial := trialOf(t, running, prepared(t, `echo first-instruction; echo '{}'; sleep 0.2`), 1, "")
		if err := trial.Enter(t.Context()); !platform.IsInstanceFault(err) || !strings.Contains(err.Error(), "ended by itself") {
			t.Errorf("error %v", err)
		}
		if err := trial.Leave(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("the run ends", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(20*time.Millisecond, func() { cancel(harness.ErrInterrupted) })
		m := &many{Prepared: prepared(t, "exec sleep 60")}
		trial := trialOf(t, running, m, 1, "")
		if err := trial.Enter(ctx); !errors.Is(err, harness.ErrInterrupted) {
			t.Errorf("error %v", err)
		}
		if err := trial.Leave(context.WithoutCancel(ctx)); err != nil || m.alive != 0 {
			t.Errorf("error %v, %d run still", err, m.alive)
		}
	})
}

// TestMend: the limit on keys, which runc comes up against at the 200th container, is told
// with what lifts it; of others nothing is known.
func TestMend(t *testing.T) {
	keys := errors.New("runc run failed: unable to join session keyring: unable to create session key: disk quota exceeded")
	if got := mend(keys); !strings.Contains(got, "sysctl -w kernel.keys.maxkeys=") {
		t.Errorf("of keys it says %q", got)
	}
	if got := mend(errFull); got != "" {
		t.Errorf("of another error it says %q", got)
	}
}

func TestFits(t *testing.T) {
	for _, tt := range []struct {
		name         string
		before, now  float64
		started, all int
		want         string
	}{
		{"room enough", 10, 20, 8, 64, ""},
		{"too little, as it seems", 10, 30, 8, 64, "64 instances are too many here: judged by the first 8, the memory would be 170 B, of 100 B at most"},
		{"too few to judge by", 10, 30, 2, 64, ""},
		{"too little now", 10, 101, 2, 64, "64 instances are too many here: with 2 of them, the memory is 101 B, of 100 B at most"},
		{"not looked at", 10, 101, 3, 64, ""},
		{"at the end", 10, 101, 63, 63, "63 instances are too many here: with 63 of them, the memory is 101 B, of 100 B at most"},
		{"none", 10, 10, 0, 0, ""},
	} {
		r := &room{name: "memory", unit: "bytes", most: 100, used: func() (float64, error) { return tt.now, nil }, before: tt.before}
		got := ""
		if err := fits([]*room{r}, tt.started, tt.all); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestHostRooms: of each there is some in use, and more is allowed; the file and the
// thread that the test makes are counted.
func TestHostRooms(t *testing.T) {
	rooms, err := hostRooms(time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rooms {
		if err := r.begin(); err != nil || r.before <= 0 || r.before >= r.most {
			t.Errorf("%s: %v of %v (%v)", r.name, r.before, r.most, err)
		}
	}
	files := rooms[2]
	for range 50 {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
	}
	if now, err := files.used(); err != nil || now < files.before+50 {
		t.Errorf("%v files are open, and before 50 more it were %v (%v)", now, files.before, err)
	}
}

func TestTogether(t *testing.T) {
	m := &many{Prepared: prepared(t, healthy)}
	trial := trialOf(t, together, m, 4, "")
	if err := trial.Enter(t.Context()); err != nil || m.started != 1 || m.alive != 0 {
		t.Fatalf("error %v; %d started ahead, %d run still", err, m.started, m.alive)
	}
	s, err := trial.Measure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	each := s.Each["first_instruction_ns"]
	if len(each) != 4 || s.Values["makespan_ns"] != slices.Max(each) || s.Values["fastest_ns"] != slices.Min(each) || slices.Min(each) <= 0 || s.Values["skew_ns"] < 0 {
		t.Errorf("sample %v, each %v", s.Values, each)
	}
	if m.started != 5 || m.alive != 0 {
		t.Errorf("%d were started, %d run still", m.started, m.alive)
	}
	// One that fails is the sample's failure, and the others are stopped.
	m.most = 2
	if _, err := trial.Measure(t.Context()); !errors.Is(err, errFull) || m.alive != 0 {
		t.Errorf("error %v, %d run still", err, m.alive)
	}
}

func TestTasteSaysNo(t *testing.T) {
	first := &taste{took: time.Second, memory: 1 << 20}
	for _, tt := range []struct {
		name   string
		n      int
		most   time.Duration
		memory float64
		want   string
	}{
		{"one", 1, time.Millisecond, 1 << 60, ""},
		{"enough", 4, time.Minute, 1, ""},
		{"time", 4, time.Second, 1, "4 instances at once are too many here: in turn they would take 4.00 s, of 1.00 s at most for one sample"},
		{"memory", 4, time.Minute, 1 << 60, "4 instances at once are too many here: they would need"},
	} {
		first.memory = tt.memory
		err := first.allows(t.Context(), tt.n, tt.most)
		if far := (*harness.OutOfReach)(nil); (err != nil) != (tt.want != "") || err != nil && (!errors.As(err, &far) || !strings.HasPrefix(far.Reason, tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestCold(t *testing.T) {
	defer func(file string) { dropFile = file }(dropFile)
	dropFile = filepath.Join(t.TempDir(), "drop_caches")
	if err := os.WriteFile(dropFile, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	m := &many{Prepared: prepared(t, healthy)}
	warm, cold := trialOf(t, cold, m, 0, "warm"), trialOf(t, cold, m, 0, "cold")
	for _, tt := range []struct {
		trial harness.Trial
		want  string
	}{{warm, ""}, {cold, "3"}} {
		if err := tt.trial.Enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(dropFile); err != nil || string(b) != tt.want {
			t.Errorf("%s: the kernel was told %q (%v), want %q", tt.trial.Series, b, err, tt.want)
		}
		if s, err := tt.trial.Measure(t.Context()); err != nil || s.Values["first_instruction_ns"] <= 0 {
			t.Errorf("%s: %v, %v", tt.trial.Series, s.Values, err)
		}
	}
	if m.started != 4 || m.alive != 0 {
		t.Errorf("%d were started, %d run still: each is warmed by another", m.started, m.alive)
	}
	dropFile = filepath.Join(t.TempDir(), "none", "drop_caches")
	if far := (*harness.OutOfReach)(nil); !errors.As(cold.Enter(t.Context()), &far) {
		t.Error("where caches cannot be emptied, nothing is said")
	}
}

// TestStand: one machine stands for those that boot in another way, where it is measured.
func TestStand(t *testing.T) {
	for _, tt := range []struct{ have, want []string }{
		{[]string{"process", "vm-bare", "vm-microvm", "vm-pc", "vm-q35", "vm-snapshot", "nested"}, []string{"process", "vm-q35", "vm-snapshot"}},
		{[]string{"process", "vm-pc"}, []string{"process", "vm-pc"}},
	} {
		var subjects []Subject
		for _, name := range tt.have {
			subjects = append(subjects, Subject{Name: name, Prepared: &many{}})
		}
		var got []string
		for _, trial := range cold.Plan(subjects, Limits{}).Trials {
			if trial.Series == "warm" {
				got = append(got, trial.Platform)
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Error(diff)
		}
	}
}

// TestLevels: 0 is always among them, and machines have fewer.
func TestLevels(t *testing.T) {
	for _, tt := range []struct {
		accelerator string
		budget      time.Duration
		want        int // the highest
	}{{"", time.Minute, 100}, {"", time.Hour, 1000}, {"", 0, 1000}, {"tcg", time.Minute, 32}, {"kvm", time.Hour, 64}} {
		l := levels(platform.Facts{Accelerator: tt.accelerator}, tt.budget)
		if !slices.IsSorted(l) || l[0] != 0 || l[len(l)-1] != tt.want {
			t.Errorf("%q, %v: %v", tt.accelerator, tt.budget, l)
		}
	}
}
