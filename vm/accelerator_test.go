package vm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// qemu gives QEMU's path, or skips.
func qemu(t *testing.T) string {
	t.Helper()
	path, err := Find()
	if err != nil {
		if slices.Contains(strings.Split(os.Getenv("BENCH_REQUIRE"), ","), "qemu") {
			t.Fatal(err)
		}
		t.Skip(err, "; install qemu-system-x86, or: sudo scripts/setup")
	}
	return path
}

// TestBootSector: a real QEMU runs the code, and the answer is right.
func TestBootSector(t *testing.T) {
	took, err := boot(t.Context(), qemu(t), TCG, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if took <= 0 {
		t.Errorf("took %v", took)
	}
	if s := sumStatus(); s == 0 || s == 1 {
		t.Errorf("the status %d of a guest that ran cannot be told from an error of QEMU", s)
	}
}

// TestCompare runs stand-ins for QEMU, which are shell scripts, on hosts of
// every kind.
func TestCompare(t *testing.T) {
	right := fmt.Sprintf("exit %d", sumStatus())
	for _, tt := range []struct {
		name, tcg, kvm string
		want           Accelerator
		reason         string
	}{
		{"hardware", "sleep 0.6; " + right, "sleep 0.05; " + right, KVM, ""},
		{"slower than the emulator", "sleep 0.05; " + right, "sleep 0.3; " + right, TCG, "slower than the emulator"},
		{"hangs", "sleep 0.05; " + right, "exec sleep 100", TCG, "did not end within 1s"},
		{"fails", right, "echo 'kvm: error: failed to set MSR 0x48' >&2; exit 1", TCG, "exit status 1: kvm: error: failed to set MSR 0x48"},
		{"wrong sum", right, "exit 99", TCG, "exit status 99"},
		{"ends without an answer", right, "exit 0", TCG, "QEMU ended before the boot sector did"},
		{"aborts", right, "kill -ABRT $$", TCG, "signal: aborted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, err := compare(t.Context(), fakeQEMU(t, tt.tcg, tt.kvm))
			if err != nil {
				t.Fatal(err)
			}
			if c.Accelerator != tt.want {
				t.Errorf("chose %v", c)
			}
			if !strings.Contains(c.Reason, tt.reason) || (c.Reason == "") != (tt.want == KVM) {
				t.Errorf("reason %q, want %q", c.Reason, tt.reason)
			}
		})
	}
	t.Run("QEMU is broken", func(t *testing.T) {
		_, err := compare(t.Context(), fakeQEMU(t, "echo 'error while loading shared libraries' >&2; exit 127", "exit 0"))
		if err == nil || !strings.Contains(err.Error(), "TCG") || !strings.Contains(err.Error(), "shared libraries") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("interrupted", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		over := errors.New("interrupted")
		time.AfterFunc(100*time.Millisecond, func() { cancel(over) })
		if _, err := compare(ctx, fakeQEMU(t, right, "exec sleep 100")); !errors.Is(err, over) {
			t.Errorf("got %v", err)
		}
	})
}

// fakeQEMU is a program that behaves in one way for each accelerator.
func fakeQEMU(t *testing.T, tcg, kvm string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "qemu")
	script := "#!/bin/sh\ncase \"$*\" in *accel=kvm*) " + kvm + ";; *) " + tcg + ";; esac\n"
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNoKVM(t *testing.T) {
	for _, tt := range []struct {
		err         error
		reason, fix string
	}{
		{fs.ErrNotExist, "there is no /dev/kvm", "modprobe"},
		{unix.ENODEV, "there is no /dev/kvm", "modprobe"},
		{fs.ErrPermission, "may not open", "group kvm"},
		{unix.EIO, "input/output error", ""},
	} {
		reason, fix := noKVM(&os.PathError{Op: "open", Path: "/dev/kvm", Err: tt.err})
		if !strings.Contains(reason, tt.reason) || !strings.Contains(fix, tt.fix) {
			t.Errorf("%v: %q, %q", tt.err, reason, fix)
		}
	}
}
