package platform

import (
	"strings"
	"testing"

	"vmctr/bench/engine"
)

// A limit of 0 is none: not one that lets nothing through.
func TestNoLimits(t *testing.T) {
	r := limits(Workload{})
	if r.Memory != nil || r.CPU != nil || r.Pids != nil {
		t.Errorf("a workload without limits has %+v", r)
	}
	some := Workload{Memory: 256 << 20, CPUs: 2, Pids: 64}
	r = limits(some)
	if *r.Memory.Limit != 256<<20 || *r.CPU.Quota != 200_000 || *r.CPU.Period != 100_000 || *r.Pids.Limit != 64 {
		t.Errorf("limits of %+v are %+v", some, r)
	}
	for _, tt := range []struct {
		w    Workload
		want string
		fact string
	}{
		{some, "--memory 268435456 --cpus 2 --pids-limit 64", "256 MiB, 2, 64"},
		{Workload{}, "", "none, none, none"},
	} {
		p := &preparedEngine{w: tt.w, client: &engine.Client{}}
		command := strings.Join(p.command("n", "f"), " ")
		if tt.want != "" && !strings.Contains(command, tt.want) || tt.want == "" && (strings.Contains(command, "--memory") || strings.Contains(command, "-limit") || strings.Contains(command, "--cpus")) {
			t.Errorf("an engine's command is %q, want %q in it", command, tt.want)
		}
		f := tt.w.withLimits(map[string]string{})
		if got := f["memory limit"] + ", " + f["CPU limit"] + ", " + f["pids limit"]; got != tt.fact {
			t.Errorf("the facts say %q, want %q", got, tt.fact)
		}
	}
}
