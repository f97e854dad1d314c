package experiment

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"vmctr/bench/embedded"
	"vmctr/bench/harness"
	"vmctr/bench/isolation/probe"
	"vmctr/bench/platform"
	"vmctr/images"
	"vmctr/report/result/isolation"
	"vmctr/vm"
	"vmctr/vm/kernel"
)

// saying is a script that prints what an arena would, each value as a line of JSON.
func saying(t *testing.T, then string, values ...any) string {
	t.Helper()
	script := "echo first-instruction\n"
	for _, v := range values {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		script += "echo '" + string(b) + "'\n"
	}
	return script + then
}

func probing(variant string, findings ...isolation.Finding) isolation.Probing {
	return isolation.Probing{Variant: variant, BootID: "b", HostBootID: "b", Findings: findings}
}

// What the arena has found before a hang, an end or a self-test that failed is kept, and
// the error says how far it came.
func TestArena(t *testing.T) {
	variants := []string{isolation.Bare, isolation.Contained, isolation.Without("seccomp")}
	reached, blocked := isolation.Finding{Probe: "p", Verdict: isolation.Reached}, isolation.Finding{Probe: "p", Verdict: isolation.Blocked, Evidence: "open: EPERM"}
	whole := []any{probing(isolation.Bare, reached), probing(isolation.Contained, blocked), probing(isolation.Without("seccomp"), reached)}
	for _, tt := range []struct {
		name, script string
		want         int
		error        string // "" for none
	}{
		{"all", saying(t, "", whole...), 3, ""},
		{"a container could not be tried", saying(t, "", whole[0], whole[1], isolation.Probing{Variant: variants[2], Error: "clone3: EPERM"}), 3, ""},
		{"it ends early", saying(t, "exit 1", whole[:2]...), 2, `of 3 variants 1 were not tried, of which the first is "without seccomp": it ended`},
		{"it hangs", saying(t, "exec sleep 60", whole[:1]...), 1, `of 3 variants 2 were not tried, of which the first is "container": too late`},
		{"it babbles", saying(t, "echo out of my mind", whole[:1]...), 1, `its line 3, "out of my mind", is not what it is to say`},
		{"a control fails", saying(t, "", probing(isolation.Bare, blocked), whole[1], whole[2]), 3, "self-test: without any walls, 1 of the probes did not reach what they are aimed at, and so say nothing of walls: p (blocked: open: EPERM)"},
		{"the control has an error", saying(t, "", isolation.Probing{Variant: isolation.Bare, Findings: []isolation.Finding{reached}, Error: "a mount stayed"}, whole[1], whole[2]), 3, "self-test: the probes without any walls: a mount stayed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, tt.script)
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errText("too late"))
			defer cancel()
			s, err := inArena(ctx, f, variants)
			if len(s.Probings) != tt.want {
				t.Errorf("%d variants are kept, want %d", len(s.Probings), tt.want)
			}
			if tt.error == "" && err != nil || tt.error != "" && (err == nil || !strings.Contains(err.Error(), tt.error)) {
				t.Errorf("error %v, want %q", err, tt.error)
			}
			if f.last.stopped.Load() != 1 {
				t.Error("it was not stopped")
			}
		})
	}
}

type errText string

func (e errText) Error() string { return string(e) }

// TestAttempted: attempts are judged, those of which nothing was heard too, and which
// kernel served them is known.
func TestAttempted(t *testing.T) {
	inside, err := embedded.Inside()
	if err != nil {
		t.Skip(err)
	}
	for _, tt := range []struct {
		name, script string
		error        string
	}{
		{"it says nothing", saying(t, "exit 1", map[string]string{"boot_id": "other"}), "attempts were heard of"},
		{"it says something else", saying(t, "echo no", map[string]string{"boot_id": "other"}), `"no", is not what it is to say`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(dir+"/inside", inside, 0o755); err != nil {
				t.Fatal(err)
			}
			session, err := probe.Open(t.TempDir(), dir+"/inside")
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()
			s, err := attempted(t.Context(), newFake(t, tt.script), session)
			if err == nil || !strings.Contains(err.Error(), tt.error) {
				t.Errorf("error %v, want %q", err, tt.error)
			}
			if len(s.Probings) != 1 {
				t.Fatalf("%d probings", len(s.Probings))
			}
			p := s.Probings[0]
			if p.BootID != "other" || p.HostBootID != probe.BootID() || p.Error == "" {
				t.Errorf("probing of kernel %q beside %q, error %q", p.BootID, p.HostBootID, p.Error)
			}
			if len(p.Findings) != len(probe.All) || slices.ContainsFunc(p.Findings, func(f isolation.Finding) bool { return f.Verdict == isolation.Blocked }) {
				t.Errorf("%d findings of %d probes, of which none was tried: %+v", len(p.Findings), len(probe.All), p.Findings)
			}
		})
	}
}

// isolated is a platform of this host, with a folder of its own.
func isolated(t *testing.T, name string) Subject {
	t.Helper()
	for _, need := range []struct {
		name string
		have bool
		how  string
	}{
		{"root", os.Geteuid() == 0, "run the tests as root"},
		{"qemu", name != platform.ThrowawayName || available(t, name), "sudo scripts/setup"},
	} {
		if !need.have {
			if slices.Contains(strings.Split(os.Getenv("BENCH_REQUIRE"), ","), need.name) {
				t.Fatalf("needs %s (%s), which BENCH_REQUIRE says is there", need.name, need.how)
			}
			t.Skipf("needs %s: %s", need.name, need.how)
		}
	}
	if _, err := embedded.Arena(); err != nil {
		t.Skip(err)
	}
	p, err := platform.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	store, err := images.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	run, err := harness.NewRun()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := run.Close(); err != nil {
			t.Error(err)
		}
	})
	w := platform.Workload{
		RunID: run.ID, NetworkID: run.NetworkID(), NetworkDir: run.Dir, Dir: run.Dir, Cache: cache(),
		Kernel: kernel.Options{Caches: []string{cache()}, Needs: vm.Drivers()}, Memory: 256 << 20, CPUs: 1, Pids: 64,
	}
	folders := 0
	return Subject{
		Name: name, Kind: p.Info().Kind, Workload: w,
		Scratch: func(context.Context) (*images.Store, error) { return store, nil },
		Variant: func(ctx context.Context, _ string, change func(*platform.Workload) error) (platform.Prepared, error) {
			w := w
			folders++
			w.Dir = filepath.Join(run.Dir, strconv.Itoa(folders))
			if err := errors.Join(os.Mkdir(w.Dir, 0o700), change(&w)); err != nil {
				return nil, err
			}
			prepared, err := p.Prepare(ctx, w)
			if err == nil {
				t.Cleanup(func() { prepared.Close() })
			}
			return prepared, err
		},
	}
}

func available(t *testing.T, name string) bool {
	p, err := platform.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	return p.Available(t.Context()) == nil
}

// cache is where kernels of guests are.
func cache() string {
	if d := os.Getenv("BENCH_CACHE"); d != "" {
		return d
	}
	return "/var/cache/bench"
}

// A few variants in a machine: every probe reaches where nothing is in the way, a
// container blocks those that containers are known to block, and a wall that is taken away
// lets through what it alone has stopped.
func TestProbesInArena(t *testing.T) {
	s := isolated(t, platform.ThrowawayName)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	variants := []string{isolation.Bare, isolation.Contained, isolation.Without("seccomp"), isolation.Only("seccomp")}
	sample, err := arenaProbes(ctx, s, variants...)
	if err != nil {
		t.Error(err)
	}
	if left := missing(sample.Probings, variants); left != nil {
		t.Fatalf("not tried: %q", left)
	}
	for _, p := range sample.Probings {
		if p.Error != "" || len(p.Findings) != len(probe.All) || p.BootID == probe.BootID() || p.BootID != p.HostBootID {
			t.Errorf("variant %q: %d findings of %d probes, kernel %s beside %s, error %q", p.Variant, len(p.Findings), len(probe.All), p.BootID, p.HostBootID, p.Error)
		}
	}
	a := isolation.Ablate(sample.Probings)
	for _, tt := range []struct {
		probe, variant string
		want           isolation.Verdict
	}{
		{"see-process", isolation.Bare, isolation.Reached},
		{"see-process", isolation.Contained, isolation.Blocked},
		{"see-process", isolation.Without("seccomp"), isolation.Blocked},
		{"see-process", isolation.Only("seccomp"), isolation.Reached},
		{"mount-tmpfs", isolation.Contained, isolation.Blocked},
		{"load-module", isolation.Contained, isolation.Blocked},
		{"time-set", isolation.Contained, isolation.Blocked},
		{"kernel-io-uring", isolation.Contained, isolation.Blocked},
		{"kernel-io-uring", isolation.Without("seccomp"), isolation.Reached},
	} {
		if got := a.Verdict(tt.probe, tt.variant); got != tt.want {
			t.Errorf("%s, %s: %q, want %q", tt.probe, tt.variant, got, tt.want)
		}
	}
}
