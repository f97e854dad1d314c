package container

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/step"
)

// A child shares our memory until it has executed its program (package step).
// Two things belong to a process's memory, and so to us both meanwhile: its
// oom_score_adj, and who may look into it.

// score is held by all who make children, and by one alone whose child gets an
// oom_score_adj.
var score sync.RWMutex

// memory is held while it matters who may look into ours (hide).
var memory sync.Mutex

// clone makes the child.
func clone(ctx context.Context, p *step.Program, proc *specs.Process, o step.Options) (step.Child, error) {
	restore, err := lendScore(proc)
	if err != nil {
		return step.Child{}, err
	}
	child, err := p.Clone(ctx, o)
	restore(child, o.Until == nil || err != nil)
	return child, err
}

// cloneInto makes a child that comes among programs of a container, and hides
// from them (hide). When it has become its program, what was is again.
func cloneInto(ctx context.Context, p *step.Program, proc *specs.Process, o step.Options) (step.Child, error) {
	memory.Lock()
	defer memory.Unlock()
	before, unknown := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	child, err := clone(ctx, p, proc, o)
	if unknown == nil && before == 1 && (o.Until == nil || err != nil) {
		unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)
	}
	return child, err
}

// lendScore gives us the oom_score_adj (proc_pid_oom_score_adj(5)) that a child
// is to be born with. Restore is called when it is made, and is told whether it
// has executed its program: if not, ours stays, since it would be the child's too.
func lendScore(p *specs.Process) (restore func(child step.Child, alone bool), err error) {
	if p.OOMScoreAdj == nil {
		score.RLock()
		return func(step.Child, bool) { score.RUnlock() }, nil
	}
	const file = "/proc/self/oom_score_adj"
	score.Lock()
	before, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, strconv.AppendInt(nil, int64(*p.OOMScoreAdj), 10), 0)
	}
	if err != nil {
		score.Unlock()
		if errors.Is(err, unix.EACCES) {
			err = fmt.Errorf("%w (only root lowers it, here below %s)", err, bytes.TrimSpace(before))
		}
		return nil, fmt.Errorf("config.json: process.oomScoreAdj: %w", err)
	}
	return func(child step.Child, alone bool) {
		defer score.Unlock()
		if child.PID != 0 && alone {
			alone = left(child.PID)
		}
		if alone {
			os.WriteFile(file, before, 0) // what it was is always allowed
		}
	}, nil
}

// starting is the name (PR_SET_NAME of prctl(2)) of a process of which it has to
// be known when it has left our memory for good: a moment after it has told that
// it does (CLONE_CHILD_CLEARTID), the kernel gives it its program's name.
const starting = "bench:starting"

func nameStarting(p *step.Program) {
	p.Call("prctl", unix.SYS_PRCTL, step.Flag(unix.PR_SET_NAME, "PR_SET_NAME"), p.Str(starting))
}

// left waits until a process has another name, or is gone.
func left(pid int) bool {
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(50 * time.Microsecond) {
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if err != nil || string(name) != starting+"\n" {
			return true
		}
	}
	return false
}
