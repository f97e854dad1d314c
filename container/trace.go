package container

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/step"
)

// A Trace is what is done to start a container, call by call, for people who
// want to see it. Start fills in one that Config.Trace holds, also when it
// fails: the last call then says where.
type Trace struct{ Events []Event }

// An Event is one system call, or a few that one line tells of.
type Event struct {
	Phase  string // as in the Timeline, or another of whoever adds it
	Step   string // what it does together with others
	Parent bool   // it was made by us, and not by the container's first process
	Call   string
	Result string
	Failed bool
	Waits  bool  // the child waited for its parent
	Begin  int64 // CLOCK_MONOTONIC, nanoseconds
	End    int64
}

// Add adds what the parent has done since begin (CLOCK_MONOTONIC). Without a
// trace it does nothing, as the methods below.
func (t *Trace) Add(phase, step, call string, begin int64) {
	if t != nil {
		t.Events = append(t.Events, Event{Phase: phase, Step: step, Parent: true, Call: call, Begin: begin, End: now()})
	}
}

// trace makes a program write down its calls, if there is a trace.
func (t *Trace) trace(p *step.Program) {
	if t != nil {
		p.Trace()
	}
}

// parents adds the calls of a program that the parent has run itself.
func (t *Trace) parents(p *step.Program) {
	if t == nil {
		return
	}
	for _, m := range p.Made() {
		t.Events = append(t.Events, Event{m.Phase, m.Step, true, m.Call, m.Result, m.Failed, m.Waits, m.Begin, m.End})
	}
}

// program adds the making of a child, and the calls that it has made.
func (t *Trace) program(p *step.Program, o step.Options, pid int) {
	if t == nil {
		return
	}
	begin, end := p.Cloned()
	e := Event{Phase: "clone", Step: "a process in new namespaces", Parent: true, Call: "clone3(" + step.CloneFlags(o.Flags) + ")", Begin: begin, End: end}
	if pid > 0 {
		e.Result = "process " + strconv.Itoa(pid)
	}
	t.Events = append(t.Events, e)
	for _, m := range p.Made() {
		t.Events = append(t.Events, Event{m.Phase, m.Step, false, m.Call, m.Result, m.Failed, m.Waits, m.Begin, m.End})
	}
}

// detour adds what the program in between has done (detour.go).
func (t *Trace) detour(cfg Config, begin int64, err error) {
	if t == nil {
		return
	}
	e := Event{Phase: "exec", Step: "from there the container's program, so that /proc/self/exe was never ours", Call: fmt.Sprintf("execve(%q)", cfg.Spec.Process.Args[0]), Begin: begin, End: now()}
	if cfg.Init {
		e.Step = "the init starts the container's program"
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		e.Failed, e.Result = true, unix.ErrnoName(errno)
	}
	t.Events = append(t.Events, e)
}

// describeGroup says what making the container's cgroup is.
func describeGroup(s *specs.Spec) string {
	text := fmt.Sprintf("mkdir(%q) in each hierarchy", s.Linux.CgroupsPath)
	r := s.Linux.Resources
	if r == nil {
		return text
	}
	var limits []string
	if m := r.Memory; m != nil && m.Limit != nil {
		limits = append(limits, fmt.Sprintf("memory %d MiB", *m.Limit>>20))
	}
	if c := r.CPU; c != nil && c.Quota != nil && c.Period != nil {
		limits = append(limits, fmt.Sprintf("cpu %d of every %d µs", *c.Quota, *c.Period))
	}
	if p := r.Pids; p != nil && p.Limit != nil {
		limits = append(limits, fmt.Sprintf("pids %d", *p.Limit))
	}
	if len(limits) > 0 {
		text += ", write(" + strings.Join(limits, "; ") + ")"
	}
	return text
}

func describeMaps(pid int, l *specs.Linux) string {
	line := func(ids []specs.LinuxIDMapping) string {
		var all []string
		for _, m := range ids {
			all = append(all, fmt.Sprintf("%d %d %d", m.ContainerID, m.HostID, m.Size))
		}
		return strings.Join(all, `\n`)
	}
	return fmt.Sprintf(`write("/proc/%d/uid_map", "%s"), write("/proc/%d/gid_map", "%s")`, pid, line(l.UIDMappings), pid, line(l.GIDMappings))
}
