package experiment

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/procfs"

	"vmctr/bench/harness"
	"vmctr/bench/platform"
	"vmctr/report/result"
)

// idleFor is how long an instance idles before its memory is read: what its
// start set off (a runtime's first garbage collection, a guest's deferred
// work) has then ended.
const idleFor = time.Second

// memory is what an idle instance occupies on the host, told by each account that there
// is, and what of a machine's is what.
var memory = Experiment{
	Name:   "memory",
	About:  "memory of an idle instance: PSS, USS, RSS, its cgroup's account, and what the host has less of",
	value:  "pss_bytes",
	Weight: 18, // a round waits until every platform has come to rest
	trials: func(s Subject, _ Limits) []harness.Trial {
		return []harness.Trial{{Measure: func(ctx context.Context) (result.Sample, error) { return memoryOf(ctx, s.Prepared, nil) }}}
	},
}

// memoryOf measures one instance, idle, and, where load is given, once more after that.
func memoryOf(ctx context.Context, p platform.Prepared, load func(context.Context, platform.Instance, map[string]float64) error) (result.Sample, error) {
	before, err := readHost()
	if err != nil {
		return result.Sample{}, err
	}
	s, err := observed(ctx, p, func(ctx context.Context, i platform.Instance, _ int64, s *result.Sample) error {
		if err := rest(ctx, i); err != nil {
			return err
		}
		if err := addAccounts(ctx, before, s.Values, i); err != nil || load == nil {
			return err
		}
		idle := s.Values
		s.Values = map[string]float64{}
		for name, bytes := range idle {
			s.Values["idle_"+name] = bytes
		}
		err := load(ctx, i, s.Values)
		if errors.Is(err, errNotReached) {
			return nil
		}
		if err == nil {
			err = harness.Pause(ctx, idleFor)
		}
		if err != nil {
			return err
		}
		return addAccounts(ctx, before, s.Values, i)
	})
	if err != nil {
		return s, err
	}
	// What has not come back is how far the host's figures drift meanwhile by what else
	// it does: their error.
	after, err := readHost()
	if err != nil {
		return s, err
	}
	s.Values["available_left_bytes"] = before.available - after.available
	return s, nil
}

// addAccounts adds up what instances occupy that run now. The host's own figures are read
// first: to read the others takes memory too.
func addAccounts(ctx context.Context, before host, values map[string]float64, instances ...platform.Instance) error {
	now, err := readHost()
	if err != nil {
		return err
	}
	now.addGrowth(before, values)
	for _, i := range instances {
		if err := addInstance(ctx, values, i); err != nil {
			return err
		}
	}
	return nil
}

func addInstance(ctx context.Context, values map[string]float64, i platform.Instance) error {
	pids, err := i.Processes()
	if err != nil {
		return fmt.Errorf("listing the instance's processes: %w", err)
	}
	if len(pids) == 0 {
		return errors.New("the instance has no process")
	}
	if err := addProcesses(values, pids); err != nil {
		return err
	}
	bytes, ok, err := i.CgroupMemory()
	if err != nil {
		return fmt.Errorf("reading the cgroup's account: %w", err)
	}
	if ok {
		values["cgroup_bytes"] += float64(bytes)
	}
	add := func(what string, parts map[string]int64, err error) error {
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		for name, bytes := range parts {
			if once(name) {
				values[name] = max(values[name], float64(bytes))
				continue
			}
			values[name] += float64(bytes)
		}
		return nil
	}
	if i, ok := i.(platform.Charged); ok {
		parts, err := i.CgroupParts()
		if err := add("taking the cgroup's account apart", parts, err); err != nil {
			return err
		}
	}
	if i, ok := i.(platform.Parted); ok {
		parts, err := i.MemoryParts(ctx)
		return add("taking the instance's memory apart", parts, err)
	}
	return nil
}

// once tells of what is there once for all instances, and not to be added up: what of
// their files is in the page cache, and what the host counts for all guests together.
func once(name string) bool {
	return strings.HasPrefix(name, "cached_") || strings.HasPrefix(name, "host_")
}

// rest waits until an instance that has come up idles.
func rest(ctx context.Context, i platform.Instance) error {
	if _, err := i.Output().FirstInstruction(ctx); err != nil {
		return err
	}
	if _, err := i.Output().Identity(ctx); err != nil && !errors.Is(err, platform.ErrNoSystem) {
		return err
	}
	return harness.Pause(ctx, idleFor)
}

// addProcesses sums /proc/PID/smaps_rollup (proc_pid_smaps(5)) over processes:
// RSS is all that is mapped and resident, PSS counts a page that n processes
// share as 1/n, and USS only what no other process shares. None of the three has what
// proc_pid_status(5) tells: the host's tables of the processes' addresses (VmPTE), and
// pages of hugetlbfs (HugetlbPages).
func addProcesses(values map[string]float64, pids []int) error {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return err
	}
	values["processes"] += float64(len(pids))
	for _, pid := range pids {
		p, err := fs.Proc(pid)
		if err != nil {
			return fmt.Errorf("process %d: %w", pid, err)
		}
		r, err := p.ProcSMapsRollup()
		if err != nil {
			return fmt.Errorf("memory of process %d: %w", pid, err)
		}
		values["rss_bytes"] += float64(r.Rss)
		values["pss_bytes"] += float64(r.Pss)
		values["uss_bytes"] += float64(r.PrivateClean + r.PrivateDirty)
		status, err := p.NewStatus()
		if err != nil {
			return fmt.Errorf("memory of process %d: %w", pid, err)
		}
		values["page_tables_bytes"] += float64(status.VmPTE)
		values["hugetlb_bytes"] += float64(status.HugetlbPages)
	}
	return nil
}
