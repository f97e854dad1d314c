package container

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// What of a process its parent sets, since that may take more power than the
// process has in its user namespace (prlimit(2), sched_setattr(2),
// ioprio_set(2)). The child waits at its gate meanwhile.

// resources are the limits of setrlimit(2).
var resources = map[string]int{
	"RLIMIT_AS": unix.RLIMIT_AS, "RLIMIT_CORE": unix.RLIMIT_CORE, "RLIMIT_CPU": unix.RLIMIT_CPU, "RLIMIT_DATA": unix.RLIMIT_DATA,
	"RLIMIT_FSIZE": unix.RLIMIT_FSIZE, "RLIMIT_LOCKS": unix.RLIMIT_LOCKS, "RLIMIT_MEMLOCK": unix.RLIMIT_MEMLOCK,
	"RLIMIT_MSGQUEUE": unix.RLIMIT_MSGQUEUE, "RLIMIT_NICE": unix.RLIMIT_NICE, "RLIMIT_NOFILE": unix.RLIMIT_NOFILE,
	"RLIMIT_NPROC": unix.RLIMIT_NPROC, "RLIMIT_RSS": unix.RLIMIT_RSS, "RLIMIT_RTPRIO": unix.RLIMIT_RTPRIO,
	"RLIMIT_RTTIME": unix.RLIMIT_RTTIME, "RLIMIT_SIGPENDING": unix.RLIMIT_SIGPENDING, "RLIMIT_STACK": unix.RLIMIT_STACK,
}

var policies = map[specs.LinuxSchedulerPolicy]uint32{
	specs.SchedOther: 0, specs.SchedFIFO: 1, specs.SchedRR: 2, specs.SchedBatch: 3, specs.SchedISO: 4, specs.SchedIdle: 5, specs.SchedDeadline: 6,
}

var schedulerFlags = map[specs.LinuxSchedulerFlag]uint64{
	specs.SchedFlagResetOnFork: 0x01, specs.SchedFlagReclaim: 0x02, specs.SchedFlagDLOverrun: 0x04, specs.SchedFlagKeepPolicy: 0x08,
	specs.SchedFlagKeepParams: 0x10, specs.SchedFlagUtilClampMin: 0x20, specs.SchedFlagUtilClampMax: 0x40,
}

var ioClasses = map[specs.IOPriorityClass]int{specs.IOPRIO_CLASS_RT: 1, specs.IOPRIO_CLASS_BE: 2, specs.IOPRIO_CLASS_IDLE: 3}

func checkLimits(p *specs.Process) error {
	for i, r := range p.Rlimits {
		if _, ok := resources[r.Type]; !ok {
			return fmt.Errorf("process.rlimits[%d].type: %q is unknown", i, r.Type)
		}
		if r.Soft > r.Hard {
			return fmt.Errorf("process.rlimits[%d]: soft %d is above hard %d", i, r.Soft, r.Hard)
		}
		if slices.ContainsFunc(p.Rlimits[:i], func(o specs.POSIXRlimit) bool { return o.Type == r.Type }) {
			return fmt.Errorf("process.rlimits[%d].type: %q is there twice", i, r.Type)
		}
	}
	if o := p.OOMScoreAdj; o != nil && (*o < -1000 || *o > 1000) {
		return fmt.Errorf("process.oomScoreAdj: %d is not in -1000..1000", *o)
	}
	if s := p.Scheduler; s != nil {
		if _, ok := policies[s.Policy]; !ok {
			return fmt.Errorf("process.scheduler.policy: %q is unknown", s.Policy)
		}
		for i, f := range s.Flags {
			if _, ok := schedulerFlags[f]; !ok {
				return fmt.Errorf("process.scheduler.flags[%d]: %q is unknown", i, f)
			}
		}
	}
	if p.IOPriority != nil {
		if _, ok := ioClasses[p.IOPriority.Class]; !ok {
			return fmt.Errorf("process.ioPriority.class: %q is unknown", p.IOPriority.Class)
		}
		if n := p.IOPriority.Priority; n < 0 || n > 7 {
			return fmt.Errorf("process.ioPriority.priority: %d is not in 0..7", n)
		}
	}
	if a := p.ExecCPUAffinity; a != nil {
		for field, list := range map[string]string{"initial": a.Initial, "final": a.Final} {
			if _, err := cpuSet(list); err != nil {
				return fmt.Errorf("process.execCPUAffinity.%s: %w", field, err)
			}
		}
	}
	return nil
}

// limited tells whether there is anything to set.
func limited(p *specs.Process) bool {
	return p.Scheduler != nil || p.IOPriority != nil || len(p.Rlimits) > 0
}

// limitProcess sets them. Its errors name the field.
func limitProcess(pid int, p *specs.Process) error {
	if s := p.Scheduler; s != nil {
		a := unix.SchedAttr{
			Policy: policies[s.Policy], Nice: s.Nice, Priority: uint32(s.Priority),
			Runtime: s.Runtime, Deadline: s.Deadline, Period: s.Period,
		}
		a.Size = uint32(unsafe.Sizeof(a))
		for _, f := range s.Flags {
			a.Flags |= schedulerFlags[f]
		}
		if err := unix.SchedSetAttr(pid, &a, 0); err != nil {
			return fmt.Errorf("process.scheduler: sched_setattr: %w", err)
		}
	}
	if io := p.IOPriority; io != nil {
		const who, shift = 1, 13 // IOPRIO_WHO_PROCESS, IOPRIO_CLASS_SHIFT
		if _, _, e := unix.Syscall(unix.SYS_IOPRIO_SET, who, uintptr(pid), uintptr(ioClasses[io.Class]<<shift|io.Priority)); e != 0 {
			return fmt.Errorf("process.ioPriority: ioprio_set: %w", e)
		}
	}
	for _, r := range p.Rlimits {
		if err := unix.Prlimit(pid, resources[r.Type], &unix.Rlimit{Cur: r.Soft, Max: r.Hard}, nil); err != nil {
			if err == unix.EPERM {
				err = fmt.Errorf("%w (only root raises a hard limit, here above that of `ulimit -H`)", err)
			}
			return fmt.Errorf("process.rlimits: %s: prlimit: %w", r.Type, err)
		}
	}
	return nil
}

// cpuSet reads a list such as "0-3,7" (cpuset(7), "List format").
func cpuSet(list string) (*unix.CPUSet, error) {
	var set unix.CPUSet
	for part := range strings.SplitSeq(list, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		first, last, ranged := strings.Cut(part, "-")
		a, err := strconv.Atoi(first)
		b := a
		if err == nil && ranged {
			b, err = strconv.Atoi(last)
		}
		if err != nil || a < 0 || b < a || b >= 1024 {
			return nil, fmt.Errorf("%q is not a list of CPUs", list)
		}
		for ; a <= b; a++ {
			set.Set(a)
		}
	}
	return &set, nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
