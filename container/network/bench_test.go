package network

import (
	"testing"
	"time"
)

// BenchmarkContainer is what a network adds to a container: the reservation, the
// veth and the child's part, and the removal, once with waiting for the kernel
// and once without.
func BenchmarkContainer(b *testing.B) {
	for _, remove := range []string{"close", "release"} {
		b.Run(remove, func(b *testing.B) {
			needRoot(b)
			n := open(b, "bench", "")
			var phases [3]time.Duration
			for b.Loop() {
				begin := time.Now()
				e := endpoint(b, n)
				phases[0] += time.Since(begin)
				h, err := run(b.Context(), e, 0)
				if err != nil {
					b.Fatal(err)
				}
				phases[1] += time.Duration(h.marks[1].Ns - h.marks[0].Ns)
				if remove == "close" {
					begin = time.Now()
					err = e.Close()
					phases[2] += time.Since(begin)
					h.kill()
				} else {
					h.kill()
					begin = time.Now()
					err = e.Release()
					phases[2] += time.Since(begin)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			for i, name := range []string{"reserve", "connect", remove} {
				b.ReportMetric(float64(phases[i].Microseconds())/float64(b.N), name+"-µs")
			}
		})
	}
}
