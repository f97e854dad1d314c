package experiment

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"vmctr/bench/harness"
	"vmctr/bench/isolation/strace"
	"vmctr/bench/platform"
	"vmctr/container/seccomp"
	"vmctr/report/result"
	"vmctr/report/result/isolation"
)

// surface counts which system calls an instance's processes on the host make while it does
// the same work on every platform: with files, memory, a child, its own loopback device, and
// requests that come over its network. Its start is no part of it.
var surface = Experiment{
	Name:     "surface",
	About:    "which system calls of the host's kernel an instance's processes make for the same work",
	Group:    isolation.Group,
	Weight:   2,
	From:     "standard",
	stand:    true,
	value:    "calls",
	most:     5,
	deadline: time.Minute,
	trials: func(s Subject, _ Limits) []harness.Trial {
		if i := infoOf(s.Name); s.Name == platform.ThrowawayName || i.NoSystem || i.Loopback {
			return nil
		}
		var prepared platform.Prepared
		return []harness.Trial{{
			Enter: func(ctx context.Context) (err error) {
				if os.Geteuid() != 0 {
					return &harness.OutOfReach{Reason: "tracing system calls takes root: sudo bench all --experiments surface"}
				}
				if !platform.HasNetwork(s.Prepared) {
					return &harness.OutOfReach{Reason: "it has no network here, over which it could be told when to work"}
				}
				prepared, err = insidePrepared(ctx, s, "work", func(w *platform.Workload) { w.Port = s.Workload.Port }, "work", ":"+strconv.Itoa(int(s.Workload.Port)))
				return err
			},
			Measure: func(ctx context.Context) (result.Sample, error) { return traceWork(ctx, s, prepared) },
		}}
	},
}

// surfaceRequests are as many as come over the network beside the one that begins the work.
const surfaceRequests = 50

func traceWork(ctx context.Context, s Subject, p platform.Prepared) (sample result.Sample, err error) {
	// On the host the program inside is the tracer.
	tracer := filepath.Join(s.Workload.Dir, "tracer")
	if err := writeInside(tracer); err != nil {
		return sample, err
	}
	defer func() { err = errors.Join(err, os.Remove(tracer)) }()
	return observed(ctx, p, func(ctx context.Context, i platform.Instance, _ int64, sample *result.Sample) error {
		if _, err := i.Output().FirstInstruction(ctx); err != nil {
			return err
		}
		address, err := listening(ctx, i)
		if err != nil {
			return err
		}
		pids, err := i.Processes()
		if err != nil {
			return err
		}
		t, err := strace.Start(tracer, pids)
		if err != nil {
			return err
		}
		begin := harness.Now()
		err = askFor(ctx, address, isolation.SurfaceWork)
		for n := 0; n < surfaceRequests && err == nil; n++ {
			err = askFor(ctx, address, isolation.SurfacePing)
		}
		took := harness.Now() - begin
		counts, stopErr := t.Stop()
		if err := errors.Join(err, stopErr); err != nil {
			return err
		}
		sample.Surface = named(counts)
		sample.Surface.Requests, sample.Surface.WorkNs = surfaceRequests, took
		sample.Values["calls"], sample.Values["ioctls"] = float64(len(counts.Calls)), float64(len(counts.Ioctls))
		return nil
	})
}

// listening waits until the program takes connections: its second line says so.
func listening(ctx context.Context, i platform.Instance) (netip.AddrPort, error) {
	if line, err := i.Output().Line(ctx, 1); err != nil || !strings.Contains(string(line), "ready") {
		return netip.AddrPort{}, fmt.Errorf("waiting for the program inside to listen: %.100q: %w", line, err)
	}
	return i.Address(ctx)
}

// askFor has the program inside do something, over a connection of its own.
func askFor(ctx context.Context, address netip.AddrPort, what string) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address.String())
	if err != nil {
		return fmt.Errorf("asking for %q: %w", what, err)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := fmt.Fprintln(c, what); err != nil {
		return fmt.Errorf("asking for %q: %w", what, err)
	}
	if line, err := bufio.NewReader(c).ReadString('\n'); strings.TrimSpace(line) != isolation.SurfaceDone {
		return fmt.Errorf("asking for %q: the answer is %.40q: %w", what, line, err)
	}
	return nil
}

// named are the counts with the system calls' names.
func named(c strace.Counts) *isolation.Surface {
	names := seccomp.Native()
	s := &isolation.Surface{Calls: map[string]int{}, Ioctls: c.Ioctls, Threads: c.Threads, Untraced: c.Untraced}
	for number, n := range c.Calls {
		name := number
		if nr, err := strconv.Atoi(number); err == nil && names[nr] != "" {
			name = names[nr]
		}
		s.Calls[name] += n
	}
	return s
}
