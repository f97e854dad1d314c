package probe

import (
	"os"
	"runtime"
	"strings"
	"testing"

	"vmctr/report/result/isolation"
)

// Without walls each attempt at a process that is there to be attacked reaches it, and what
// it changes is known to the host by what the process says.
func TestWitness(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: run the tests as root")
	}
	s := &Session{Plan: Plan{}, host: &Host{Dir: t.TempDir(), Program: "/proc/self/exe", words: map[string]string{}}}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, p := range join(reading, writing, signalling, tracing) {
		switch group, what, _ := strings.Cut(p.Name, "-"); {
		case group == "signal" && what != "kill" && what != "cgroup", group == "trace":
		case strings.HasPrefix(what, "memory"), strings.HasPrefix(what, "descriptor"), what == "environ", what == "priority":
		default:
			continue
		}
		s.host.now = p.Name
		canary, err := p.Plant(s.host)
		if err != nil {
			t.Errorf("%s: %v", p.Name, err)
			continue
		}
		s.Plan[p.Name] = canary
		if f := s.judge(p, Attempt{Probe: p.Name}); f.Verdict != isolation.Blocked {
			t.Errorf("%s is %s before it was tried: %s", p.Name, f.Verdict, f.Evidence)
		}
		made := make(chan Attempt)
		go func() {
			runtime.LockOSThread() // as Batch does it
			made <- p.Attempt(canary)
		}()
		a := <-made
		if a.Lacks != "" { // a kernel without NUMA has no move_pages(2)
			t.Log(p.Name, a.Lacks)
			continue
		}
		if f := s.judge(p, a); f.Verdict != isolation.Reached {
			t.Errorf("%s is %s: %s", p.Name, f.Verdict, f.Evidence)
		}
	}
}

// What an attempt is told is never taken for more than one process, nor for the attempt's own.
func TestAt(t *testing.T) {
	for _, canary := range []string{"", "word", "0", "-1", "1", "-7 1"} {
		a := at(func(target) Attempt { return did("it", "") })(canary)
		if a.Did {
			t.Errorf("an attempt at %q is made", canary)
		}
	}
	if a := at(func(target) Attempt { return did("it", "") })("99999999 1 word"); !a.Did {
		t.Errorf("an attempt at a process is not made: %+v", a)
	}
}

func TestWords(t *testing.T) {
	const a, b = "canary-0123456789abcdef", "canary-ffffffffffffffff"
	if got := wordsOf([]byte("x\x00SECRET=" + a + "\x00" + b + "z canary-short")); got != a+" "+b {
		t.Errorf("the words are %q", got)
	}
}
