package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"

	"vmctr/container"
)

func update(_ context.Context, g *globals, args []string) (int, error) {
	fs := flags("update")
	file := fs.String("resources", "", "")
	fs.StringVar(file, "r", "", "")
	var r specs.LinuxResources
	resourceFlags(fs, &r)
	rest, err := parse(fs, args, 1, 1)
	if err != nil {
		return 0, err
	}
	if *file != "" {
		r = specs.LinuxResources{} // the other flags do not count then
		if err := readResources(*file, &r); err != nil {
			return 0, err
		}
	}
	h, err := container.Load(g.root, rest[0])
	if err != nil {
		return 0, err
	}
	return 0, h.Update(&r)
}

func readResources(path string, r *specs.LinuxResources) (err error) {
	var b []byte
	if path == "-" {
		b, err = io.ReadAll(os.Stdin)
	} else {
		b, err = os.ReadFile(path)
	}
	if err != nil {
		return fmt.Errorf("--resources: %w", err)
	}
	if err := json.Unmarshal(b, r); err != nil {
		return fmt.Errorf("--resources: %w", jsonError(path, b, err))
	}
	return nil
}

// resourceFlags are limits one by one. A part of r exists once a flag has set
// something of it.
func resourceFlags(fs flagSet, r *specs.LinuxResources) {
	memory := func() *specs.LinuxMemory { return part(&r.Memory) }
	cpu := func() *specs.LinuxCPU { return part(&r.CPU) }
	signed := func(name string, field func() **int64) {
		fs.Func(name, "", func(s string) error {
			n, err := strconv.ParseInt(s, 10, 64)
			*field() = &n
			return err
		})
	}
	unsigned := func(name string, field func() **uint64) {
		fs.Func(name, "", func(s string) error {
			n, err := strconv.ParseUint(s, 10, 64)
			*field() = &n
			return err
		})
	}
	fs.Func("blkio-weight", "", func(s string) error {
		n, err := strconv.ParseUint(s, 10, 16)
		w := uint16(n)
		part(&r.BlockIO).Weight = &w
		return err
	})
	unsigned("cpu-period", func() **uint64 { return &cpu().Period })
	signed("cpu-quota", func() **int64 { return &cpu().Quota })
	unsigned("cpu-burst", func() **uint64 { return &cpu().Burst })
	unsigned("cpu-rt-period", func() **uint64 { return &cpu().RealtimePeriod })
	signed("cpu-rt-runtime", func() **int64 { return &cpu().RealtimeRuntime })
	unsigned("cpu-share", func() **uint64 { return &cpu().Shares })
	signed("cpu-idle", func() **int64 { return &cpu().Idle })
	fs.Func("cpuset-cpus", "", func(s string) error { cpu().Cpus = s; return nil })
	fs.Func("cpuset-mems", "", func(s string) error { cpu().Mems = s; return nil })
	signed("memory", func() **int64 { return &memory().Limit })
	signed("memory-reservation", func() **int64 { return &memory().Reservation })
	signed("memory-swap", func() **int64 { return &memory().Swap })
	//lint:ignore SA1019 engines still pass it; the kernel has no such limit any more
	signed("kernel-memory", func() **int64 { return &memory().Kernel })
	signed("kernel-memory-tcp", func() **int64 { return &memory().KernelTCP })
	signed("pids-limit", func() **int64 { return &part(&r.Pids).Limit })
}

// part is what a pointer leads to, made if there is nothing.
func part[T any](p **T) *T {
	if *p == nil {
		*p = new(T)
	}
	return *p
}

type flagSet = *flag.FlagSet
