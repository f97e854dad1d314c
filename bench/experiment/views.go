package experiment

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"vmctr/bench/harness"
	"vmctr/bench/isolation/look"
	"vmctr/bench/platform"
	"vmctr/container/seccomp"
	"vmctr/report/result"
	"vmctr/report/result/isolation"
)

// views sets what a program sees inside an instance beside what the host has, and finds
// out what it may do: of a process without walls, in the throwaway machine.
var views = Experiment{
	Name:     "views",
	About:    "what a program sees inside beside what the host has, and what it may do: capabilities, system calls, devices",
	Group:    isolation.Group,
	Weight:   2,
	stand:    true,
	most:     1,
	deadline: 2 * time.Minute,
	trials: func(s Subject, _ Limits) []harness.Trial {
		switch {
		case infoOf(s.Name).NoSystem:
			return nil
		case s.Name == platform.ThrowawayName:
			return []harness.Trial{{Measure: func(ctx context.Context) (result.Sample, error) { return arenaLook(ctx, s) }}}
		}
		return []harness.Trial{{Measure: func(ctx context.Context) (result.Sample, error) { return Look(ctx, s, true) }}}
	},
}

// beyond is how many numbers behind the last system call that is known are tried too: a
// kernel can be newer than the table.
const beyond = 16

// lastCall is the number up to which system calls are tried.
func lastCall() int {
	names := seccomp.Native()
	if names == nil {
		return -1
	}
	return slices.Max(slices.Collect(maps.Keys(names))) + beyond
}

// Look has a program look around in an instance, and looks at it from the host. To try all
// system calls takes a second more; on the host itself that is not done.
func Look(ctx context.Context, s Subject, calls bool) (result.Sample, error) {
	last, why := lastCall(), ""
	switch {
	case s.Kind == "process":
		last, why = -1, "not tried on the host itself, without walls: some calls do something whatever their arguments are"
	case !calls:
		last, why = -1, "not asked for"
	case last < 0:
		why = "there is no table of them for this processor"
	}
	// It has the network that the platform's instances have, of which it serves nothing.
	// A process has the host's.
	network := func(w *platform.Workload) {
		if s.Kind != "process" {
			w.Port = s.Workload.Port
		}
	}
	p, err := insidePrepared(ctx, s, "look", network, "look", strconv.Itoa(last))
	if err != nil {
		return result.Sample{}, err
	}
	return observed(ctx, p, func(ctx context.Context, i platform.Instance, _ int64, sample *result.Sample) error {
		if _, err := i.Output().FirstInstruction(ctx); err != nil {
			return err
		}
		var inside look.Report
		if err := told(ctx, i, 1, &inside); err != nil {
			return err
		}
		if sample.View, err = view(ctx, i, inside); err != nil {
			return err
		}
		var p isolation.Privileges
		if err := told(ctx, i, 2, &p); err != nil {
			return err
		}
		p.CallsError = cmp.Or(p.CallsError, why)
		nameCalls(&p)
		sample.Privileges = []isolation.Privileges{p}
		return nil
	})
}

// told reads line n of what the program prints.
func told(ctx context.Context, i platform.Instance, n int, v any) error {
	line, err := i.Output().Line(ctx, n)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(line, v); err != nil {
		return fmt.Errorf("what the program tells, %.200q: %w", line, err)
	}
	return nil
}

// view is what the program sees beside what is here.
func view(ctx context.Context, i platform.Instance, inside look.Report) (*isolation.View, error) {
	var host look.System
	v := &isolation.View{BootID: inside.BootID, HostBootID: host.BootID()}
	v.Sights = isolation.Compare(inside.Seen, host.Around())
	pids, err := i.Processes()
	if err != nil {
		return nil, err
	}
	pid := program(pids)
	// The number that the host has for it is not in the host's own view.
	for n := range v.Sights {
		if s := &v.Sights[n]; s.Fact == "pid" && pid > 0 {
			s.Outside, s.Whose = strconv.Itoa(pid), isolation.Own
			switch {
			case !v.SameKernel():
				s.Outside = fmt.Sprintf("none; %d is the hypervisor", pid)
			case s.Inside == s.Outside:
				s.Whose = isolation.Hosts
			}
		}
	}
	within, isWithin := i.(platform.Within)
	switch {
	case v.SameKernel() && pid > 0:
		v.NamespacesOf = "host"
		v.Namespaces = isolation.CompareNamespaces(look.NamespacesOf(pid), host.Namespaces())
	case isWithin:
		guest, err := within.Namespaces(ctx)
		if err != nil {
			return nil, err
		}
		v.NamespacesOf = "guest"
		v.Namespaces = isolation.CompareNamespaces(inside.Namespaces, guest)
	}
	return v, nil
}

// program is the one among an instance's processes that looks around, or the first: an
// engine can have others there.
func program(pids []int) int {
	for _, pid := range pids {
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if strings.TrimSpace(string(name)) == "inside" {
			return pid
		}
	}
	if len(pids) > 0 {
		return pids[0]
	}
	return 0
}

// nameCalls gives system calls their names. Numbers that have none stay only where the
// kernel has a call of that number.
func nameCalls(p *isolation.Privileges) {
	names := seccomp.Native()
	p.Calls = slices.DeleteFunc(p.Calls, func(c isolation.Call) bool {
		return names[c.Number] == "" && c.Class != isolation.Served && c.Class != isolation.Denied
	})
	for n := range p.Calls {
		p.Calls[n].Name = names[p.Calls[n].Number]
	}
}

// arenaLook has the arena find out what a process without walls may do, and a container
// without its filter: what the kernel refuses when no filter is in the way.
func arenaLook(ctx context.Context, s Subject) (result.Sample, error) {
	p, err := insidePrepared(ctx, s, "look", nil, "look", strconv.Itoa(lastCall()))
	if err != nil {
		return result.Sample{}, err
	}
	return observed(ctx, p, func(ctx context.Context, i platform.Instance, _ int64, sample *result.Sample) error {
		err := heard(ctx, i, func(p isolation.Privileges) error {
			nameCalls(&p)
			sample.Privileges = append(sample.Privileges, p)
			return nil
		})
		if err == nil && len(sample.Privileges) == 0 {
			err = platform.ErrEnded
		}
		return err
	})
}
