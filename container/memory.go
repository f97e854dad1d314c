package container

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"

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

// memory is held while it matters who may look into ours.
var memory sync.Mutex

// clone makes the child.
func clone(ctx context.Context, p *step.Program, proc *specs.Process, o step.Options) (step.Child, error) {
	restore, err := lendScore(proc)
	if err != nil {
		return step.Child{}, err
	}
	child, err := p.Clone(ctx, o)
	restore(o.Until == nil || err != nil)
	return child, err
}

// cloneInto makes a child that comes among programs of a container. With the
// power over it that they have there, by ptrace(2) or through /proc/PID, they
// would have our memory, and so our power on the host, and our program's file
// (CVE-2016-9962, CVE-2019-5736). So nobody without power over the host may look
// into it (PR_SET_DUMPABLE of prctl(2)).
func cloneInto(ctx context.Context, p *step.Program, proc *specs.Process, o step.Options) (step.Child, error) {
	restore, err := lendScore(proc)
	if err != nil {
		return step.Child{}, err
	}
	memory.Lock()
	defer memory.Unlock()
	before, prctlErr := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if prctlErr == nil {
		prctlErr = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	}
	if prctlErr != nil {
		restore(true)
		return step.Child{}, fmt.Errorf("hiding our memory from the container: prctl: %w", prctlErr)
	}
	child, err := p.Clone(ctx, o)
	alone := o.Until == nil || err != nil
	if alone && before == 1 {
		unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)
	}
	restore(alone)
	return child, err
}

// lendScore gives us the oom_score_adj (proc_pid_oom_score_adj(5)) that a child
// is to be born with. Restore is called when it is made, and tells whether it no
// longer shares our memory: else ours stays, since it would be the child's too.
func lendScore(p *specs.Process) (restore func(alone bool), err error) {
	if p.OOMScoreAdj == nil {
		score.RLock()
		return func(bool) { score.RUnlock() }, nil
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
	return func(alone bool) {
		if alone {
			os.WriteFile(file, before, 0) // what it was is always allowed
		}
		score.Unlock()
	}, nil
}
