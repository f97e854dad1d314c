package breakage

import (
	"strings"
	"testing"

	"vmctr/report/result/isolation"
)

func TestJudge(t *testing.T) {
	const ms = 1_000_000
	calm := []isolation.Witness{{Who: "host", Beats: 12, BeforeNs: 200 * ms, LongestNs: 240 * ms}, {Who: "neighbour", Beats: 11, BeforeNs: 200 * ms, LongestNs: 990 * ms}}
	refused := []Report{{Trying: "a"}, {Call: "a", Errno: "EPERM"}, {Trying: "b"}, {Call: "b", Errno: "EROFS"}, {Done: true}}
	for _, tt := range []struct {
		name  string
		facts Facts
		want  isolation.FaultOutcome
		why   string // a part of it
	}{
		{"a crash", Facts{Kind: "crash", Heard: []Report{{Trying: "reading"}}, Ended: "killed by signal SIGSEGV"}, isolation.Held, "it ended: killed by signal SIGSEGV; the host answered 12 times, at most 240ms apart, its neighbour answered 11 times"},
		{"a crash that ends nothing", Facts{Kind: "crash", Late: true}, isolation.Held, "could be ended"},
		{"at its limit", Facts{Kind: "memory", Heard: []Report{{Bytes: 240 << 20}}, Ended: "killed by signal SIGKILL", Killed: true}, isolation.Held, "killed it for want of memory, after 240 MiB were touched"},
		{"the host's memory", Facts{Kind: "memory", Heard: []Report{{Bytes: 400 << 20}}, Killed: true, Global: true}, isolation.Disturbed, "the host had no memory left"},
		{"memory refused", Facts{Kind: "memory", Heard: []Report{{Bytes: 1 << 20}, {Call: "mmap", Errno: "ENOMEM", Bytes: 2 << 20, Done: true}}}, isolation.Held, "no more memory (ENOMEM) after 2 MiB"},
		{"memory without end", Facts{Kind: "memory", Heard: []Report{{Bytes: 1 << 30, Done: true}}, Ended: "exit status 0"}, isolation.NotHeld, "1024 MiB were touched, which is its own bound"},
		{"memory, slowly", Facts{Kind: "memory", Heard: []Report{{Bytes: 9 << 20}, {Bytes: 9 << 20, Late: true}}, Ended: "exit status 3"}, isolation.TooSlow, "when its own time was over, 20s; 9 MiB were touched"},
		{"forks at a limit", Facts{Kind: "forks", Heard: []Report{{Trying: "forking"}, {Forks: 60, Most: 60, Refused: 9, Errno: "EAGAIN", Done: true}}}, isolation.Held, "60 processes at once; 9 more were refused (EAGAIN)"},
		{"forks that do not come to it", Facts{Kind: "forks", Pids: 64, Heard: []Report{{Forks: 53, Most: 53, Done: true}}}, isolation.TooSlow, "it came to 53 processes in its time, and its limit is 64"},
		{"forks without one", Facts{Kind: "forks", Heard: []Report{{Forks: 2000, Most: 2000, Done: true}}}, isolation.NotHeld, "2000 processes at once, and none was refused"},
		{"forks in a machine", Facts{Kind: "forks", Machine: true, Heard: []Report{{Forks: 2000, Most: 2000, Done: true}}}, isolation.Held, "all within the machine"},
		{"forks that take the memory", Facts{Kind: "forks", Heard: []Report{{Trying: "forking"}}, Ended: "killed", Killed: true, Global: true}, isolation.Disturbed, "the host had no memory left"},
		{"a panic that is refused", Facts{Kind: "panic", Heard: refused, Ended: "exit status 0"}, isolation.NotPossible, "all that was tried was refused: a: EPERM; b: EROFS"},
		{"a panic that is let through and does nothing", Facts{Kind: "panic", Heard: []Report{{Call: "a"}, {Call: "b", Errno: "EROFS"}, {Done: true}}}, isolation.NotHeld, "a: not refused; b: EROFS"},
		{"a panic of a machine", Facts{Kind: "panic", Machine: true, Heard: []Report{{Trying: "writing c"}}, Ended: "Kernel panic - not syncing: sysrq"}, isolation.Held, "writing c; its own kernel ended: Kernel panic"},
		{"a panic of the host", Facts{Kind: "panic", Of: "process", Lost: "Kernel panic - not syncing: sysrq"}, isolation.Lost, "Kernel panic"},
		{"a panic of nobody", Facts{Kind: "panic", Late: true}, isolation.NotHeld, ""},
		{"a host that does not report", Facts{Kind: "forks", Lost: "it did not report for 20s"}, isolation.Lost, "did not report"},
		{"a witness is killed", Facts{Kind: "memory", Killed: true, Witnesses: []isolation.Witness{calm[0], {Who: "neighbour", Ended: true}}}, isolation.Disturbed, "its neighbour has ended"},
		{"a witness cannot work", Facts{Kind: "forks", Heard: []Report{{Most: 9, Done: true}}, Witnesses: []isolation.Witness{{Who: "host", Failed: 3, Error: "fork: EAGAIN"}}}, isolation.Disturbed, "the host could not work 3 times (fork: EAGAIN)"},
		{"a witness is late", Facts{Kind: "crash", Ended: "x", Witnesses: []isolation.Witness{{Who: "host", BeforeNs: 200 * ms, LongestNs: 2500 * ms}}}, isolation.Disturbed, "silent for 2.5s, and for 200ms at most before"},
		{"a witness that always was", Facts{Kind: "crash", Ended: "x", Witnesses: []isolation.Witness{{Who: "host", BeforeNs: 700 * ms, LongestNs: 2500 * ms}}}, isolation.Held, "at most 2.5s apart"},
	} {
		if tt.facts.Witnesses == nil {
			tt.facts.Witnesses = calm
		}
		got := tt.facts.Judge()
		if got.Outcome != tt.want || !strings.Contains(got.Why, tt.why) || got.Why == "" || got.Kind != tt.facts.Kind {
			t.Errorf("%s: %q, %q; want %q, %q", tt.name, got.Outcome, got.Why, tt.want, tt.why)
		}
	}
	if got := (Facts{Kind: "panic", Heard: refused}).Judge().Attempts; len(got) != 2 || got[1] != (isolation.FaultAttempt{Call: "b", Errno: "EROFS"}) {
		t.Errorf("the attempts: %+v", got)
	}
}

// A watch counts what it hears, and silence that lasts.
func TestWatch(t *testing.T) {
	w := NewWatch("host")
	w.Heard(Beat{Error: "before"})
	w.Begin()
	w.Heard(Beat{})
	w.Heard(Beat{Error: "fork: EAGAIN"})
	r := w.Result()
	if r.Who != "host" || r.Beats != 2 || r.Failed != 1 || r.Error != "fork: EAGAIN" || r.Ended || r.LongestNs <= 0 {
		t.Errorf("%+v", r)
	}
	if again := w.Result(); again.LongestNs < r.LongestNs {
		t.Errorf("a silence became shorter: %d, %d", r.LongestNs, again.LongestNs)
	}
	w.Ended()
	w.Begin()
	if r := w.Result(); !r.Ended || r.Beats != 0 {
		t.Errorf("of one that has ended: %+v", r)
	}
}
