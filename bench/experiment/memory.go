package experiment

import (
	"context"
	"errors"
	"fmt"
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

// memory is what an idle instance occupies on the host, told in four ways, and what
// of a machine's is what.
var memory = Experiment{
	Name:   "memory",
	About:  "memory of an idle instance: PSS, USS, RSS, and its cgroup's account",
	Weight: 3, // a round waits until every platform has come to rest
	observe: func(ctx context.Context, i platform.Instance, _ int64, s *result.Sample) error {
		if err := rest(ctx, i); err != nil {
			return err
		}
		pids, err := i.Processes()
		if err != nil {
			return fmt.Errorf("listing the instance's processes: %w", err)
		}
		if len(pids) == 0 {
			return errors.New("the instance has no process")
		}
		if err := addProcesses(s.Values, pids); err != nil {
			return err
		}
		bytes, ok, err := i.CgroupMemory()
		if err != nil {
			return fmt.Errorf("reading the cgroup's account: %w", err)
		}
		if ok {
			s.Values["cgroup_bytes"] = float64(bytes)
		}
		if i, ok := i.(platform.Parted); ok {
			parts, err := i.MemoryParts(ctx)
			if err != nil {
				return fmt.Errorf("taking the instance's memory apart: %w", err)
			}
			for name, bytes := range parts {
				s.Values[name] = float64(bytes)
			}
		}
		return nil
	},
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
	values["processes"] = float64(len(pids))
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
