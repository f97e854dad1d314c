package experiment

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vmctr/bench/harness"
	"vmctr/bench/platform"
	"vmctr/report/result"
	seen "vmctr/report/result/identity"
)

func TestStartup(t *testing.T) {
	f := newFake(t, "sleep 0.02; "+healthy)
	before := harness.Now()
	s, _, err := measure(t, startup, f)
	if err != nil {
		t.Fatal(err)
	}
	after := harness.Now()
	if got := slices.Collect(maps.Keys(s.Values)); !slices.Equal(got, []string{"first_instruction_ns"}) {
		t.Fatalf("values %v", s.Values)
	}
	took := int64(s.Values["first_instruction_ns"])
	if took < int64(20*time.Millisecond) || took > after-before {
		t.Errorf("the first instruction came after %d ns, of %d in all", took, after-before)
	}
	// The start of the clock is before the instance's, and the same for the
	// value and the phases.
	at, err := f.last.Output().FirstInstruction(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	begin := at - took
	if begin < before || begin > f.last.started {
		t.Errorf("the clock was started at %d, not between %d and %d", begin, before, f.last.started)
	}
	want := []result.Phase{{Name: "start", Ns: f.last.started - 1000 - begin}, {Name: "exec", Ns: f.last.started - begin}}
	if diff := cmp.Diff(want, s.Phases); diff != "" {
		t.Error(diff)
	}
}

func TestIdentity(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*instance)
		want   string // of the error; "" is none
		values map[string]float64
	}{
		{"all is said", func(i *instance) { i.delay = 1500 * time.Nanosecond }, "", map[string]float64{"delay_ns": 1500}},
		{"the delay cannot be measured", func(i *instance) { i.delayErr = errors.New("no answer") },
			"measuring how long its output is under way: no answer", map[string]float64{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, healthy)
			f.change = tt.change
			s, _, err := measure(t, identity, f)
			if (err == nil) != (tt.want == "") || err != nil && err.Error() != tt.want {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if diff := cmp.Diff(&seen.Identity{BootID: "boot", PID: 7, Args: []string{"a"}}, s.Identity); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.values, s.Values); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestWrongOutput: a workload that does not say what it should is at fault
// itself, in every experiment.
func TestWrongOutput(t *testing.T) {
	single := slices.DeleteFunc(All(), func(e Experiment) bool { return e.observe == nil && e.Name != memory.Name })
	for _, tt := range []struct {
		name, script string
		es           []Experiment
		want         string
		fault        result.Fault
	}{
		{"another first line", "echo hello; exec sleep 60", single, `its output begins with "hello" where the workload begins with "first-instruction"`, result.InstanceFault},
		{"no account of itself", "echo first-instruction; echo hello; exec sleep 60", []Experiment{identity, memory}, `account of itself, "hello"`, result.InstanceFault},
		{"it ends without a word", "exit 0", single, "its output has ended", result.HarnessFault}, // this fake's Err knows of no end
		{"it ends after a line", "echo first-instruction", []Experiment{identity, memory}, "its output has ended", result.HarnessFault},
	} {
		for _, e := range tt.es {
			t.Run(tt.name+"/"+e.Name, func(t *testing.T) {
				f := newFake(t, tt.script)
				s, fault, err := measure(t, e, f)
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error %v, want %q", err, tt.want)
				}
				if fault != tt.fault {
					t.Errorf("fault %q", fault)
				}
				if s.Identity != nil || len(s.Values) > 0 {
					t.Errorf("it has values nevertheless: %v, %v", s.Identity, s.Values)
				}
				if f.last.stopped.Load() != 1 {
					t.Error("it was not stopped")
				}
			})
		}
	}
}

// other is a second process, which occupies memory of its own.
func other(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd.Process.Pid
}

func TestMemory(t *testing.T) {
	second := other(t)
	processes := []string{"hugetlb_bytes", "page_tables_bytes", "processes", "pss_bytes", "rss_bytes", "uss_bytes"}
	host := []string{"available_drop_bytes", "added_slab_bytes", "added_slab_reclaimable_bytes", "added_slab_unreclaimable_bytes", "added_kernel_stack_bytes", "added_page_tables_bytes"}
	names := func(also ...string) []string { return slices.Sorted(slices.Values(slices.Concat(host, also))) }
	all := append(processes[:len(processes):len(processes)], "available_left_bytes")
	tests := []struct {
		name   string
		change func(*instance)
		want   string // of the error; "" is none
		values []string
		count  float64
	}{
		{"one process", func(*instance) {}, "", names(all...), 1},
		{"two processes and a cgroup", func(i *instance) {
			i.pids = func() ([]int, error) {
				own, err := i.Instance.Processes()
				return append(own, second), err
			}
			i.bytes, i.hasGroup = 12345, true
		}, "", names(append(all[:len(all):len(all)], "cgroup_bytes")...), 2},
		{"a cgroup that is charged for nothing", func(i *instance) { i.hasGroup = true }, "", names(append(all[:len(all):len(all)], "cgroup_bytes")...), 1},
		{"no process", func(i *instance) { i.pids = func() ([]int, error) { return nil, nil } }, "the instance has no process", names(), 0},
		{"a machine", func(i *instance) {
			i.parts = func() (map[string]int64, error) { return map[string]int64{"ram_rss_bytes": 1}, nil }
		}, "",
			names(append(all[:len(all):len(all)], "ram_rss_bytes")...), 1},
		{"a machine whose guest is silent", func(i *instance) { i.parts = func() (map[string]int64, error) { return nil, errors.New("silent") } },
			"taking the instance's memory apart: silent", names(processes...), 1},
		{"no list", func(i *instance) { i.pids = func() ([]int, error) { return nil, errors.New("gone") } }, "listing the instance's processes: gone", names(), 0},
		{"a process that is gone", func(i *instance) { i.pids = func() ([]int, error) { return []int{1 << 23}, nil } }, "process 8388608: ", names("processes"), 1},
		{"no account", func(i *instance) { i.groupErr = errors.New("gone") }, "reading the cgroup's account: gone", names(processes...), 1},
	}
	type measured struct {
		f    *fake
		s    result.Sample
		took time.Duration
		err  error
	}
	took := make([]measured, len(tests))
	var wg sync.WaitGroup // all at once: each idles for a second
	for i, tt := range tests {
		f := newFake(t, healthy)
		f.change = tt.change
		wg.Go(func() {
			begin := time.Now()
			s, _, err := measure(t, memory, f)
			took[i] = measured{f, s, time.Since(begin), err}
		})
	}
	wg.Wait()
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, s, err := took[i].f, took[i].s, took[i].err
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if took[i].took < idleFor {
				t.Errorf("it was observed after %v", took[i].took)
			}
			v := s.Values
			for _, name := range []string{"added_second_page_tables_bytes", "added_percpu_bytes"} {
				delete(v, name) // not every kernel tells
			}
			if diff := cmp.Diff(tt.values, slices.Sorted(maps.Keys(v))); diff != "" {
				t.Fatal(diff)
			}
			if v["processes"] != tt.count {
				t.Errorf("%v processes, want %v", v["processes"], tt.count)
			}
			if v["cgroup_bytes"] != float64(f.last.bytes) {
				t.Errorf("the cgroup's account is %v", v["cgroup_bytes"])
			}
			if tt.want == "" {
				// Each counts some of what the one before counts.
				page := float64(os.Getpagesize())
				if v["uss_bytes"] < page || v["pss_bytes"] < v["uss_bytes"] || v["rss_bytes"] < v["pss_bytes"] {
					t.Errorf("USS, PSS and RSS are not in this order: %v", v)
				}
			}
		})
	}
}

// TestAddProcesses: the values are sums.
func TestAddProcesses(t *testing.T) {
	a, b := other(t), other(t)
	time.Sleep(20 * time.Millisecond) // both are past their execve
	sum := func(pids ...int) map[string]float64 {
		v := map[string]float64{}
		if err := addProcesses(v, pids); err != nil {
			t.Fatal(err)
		}
		return v
	}
	one, two, both := sum(a), sum(b), sum(a, b)
	for _, name := range []string{"processes", "rss_bytes", "uss_bytes"} {
		if one[name] <= 0 || both[name] != one[name]+two[name] {
			t.Errorf("%s: %v and %v, both %v", name, one[name], two[name], both[name])
		}
	}
}

func TestMemoryCancelled(t *testing.T) {
	f := newFake(t, healthy)
	why := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	f.change = func(i *instance) {
		i.pids = func() ([]int, error) { return nil, errors.New("it was observed nevertheless") }
		go func() {
			// Once it idles.
			if _, err := i.Output().Identity(t.Context()); err != nil {
				t.Error(err)
			}
			cancel(why)
		}()
	}
	begin := time.Now()
	if _, _, err := measureIn(ctx, memory, f); !errors.Is(err, why) {
		t.Errorf("error %v, want %v", err, why)
	}
	if d := time.Since(begin); d > idleFor {
		t.Errorf("it took %v", d)
	}
}

var _ platform.Instance = (*instance)(nil)

// inside is an instance in a system that was started for it.
type inside struct {
	platform.Instance
	err error
}

func (i inside) Asked() (platform.Mark, error) {
	at, err := i.Output().FirstInstruction(context.Background())
	return platform.Mark{Ns: at - 1234, Error: 5}, errors.Join(err, i.err)
}

func (i inside) Namespaces(context.Context) (map[string]uint64, error) {
	return map[string]uint64{"pid": 5}, i.err
}

// TestWithin: of a container in a machine its own share is a value, and the
// machine's namespaces are kept; a machine that does not tell has failed.
func TestWithin(t *testing.T) {
	for _, want := range []error{nil, errors.New("it does not tell")} {
		f := newFake(t, healthy)
		f.wrap = func(i platform.Instance) platform.Instance { return inside{i, want} }
		s, _, err := measure(t, startup, f)
		if share, told := s.Values["container_ns"]; !errors.Is(err, want) || told != (want == nil) || told && (share != 1234 || s.Values["container_error_ns"] != 5) {
			t.Errorf("%v, %v", s.Values, err)
		}
		s, _, err = measure(t, identity, f)
		if got := s.GuestNamespaces["pid"]; !errors.Is(err, want) || want == nil && got != 5 {
			t.Errorf("%v, %v", s.GuestNamespaces, err)
		}
	}
}
