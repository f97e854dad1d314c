package probe

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestKnob: a setting that was turned is judged so, and put back; one that somebody else has
// turned since is left alone.
func TestKnob(t *testing.T) {
	path := filepath.Join(t.TempDir(), "knob")
	write := func(value string) {
		if err := os.WriteFile(path, []byte(value+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name    string
		written func(turned string) string
		reached bool
		after   string
	}{
		{"turned", func(turned string) string { return turned }, true, "45"},
		{"not turned", func(string) string { return "45" }, false, "45"},
		{"turned by somebody else", func(string) string { return "7" }, false, "7"},
	} {
		write("45")
		h := &Host{}
		canary, err := knob(another, filepath.Join(t.TempDir(), "none"), path)(h)
		if err != nil {
			t.Fatal(err)
		}
		at, value, _ := strings.Cut(canary, " ")
		if at != path || value == "45" {
			t.Fatalf("the canary is %q", canary)
		}
		write(tt.written(value))
		if yes, why := turned(h, canary, Attempt{}); yes != tt.reached {
			t.Errorf("%s: reached is %t: %s", tt.name, yes, why)
		}
		if err := (&Session{host: &Host{Dir: filepath.Join(t.TempDir(), "h"), closers: h.closers}}).Close(); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if b, _ := os.ReadFile(path); !strings.HasPrefix(string(b), tt.after) {
			t.Errorf("%s: after all it is %q; want %s", tt.name, b, tt.after)
		}
	}
	if _, err := knob(another, path+"-none")(&Host{}); err == nil {
		t.Error("a kernel without the setting has a canary there")
	}
}

func TestAddressOf(t *testing.T) {
	for list, want := range map[string]string{
		"0000000000000000 A fixed_percpu_data\nffffffff9a000000 T _stext\nffffffff9a000010 t other\n": "ffffffff9a000000",
		"0000000000000000 A fixed_percpu_data\n0000000000000000 T _stext\nffffffff9a000000 T _text\n": "",
		"": "",
	} {
		if got := addressOf(bufio.NewScanner(strings.NewReader(list)), "_stext", "_text"); got != want {
			t.Errorf("the address is %q; want %q, in\n%s", got, want, list)
		}
	}
}

func TestUnifiedGroup(t *testing.T) {
	for table, want := range map[string]string{
		"0::/\n": "/",
		"12:pids:/a\n1:name=systemd:/b\n0::/user.slice/c\n": "/user.slice/c",
		"12:pids:/a\n": "/",
	} {
		if got := unifiedGroup(table); got != want {
			t.Errorf("the group is %q; want %q, in\n%s", got, want, table)
		}
	}
}

func TestDescriptors(t *testing.T) {
	event := func(fd int32) []byte { // struct fanotify_event_metadata
		b := make([]byte, 24)
		b[0], b[4] = 24, 3
		copy(b[16:], []byte{byte(fd), byte(fd >> 8), byte(fd >> 16), byte(fd >> 24)})
		return b
	}
	got := descriptors(append(append(event(5), event(-1)...), event(300)...))
	if fmt.Sprint(got) != "[5 300]" {
		t.Errorf("the descriptors are %v", got)
	}
	if got := descriptors(make([]byte, 30)); fmt.Sprint(got) != "[0]" { // a length of 0 ends it
		t.Errorf("of an event without a length: %v", got)
	}
}

// TestNothingStays: a host that was planted with all canaries, with nobody touching them, is
// afterwards as it was.
func TestNothingStays(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: `sudo scripts/test`")
	}
	session := func() (words []string) {
		dir := t.TempDir()
		s, err := Open(filepath.Join(dir), "/proc/self/exe")
		if err != nil {
			t.Fatal(err)
		}
		for name, err := range s.failed {
			t.Logf("%s: %v", name, err)
		}
		for _, f := range s.Judge(nil) {
			if f.Verdict != "inconclusive" {
				t.Errorf("%s, which nobody tried, is %s: %s", f.Probe, f.Verdict, f.Evidence)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%s is there still: %v", dir, err)
		}
		for _, w := range s.host.words {
			words = append(words, strings.TrimPrefix(w, "canary-"))
		}
		return words
	}
	session() // what Go itself opens once, it opens now
	before := countOpen(t)
	words := session()
	for end := time.Now().Add(10 * time.Second); countOpen(t) > before && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond) // goroutines end
	}
	if now := countOpen(t); now > before {
		t.Errorf("%d files are open; before there were %d\n%s", now, before, stacks())
	}
	// The kernel collects keys and interfaces a little later.
	left := words
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		all := namesOfHost(t)
		left = slices.DeleteFunc(left, func(w string) bool { return !strings.Contains(all, w) })
		if len(left) == 0 {
			break
		}
	}
	if len(left) > 0 {
		t.Errorf("of the words, %q are still somewhere:\n%s", left, namesOfHost(t))
	}
	if _, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
		t.Errorf("a process of ours is left: %v", err)
	}
}

// namesOfHost is where canaries are that are not files of the session's folder.
func namesOfHost(t *testing.T) string {
	h := &Host{}
	defer func() {
		for _, f := range h.closers {
			f()
		}
	}()
	var names []string
	for _, file := range []string{"/proc/self/mountinfo", "/proc/keys", "/proc/net/dev", "/proc/net/unix"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
		}
		names = append(names, string(b))
	}
	for _, fstype := range []string{"cgroup2", "tracefs"} {
		dir, err := h.view(fstype)
		if err != nil {
			continue // then there are no canaries in it
		}
		for _, pattern := range []string{"/*", "/instances/*"} {
			found, _ := filepath.Glob(dir + pattern)
			names = append(names, found...)
		}
	}
	return strings.Join(names, "\n")
}

func countOpen(t *testing.T) int {
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

func stacks() string {
	b := make([]byte, 1<<20)
	return string(b[:runtime.Stack(b, true)])
}
