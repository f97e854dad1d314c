package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestChooseOnce: a choice is made again when anything is another than it was, and
// when what was kept makes no sense.
func TestChooseOnce(t *testing.T) {
	write := func(path, content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond) // a tick of the clock that files' times are of
	}
	for _, tt := range []struct {
		name   string
		change func(o *once)
		anew   bool
	}{
		{"nothing has changed", func(*once) {}, false},
		{"the host has booted again", func(o *once) { write(o.boot, "two\n") }, true},
		{"another QEMU", func(o *once) { write(o.qemu, "version 2") }, true},
		{"another device", func(o *once) { os.Remove(o.kvm); write(o.kvm, "") }, true},
		{"no device any more", func(o *once) { os.Remove(o.kvm) }, true},
		{"other rights to the device", func(o *once) { os.Chmod(o.kvm, 0o600) }, true},
		{"two days ago", func(o *once) { edit(t, o.file, `"at":"20`, `"at":"19`) }, true},
		{"cut off", func(o *once) { os.Truncate(o.file, 20) }, true},
		{"nonsense", func(o *once) { write(o.file, "nonsense") }, true},
		{"no accelerator", func(o *once) { edit(t, o.file, `"tcg"`, `""`) }, true},
		{"an unknown accelerator", func(o *once) { edit(t, o.file, `"tcg"`, `"xen"`) }, true},
		{"KVM, without evidence", func(o *once) { edit(t, o.file, `"tcg"`, `"kvm"`) }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			o := once{filepath.Join(dir, "cache", "accelerator.json"), filepath.Join(dir, "boot_id"), filepath.Join(dir, "qemu"), filepath.Join(dir, "kvm")}
			write(o.boot, "one\n")
			write(o.qemu, "version 1")
			write(o.kvm, "")
			made := 0
			anew := func() (Choice, error) {
				made++
				return Choice{Accelerator: TCG, Reason: fmt.Sprint("reason ", made), Fix: "fix", TCG: time.Second}, nil
			}
			first, err := o.choose(anew)
			if err != nil || !first.Earlier.IsZero() {
				t.Fatalf("%+v, %v", first, err)
			}
			tt.change(&o)
			second, err := o.choose(anew)
			if err != nil || (made == 2) != tt.anew || second.Earlier.IsZero() != tt.anew {
				t.Fatalf("made %d times: %+v, %v", made, second, err)
			}
			if !tt.anew {
				if !strings.Contains(second.String(), "reason 1; found out at 2") {
					t.Errorf("it is %v", second)
				}
				second.Earlier = time.Time{}
				if second != first {
					t.Errorf("it was %+v and is %+v", first, second)
				}
			}
		})
	}
	t.Run("cannot be made, or kept", func(t *testing.T) {
		dir := t.TempDir()
		write(filepath.Join(dir, "file"), "in the place of a folder")
		o := once{filepath.Join(dir, "file", "accelerator.json"), filepath.Join(dir, "file"), filepath.Join(dir, "file"), filepath.Join(dir, "file")}
		over := errors.New("interrupted")
		if _, err := o.choose(func() (Choice, error) { return Choice{}, over }); !errors.Is(err, over) {
			t.Errorf("%v", err)
		}
		if c, err := o.choose(func() (Choice, error) { return Choice{Accelerator: KVM, KVM: 1}, nil }); err != nil || c.Accelerator != KVM {
			t.Errorf("%v, %v", c, err)
		}
	})
	t.Run("another architecture", func(t *testing.T) {
		c, err := ChooseOnce(context.Background(), "/none", "arm64", t.TempDir())
		if err != nil || c.Accelerator != TCG || !strings.Contains(c.Reason, "arm64") {
			t.Errorf("%v, %v", c, err)
		}
	})
}

// edit replaces text in a file.
func edit(t *testing.T, path, old, new string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil && !strings.Contains(string(b), old) {
		err = fmt.Errorf("%s has no %s: %s", path, old, b)
	}
	if err == nil {
		err = os.WriteFile(path, []byte(strings.ReplaceAll(string(b), old, new)), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
