package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"vmctr/container"
	"vmctr/container/cgroup"
)

// An event is one line of what `events` prints. The form is runc's
// (opencontainers/runc, types/events.go): engines and collectors read it.
type event struct {
	Type string `json:"type"` // "stats" or "oom"
	ID   string `json:"id"`
	Data *stats `json:"data,omitempty"`
}

// Times are in nanoseconds, sizes in bytes.
type stats struct {
	CPU struct {
		Usage struct {
			Total  uint64 `json:"total,omitempty"`
			Kernel uint64 `json:"kernel"`
			User   uint64 `json:"user"`
		} `json:"usage"`
		Throttling struct {
			Periods          uint64 `json:"periods,omitempty"`
			ThrottledPeriods uint64 `json:"throttledPeriods,omitempty"`
			ThrottledTime    uint64 `json:"throttledTime,omitempty"`
		} `json:"throttling"`
		PSI *pressure `json:"psi,omitempty"`
	} `json:"cpu"`
	Memory struct {
		Cache  uint64            `json:"cache,omitempty"`
		Usage  memoryEntry       `json:"usage"`
		Swap   memoryEntry       `json:"swap"` // of memory and swap together
		Kernel memoryEntry       `json:"kernel"`
		Raw    map[string]uint64 `json:"raw,omitempty"`
		PSI    *pressure         `json:"psi,omitempty"`
	} `json:"memory"`
	Pids struct {
		Current uint64 `json:"current,omitempty"`
		Limit   uint64 `json:"limit,omitempty"` // none is left out
	} `json:"pids"`
	Blkio struct {
		Bytes      []blkioEntry `json:"ioServiceBytesRecursive,omitempty"`
		Operations []blkioEntry `json:"ioServicedRecursive,omitempty"`
		PSI        *pressure    `json:"psi,omitempty"`
	} `json:"blkio"`
	Hugetlb map[string]hugetlbEntry `json:"hugetlb"`
}

type memoryEntry struct {
	Limit   uint64 `json:"limit"`
	Usage   uint64 `json:"usage,omitempty"`
	Max     uint64 `json:"max,omitempty"`
	Failcnt uint64 `json:"failcnt"`
}

type blkioEntry struct {
	Major uint64 `json:"major,omitempty"`
	Minor uint64 `json:"minor,omitempty"`
	Op    string `json:"op,omitempty"`
	Value uint64 `json:"value,omitempty"`
}

type hugetlbEntry struct {
	Usage   uint64 `json:"usage,omitempty"`
	Max     uint64 `json:"max,omitempty"`
	Failcnt uint64 `json:"failcnt"`
}

type pressure struct {
	Some pressureLine `json:"some"`
	Full pressureLine `json:"full"`
}

type pressureLine struct {
	Avg10  float64 `json:"avg10"`
	Avg60  float64 `json:"avg60"`
	Avg300 float64 `json:"avg300"`
	Total  uint64  `json:"total"` // microseconds, as the kernel tells it
}

// convert puts what a cgroup tells into that form, in which what it does not
// tell is 0.
func convert(c *cgroup.Stats) *stats {
	var s stats
	if cpu := c.CPU; cpu != nil {
		s.CPU.Usage.Total, s.CPU.Usage.Kernel, s.CPU.Usage.User = uint64(cpu.Usage), uint64(cpu.System), uint64(cpu.User)
		s.CPU.Throttling.Periods, s.CPU.Throttling.ThrottledPeriods, s.CPU.Throttling.ThrottledTime = cpu.Periods, cpu.Throttled, uint64(cpu.ThrottledTime)
	}
	if m := c.Memory; m != nil {
		limit := value(m.Limit)
		s.Memory.Cache = value(m.File)
		s.Memory.Usage = memoryEntry{Limit: limit, Usage: m.Usage, Max: value(m.Max), Failcnt: value(m.LimitHits)}
		s.Memory.Swap = memoryEntry{Limit: limit + min(value(m.SwapLimit), math.MaxUint64-limit), Usage: m.Usage + value(m.Swap)}
		s.Memory.Kernel.Usage = value(m.Kernel)
		s.Memory.Raw = m.Detail
	}
	if p := c.Pids; p != nil {
		s.Pids.Current = p.Current
		if p.Limit != cgroup.Unlimited {
			s.Pids.Limit = p.Limit
		}
	}
	for _, d := range c.IO {
		entry := func(op string, n uint64) blkioEntry {
			return blkioEntry{uint64(d.Major), uint64(d.Minor), op, n}
		}
		s.Blkio.Bytes = append(s.Blkio.Bytes, entry("Read", d.ReadBytes), entry("Write", d.WriteBytes), entry("Discard", d.DiscardBytes))
		s.Blkio.Operations = append(s.Blkio.Operations, entry("Read", d.Reads), entry("Write", d.Writes), entry("Discard", d.Discards))
	}
	s.Hugetlb = map[string]hugetlbEntry{}
	for size, h := range c.Hugetlb {
		s.Hugetlb[size] = hugetlbEntry{Usage: h.Usage, Max: value(h.Max), Failcnt: value(h.LimitHits)}
	}
	for what, to := range map[string]**pressure{"cpu": &s.CPU.PSI, "memory": &s.Memory.PSI, "io": &s.Blkio.PSI} {
		if p, ok := c.Pressure[what]; ok {
			*to = &pressure{pressureOf(p.Some), pressureOf(p.Full)}
		}
	}
	return &s
}

func pressureOf(l cgroup.PressureLine) pressureLine {
	return pressureLine{l.Avg10, l.Avg60, l.Avg300, uint64(l.Total.Microseconds())}
}

func value(n *uint64) uint64 {
	if n == nil {
		return 0
	}
	return *n
}

func events(ctx context.Context, g *globals, args []string) (int, error) {
	fs := flags("events")
	interval, once := fs.Duration("interval", 5*time.Second, ""), fs.Bool("stats", false, "")
	rest, err := parse(fs, args, 1, 1)
	if err != nil {
		return 0, err
	}
	if *interval <= 0 {
		return 0, errUsage{fmt.Sprintf("events: --interval %v is not above 0", *interval)}
	}
	h, err := container.Load(g.root, rest[0])
	if err != nil {
		return 0, err
	}
	if *once {
		c, err := h.Stats()
		if err != nil {
			return 0, err
		}
		return 0, writeJSON(g.stdout, event{"stats", h.ID, convert(c)})
	}
	return 0, follow(ctx, g, h, *interval)
}

// follow prints statistics at the interval, and that a process was killed for
// want of memory when it was, until the container has ended.
func follow(ctx context.Context, g *globals, h *container.Handle, interval time.Duration) error {
	ended := make(chan error, 1)
	go func() { ended <- h.AwaitEnd(ctx) }()
	tick, look := time.NewTicker(interval), time.NewTicker(100*time.Millisecond)
	defer tick.Stop()
	defer look.Stop()
	kills, _ := h.OutOfMemoryKills() // 0 where the kernel does not tell
	tell := func() error {
		if n, err := h.OutOfMemoryKills(); err == nil && n > kills {
			kills = n
			return writeJSON(g.stdout, event{Type: "oom", ID: h.ID})
		}
		return nil
	}
	for {
		select {
		case err := <-ended:
			return errors.Join(tell(), err)
		case <-look.C:
			if err := tell(); err != nil {
				return err
			}
		case <-tick.C:
			c, err := h.Stats()
			if err != nil {
				continue // its cgroup goes as it ends
			}
			if err := writeJSON(g.stdout, event{"stats", h.ID, convert(c)}); err != nil {
				return err
			}
		}
	}
}
