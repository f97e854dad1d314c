package harness

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestClaim: a name is one run's, until that ends or dies.
func TestClaim(t *testing.T) {
	ownRuns(t)
	name := "test-" + filepath.Base(t.TempDir()) + strings.ReplaceAll(t.Name(), "/", "-")
	a, b := newRun(t), newRun(t)
	if err := a.Claim(name); err != nil {
		t.Fatal(err)
	}
	if dir, err := Named(name); err != nil {
		t.Error(err)
	} else if at, err := filepath.EvalSymlinks(dir); err != nil || filepath.Base(at) != a.ID {
		t.Errorf("%s is %s, %v; want %s", name, at, err, a.ID)
	}
	if err := b.Claim(name); err == nil || !strings.Contains(err.Error(), a.ID) {
		t.Errorf("a second one got the name: %v", err)
	}
	sweep(t) // leaves it alone
	if _, err := Named(name); err != nil {
		t.Error(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Named(name); err == nil {
		t.Error("the name outlives its run")
	}
	if err := b.Claim(name); err != nil {
		t.Error(err)
	}
	// One whose run is gone, as after a kill and a sweep of old.
	dead := filepath.Join(base(), namePrefix+name+"-dead")
	if err := os.Symlink("bench-gonegone", dead); err != nil {
		t.Fatal(err)
	}
	sweep(t)
	if exists(dead) {
		os.Remove(dead)
		t.Error("a dead name was not swept")
	}
}
