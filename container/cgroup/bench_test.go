package cgroup

import (
	"context"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// BenchmarkCreate is what a container's start pays for its group, and its end:
// made, limited, opened for the first process, and removed. "fresh" looks anew
// for where the hierarchies are, as the first one in a process does.
func BenchmarkCreate(b *testing.B) {
	needRoot(b)
	r := limit(256 << 20)
	r.CPU, r.Pids = cpus(50_000, 100_000).CPU, processLimit(64).Pids
	devices := *r
	devices.Devices = []specs.LinuxDeviceCgroup{{Allow: false}}
	for _, bb := range []struct {
		name  string
		r     *specs.LinuxResources
		o     Options
		fresh bool
	}{
		{"kept", r, Options{}, false},
		{"fresh", r, Options{}, true},
		{"every", r, Options{Every: true}, false},
		{"every,devices", &devices, Options{Every: true}, false},
	} {
		b.Run(bb.name, func(b *testing.B) {
			for b.Loop() {
				if bb.fresh {
					kept.host = nil
				}
				c, err := CreateWith(prefix+"bench", bb.r, bb.o)
				if err != nil {
					b.Fatal(err)
				}
				folder, tasks, err := c.Entrances()
				if err != nil {
					b.Fatal(err)
				}
				if folder != nil {
					folder.Close()
				}
				for _, t := range tasks {
					t.Close()
				}
				if err := c.Remove(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
