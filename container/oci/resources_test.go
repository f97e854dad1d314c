package main

import (
	"bufio"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestUpdate: by flags and from standard input; what is not named stays.
func TestUpdate(t *testing.T) {
	b := newBundle(t, "pause")
	b.must("", "run", "-d", "c")
	limits := func(memory, pids uint64) {
		t.Helper()
		var e event
		if err := json.Unmarshal([]byte(b.must(`"type":"stats"`, "events", "--stats", "c")), &e); err != nil {
			t.Fatal(err)
		}
		if e.ID != "c" || e.Data.Memory.Usage.Limit != memory || e.Data.Pids.Limit != pids {
			t.Errorf("%s: memory %d of %d, pids %d of %d", e.ID, e.Data.Memory.Usage.Usage, e.Data.Memory.Usage.Limit, e.Data.Pids.Current, e.Data.Pids.Limit)
		}
		if e.Data.CPU.Usage.Total == 0 || e.Data.Memory.Usage.Usage == 0 || e.Data.Pids.Current == 0 {
			t.Errorf("a program that runs has used nothing: %+v", e.Data)
		}
	}
	b.must("", "update", "--memory", "268435456", "--pids-limit", "30", "c")
	limits(256<<20, 30)
	b.must("", "update", "c", "--pids-limit", "31") // flags may stand last
	limits(256<<20, 31)
	cmd := b.command("update", "--resources", "-", "c")
	// As runc documents it: 0 is not set.
	cmd.Stdin = strings.NewReader(`{"memory": {"limit": 134217728, "reservation": 0, "swap": 0}, "cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": "", "mems": ""}, "blockIO": {"weight": 0}}`)
	if out, code := output(t, cmd); code != 0 {
		t.Errorf("update -r -: code %d, %s", code, out)
	}
	limits(128<<20, 31)
	if out, code := b.oci("update", "--memory", "1", "c"); code != 1 || !strings.Contains(out, "linux.resources.memory") {
		t.Errorf("a limit below what it uses: code %d, %s", code, out)
	}
}

// TestEvents: statistics at an interval, a process that was killed for want of
// memory, and the end with the container's.
func TestEvents(t *testing.T) {
	b := newBundle(t, "pause")
	b.change(func(s *specs.Spec) {
		limit := int64(64 << 20)
		s.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit, Swap: &limit}}
	})
	b.must("", "run", "-d", "c")
	cmd := b.command("events", "--interval", "100ms", "c")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
	defer late.Stop()
	seen := map[string]int{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil || e.ID != "c" || (e.Type == "stats") != (e.Data != nil) {
			t.Errorf("%s: %v", lines.Text(), err)
		}
		seen[e.Type]++
		if seen["stats"] == 2 && seen["oom"] == 0 {
			b.oci("exec", "c", "/probe", "allocate 200")
			b.oci("kill", "c", "KILL")
		}
	}
	if err := cmd.Wait(); err != nil || seen["stats"] < 2 || seen["oom"] != 1 {
		t.Errorf("events: %v, %v", seen, err)
	}
}

func TestProcessLines(t *testing.T) {
	var b strings.Builder
	err := processLines(&b, "UID        PID CMD\nroot         1 init\nroot        12 sh -c 34\nroot 34 cat\n", []int{12, 34})
	if want := "UID        PID CMD\nroot        12 sh -c 34\nroot 34 cat\n"; err != nil || b.String() != want {
		t.Errorf("%q, %v", b.String(), err)
	}
	if err := processLines(&b, "USER CMD\n", nil); err == nil {
		t.Error("without a column of PIDs there is no error")
	}
}
