package harness

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeKSM is the folder of a kernel that has it.
func fakeKSM(t *testing.T) (look func() string) {
	t.Helper()
	real := ksmFolder
	t.Cleanup(func() { ksmFolder = real })
	ksmFolder = t.TempDir()
	for name, value := range map[string]string{"run": "0\n", "pages_to_scan": "100\n", "sleep_millisecs": "20\n", "full_scans": "7\n"} {
		if err := os.WriteFile(filepath.Join(ksmFolder, name), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return func() string {
		var all []string
		for _, name := range ksmSettings {
			b, err := os.ReadFile(filepath.Join(ksmFolder, name))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, strings.TrimSpace(string(b)))
		}
		return strings.Join(all, " ")
	}
}

// TestKSM: the settings of the host are put back as they were before the first change, by
// the run itself, or by who sweeps it when it was killed.
func TestKSM(t *testing.T) {
	ownRuns(t)
	look := fakeKSM(t)
	r := newRun(t)
	for _, run := range []string{"0", "1"} {
		if err := SetKSM(r.Dir, map[string]string{"run": run, "pages_to_scan": "500"}); err != nil {
			t.Fatal(err)
		}
	}
	if got := look(); !strings.HasPrefix(got, "500") {
		t.Errorf("set to %s", got)
	}
	if n, err := KSMCount("full_scans"); err != nil || n != 7 {
		t.Errorf("%d scans, %v", n, err)
	}
	// Another run would take what this one has set for the host's own.
	second := newRun(t)
	if err := SetKSM(second.Dir, map[string]string{"run": "1"}); err == nil || !strings.Contains(err.Error(), r.ID) {
		t.Errorf("a second run changes them too: %v", err)
	}
	if err := RestoreKSM(second.Dir); err != nil {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if got := look(); got != "100 20 0" {
		t.Errorf("after the run it is %s", got)
	}
	// Killed: its lock is free, and its folder is there.
	if err := SetKSM(second.Dir, map[string]string{"run": "1"}); err != nil {
		t.Fatal(err)
	}
	second.lock.Close()
	sweep(t)
	if got := look(); got != "100 20 0" {
		t.Errorf("after the sweep it is %s", got)
	}
}

// TestNoKSM: of a kernel without it nothing is changed, and the error says so.
func TestNoKSM(t *testing.T) {
	ownRuns(t)
	fakeKSM(t)
	if err := os.Remove(filepath.Join(ksmFolder, "run")); err != nil {
		t.Fatal(err)
	}
	r := newRun(t)
	if err := SetKSM(r.Dir, map[string]string{"run": "1"}); err == nil || !strings.Contains(err.Error(), "no KSM") {
		t.Errorf("error %v", err)
	}
	if exists(filepath.Join(ksmFolder, "run")) || exists(filepath.Join(r.Dir, ksmSaved)) {
		t.Error("a file was made")
	}
	// One that was cut while it was written tells that nothing was changed yet.
	if err := os.WriteFile(filepath.Join(r.Dir, ksmSaved), []byte(`{"ru`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := RestoreKSM(r.Dir); err != nil {
		t.Error(err)
	}
}
