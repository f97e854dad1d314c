package probe

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSweep: what a process has left that is no more goes, and what one has that lives stays.
func TestSweep(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: `sudo scripts/test`")
	}
	const nobody = 1 << 22 // above all PIDs (PID_MAX_LIMIT)
	h := &Host{words: map[string]string{}, now: "sweep"}
	defer func() {
		for _, f := range slices.Backward(h.closers) {
			if err := f(); err != nil {
				t.Error(err)
			}
		}
	}()
	groups, err := h.view("cgroup2")
	if err != nil {
		t.Skipf("needs cgroup v2: %v", err)
	}
	if _, err := h.group(); err != nil {
		t.Fatal(err)
	}
	if _, err := h.queue(0o600); err != nil {
		t.Fatal(err)
	}
	left := fmt.Sprintf("%s%d-%s", groupPrefix, nobody, h.hex())
	queue, err := openQueue(left, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(int(queue))
	for _, err := range []error{
		os.Mkdir(filepath.Join(groups, left), 0o755),
		os.WriteFile(filepath.Join(shmDir, left), nil, 0o600),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	swept, err := Sweep()
	if err != nil {
		t.Error(err)
	}
	for _, want := range []string{"file " + left, "message queue " + left, "control group " + left} {
		if !slices.Contains(swept, want) {
			t.Errorf("%s is not among what was swept: %q", want, swept)
		}
	}
	if again, err := Sweep(); err != nil || len(again) > 0 {
		t.Errorf("swept again: %q, %v", again, err)
	}
	if _, err := os.Stat(filepath.Join(groups, h.groupName())); err != nil {
		t.Errorf("a group of a process that lives: %v", err)
	}
	if q, err := openQueue(h.groupName(), unix.O_RDONLY); err != nil {
		t.Errorf("a queue of a process that lives: %v", err)
	} else {
		unix.Close(int(q))
	}
}
