package probe

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"vmctr/report/result/isolation"
)

// The test is also the program inside. A verb that it does not know is an error, and never a
// reason to run the tests: those start programs.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 || !strings.HasPrefix(os.Args[1], "probe-") {
		os.Exit(m.Run())
	}
	err := errors.New("no such verb")
	switch os.Args[1] {
	case BatchVerb:
		All = append(All, broken...)
		err = Batch(os.Stdin, os.Stdout)
	case SleepVerb:
		parent, _ := strconv.Atoi(os.Args[2])
		err = Sleep(parent)
	case WitnessVerb:
		err = Witness(os.Stdin, os.Stdout)
	}
	if err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

// broken are attempts that do what none should.
var broken = []Probe{
	{Name: "dies", Attempt: func(string) Attempt { unix.Kill(os.Getpid(), unix.SIGKILL); select {} }},
	{Name: "hangs", Attempt: func(string) Attempt { time.Sleep(time.Hour); return Attempt{} }},
	{Name: "goes", Attempt: func(canary string) Attempt { return did("nothing", canary) }},
	{Name: "prints", Attempt: func(string) Attempt { os.Stdout.WriteString("no JSON\n"); return Attempt{} }},
	{Name: "goes-too", Attempt: func(string) Attempt { return Attempt{Errno: "EPERM", Call: "nothing"} }},
}

// TestNames: each probe has words, each word a probe, each group one of them.
func TestNames(t *testing.T) {
	var names []string
	groups := map[string]int{}
	for _, p := range All {
		names = append(names, p.Name)
		w := isolation.Find(p.Name)
		if w.Title == "" || w.Title == w.Name || w.About == "" || w.Source == "" || !slices.Contains(isolation.Groups, w.Group) {
			t.Errorf("%s: its words are %+v", p.Name, w)
		}
		if !strings.HasPrefix(p.Name, w.Group+"-") {
			t.Errorf("%s is of group %s", p.Name, w.Group)
		}
		if p.Attempt == nil || p.Plant == nil && p.Reached == nil {
			t.Errorf("%s has no attempt, or nothing by which it is judged", p.Name)
		}
		groups[w.Group]++
	}
	for _, w := range isolation.Probes {
		if !slices.Contains(names, w.Name) {
			t.Errorf("%s has words, and no code", w.Name)
		}
	}
	slices.Sort(names)
	if len(slices.Compact(names)) != len(All) {
		t.Errorf("a name is there twice: %q", names)
	}
}

// TestTry: an attempt that breaks the process that makes it costs no other one.
func TestTry(t *testing.T) {
	defer func(all []Probe, d time.Duration) { All, patience = all, d }(All, patience)
	All, patience = append(All, broken...), 500*time.Millisecond
	plan := Plan{}
	for _, p := range broken {
		plan[p.Name] = "the word"
	}
	var out bytes.Buffer
	if err := Try(plan, &out); err != nil {
		t.Fatal(err)
	}
	var got []Attempt
	for in := bufio.NewScanner(&out); in.Scan(); {
		var a Attempt
		if err := json.Unmarshal(in.Bytes(), &a); err != nil {
			t.Fatalf("%q: %v", in.Text(), err)
		}
		got = append(got, a)
	}
	want := []Attempt{
		{Probe: "dies", Broke: "its process ended: signal: killed"},
		{Probe: "hangs", Broke: "it did not end within 500ms"},
		{Probe: "goes", Did: true, Call: "nothing", Saw: "the word"},
		{Probe: "prints", Broke: "its answer was no answer"},
		{Probe: "goes-too", Errno: "EPERM", Call: "nothing"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if err := Try(Plan{"stranger": ""}, &out); err == nil || !strings.Contains(err.Error(), "stranger") {
		t.Errorf("a probe that nobody knows: %v", err)
	}
}

func TestJudge(t *testing.T) {
	word := Probe{Name: "word"}
	change := Probe{Name: "change", Reached: func(_ *Host, canary string, a Attempt) (bool, string) {
		return canary == "gone", "looked at the canary"
	}}
	for _, tt := range []struct {
		name   string
		p      Probe
		canary string
		a      Attempt
		want   isolation.Finding
	}{
		{"refused", word, "", Attempt{Errno: "EPERM", Call: "open(2)"}, isolation.Finding{Verdict: isolation.Blocked, Errno: "EPERM", Evidence: "open(2): EPERM"}},
		{"read something else", word, "", did("open(2)", "canary-0123456789abcdef"), isolation.Finding{Verdict: isolation.Blocked, Own: true, Evidence: "open(2) was carried out"}},
		{"knows the word", word, "", did("open(2)", "behold: WORD!"), isolation.Finding{Verdict: isolation.Reached, Evidence: "open(2) was carried out; it knows the secret word"}},
		{"knows it in spite of all", word, "", Attempt{Errno: "EIO", Call: "read(2)", Saw: "WORD"}, isolation.Finding{Verdict: isolation.Reached, Errno: "EIO", Evidence: "read(2): EIO; it knows the secret word"}},
		{"broke", word, "", Attempt{Broke: "it did not end"}, isolation.Finding{Verdict: isolation.Inconclusive, Evidence: "it did not end"}},
		{"the kernel has it not", word, "", refused("bpf(2)", unix.ENOSYS), isolation.Finding{Verdict: isolation.Inconclusive, Errno: "ENOSYS", Evidence: "bpf(2): ENOSYS"}},
		{"changed", change, "gone", Attempt{Broke: "it did not end"}, isolation.Finding{Verdict: isolation.Reached, Evidence: "it did not end; looked at the canary"}},
		{"claims to have", change, "there", did("kill(2)", ""), isolation.Finding{Verdict: isolation.Blocked, Own: true, Evidence: "kill(2) was carried out; looked at the canary"}},
	} {
		s := &Session{Plan: Plan{tt.p.Name: tt.canary}, host: &Host{words: map[string]string{}}}
		s.host.now = tt.p.Name
		tt.a.Saw = strings.ReplaceAll(tt.a.Saw, "WORD", s.host.Word())
		tt.want.Probe = tt.p.Name
		if d := cmp.Diff(tt.want, s.judge(tt.p, tt.a)); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
	}
}

// TestJudgeAll: one verdict for each probe, whatever the inside says, and none for one
// that it makes up.
func TestJudgeAll(t *testing.T) {
	s, err := Open(t.TempDir(), "/nonexistent")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	findings := s.Judge([]Attempt{{Probe: "made-up", Did: true, Saw: "everything"}})
	if len(findings) != len(All) {
		t.Fatalf("%d findings of %d probes", len(findings), len(All))
	}
	for i, f := range findings {
		if f.Probe != All[i].Name || f.Verdict != isolation.Inconclusive || f.Evidence == "" {
			t.Errorf("%s: %+v", All[i].Name, f)
		}
	}
}

// TestSleep: a process that is a canary ends with whoever has started it.
func TestSleep(t *testing.T) {
	h := &Host{Program: "/proc/self/exe"}
	pid, err := h.process("canary-word")
	if err != nil {
		t.Fatal(err)
	}
	// execve(2) closes descriptors, for which the parent waits, before it sets the arguments.
	var cmdline []byte
	for end := time.Now().Add(5 * time.Second); len(cmdline) == 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
		cmdline, err = os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	}
	if err != nil || !bytes.Contains(cmdline, []byte("canary-word")) {
		t.Errorf("it is %q, %v", cmdline, err)
	}
	for _, f := range h.closers {
		f()
	}
	if err := unix.Kill(pid, 0); err != unix.ESRCH {
		t.Errorf("it is there still: %v", err)
	}
	// The parent is another one from the beginning.
	if err := Sleep(os.Getppid() + 1); err != nil {
		t.Error(err)
	}
}
