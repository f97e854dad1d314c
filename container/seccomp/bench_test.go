package seccomp

import (
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func BenchmarkCompile(b *testing.B) {
	s, err := Default(docker)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compile(s); err != nil {
			b.Fatal(err)
		}
	}
}

// linear is the obvious filter of the same profile: the number is compared with
// each number that has a rule, in turn. This is what libseccomp makes unless
// it is asked to optimize.
func linear(o *outcomes) []unix.SockFilter {
	a := &assembler{outcomes: make([]node, len(o.list))}
	for i := range a.outcomes {
		a.outcomes[i] = -1
	}
	program := a.ret(foreign)
	for _, audit := range []uint32{unix.AUDIT_ARCH_I386, unix.AUDIT_ARCH_X86_64} {
		next := a.ret(o.list[0].answer)
		for _, n := range slices.Backward(o.abis) {
			for nr, outcome := range slices.Backward(n.outcomes[:n.last+1]) {
				if n.audit == audit && outcome != 0 {
					next = a.branch(opJeq, n.base+uint32(nr), a.outcome(o, outcome), next)
				}
			}
		}
		program = a.branch(opJeq, audit, a.then(opLoad, offsetNr, next), program)
	}
	a.then(opLoad, offsetArch, program)
	slices.Reverse(a.backward)
	return a.backward
}

// BenchmarkAttach measures what attaching costs, with Docker's profile: medians
// of the tree, of the linear filter, and of a filter of one instruction.
func BenchmarkAttach(b *testing.B) {
	tree := compileDefault(b, docker...).Program
	s, err := Default(docker)
	if err != nil {
		b.Fatal(err)
	}
	o, err := new(Filter).resolve(s, host)
	if err != nil {
		b.Fatal(err)
	}
	programs := [][]unix.SockFilter{tree, linear(o), {{Code: opRet, K: unix.SECCOMP_RET_ALLOW}}}
	times := make([][]time.Duration, len(programs))
	for b.Loop() {
		for i, p := range programs {
			times[i] = append(times[i], attachTime(b, p))
		}
	}
	var medians [3]float64
	for i := range times {
		slices.Sort(times[i])
		medians[i] = float64(times[i][len(times[i])/2].Nanoseconds()) / 1000
	}
	b.ReportMetric(medians[0], "µs/tree")
	b.ReportMetric(medians[1], "µs/linear")
	b.ReportMetric(medians[2], "µs/one")
	b.ReportMetric(medians[1]/medians[0], "ratio")
	b.ReportMetric(float64(len(programs[0])), "instructions/tree")
	b.ReportMetric(float64(len(programs[1])), "instructions/linear")
}

// attachTime attaches a filter to a thread that ends with it.
func attachTime(b *testing.B, program []unix.SockFilter) time.Duration {
	result := make(chan time.Duration)
	go func() {
		runtime.LockOSThread() // and never unlocks
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			b.Error(err)
		}
		start := time.Now()
		_, err := attach(program, 0)
		elapsed := time.Since(start)
		if err != nil {
			b.Error(err)
		}
		result <- elapsed
	}()
	return <-result
}
