package container

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"vmctr/container/rootfs"
)

// BenchmarkStart is a container's start, up to the first instruction of its
// program, with the phases of the median beside it. The program is the
// workload, whose first instruction writes a line before Go's runtime starts.
func BenchmarkStart(b *testing.B) {
	needRoot(b)
	dir := b.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	build := exec.Command("go", "build", "-ldflags", "-s -w -E _bench_entry", "-o", filepath.Join(dir, "workload"), "../bench/workload")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("building the workload: %v\n%s", err, out)
	}
	l, err := openLayers(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	b.Run("loopback", func(b *testing.B) { benchmarkStart(b, l, dir, nil) })
	b.Run("network", func(b *testing.B) { benchmarkStart(b, l, dir, openNetwork(b)) })
}

func benchmarkStart(b *testing.B, l *rootfs.Layers, dir string, n *testNetwork) {
	dev := null(b)
	phases := map[string][]int64{}
	var order []string
	for b.Loop() {
		s := sample()
		s.Process.Args = []string{"/workload", "exit"}
		r, w, err := os.Pipe()
		if err != nil {
			b.Fatal(err)
		}
		c, err := Start(context.Background(), Config{Spec: s, Layers: l, Dir: filepath.Join(dir, "c"), Stdin: dev, Stdout: w, Stderr: dev, Endpoint: n.endpoint(b)})
		if err != nil {
			b.Fatal(err)
		}
		w.Close()
		if line, err := bufio.NewReader(r).ReadString('\n'); line != "first-instruction\n" {
			b.Fatalf("%q, %v", line, err)
		}
		first := now()
		b.StopTimer()
		order = order[:0]
		for i, m := range c.Timeline {
			end := first
			if i+1 < len(c.Timeline) {
				end = c.Timeline[i+1].Ns
			}
			phases[m.Phase] = append(phases[m.Phase], end-m.Ns)
			order = append(order, m.Phase)
		}
		r.Close()
		if err := c.Remove(context.Background()); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	for _, phase := range order {
		ns := phases[phase]
		slices.Sort(ns)
		unit := "us:"
		for _, r := range phase { // a unit has no spaces
			if r == ' ' {
				r = '-'
			}
			unit += string(r)
		}
		b.ReportMetric(float64(ns[len(ns)/2])/1000, unit)
	}
}
