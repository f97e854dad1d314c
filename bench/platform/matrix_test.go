package platform

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vmctr/vm"
	"vmctr/vm/kernel"
)

// TestVariants: they are there for their experiment, and nowhere else.
func TestVariants(t *testing.T) {
	var names []string
	for _, p := range For(Matrix) {
		names = append(names, p.Info().Name)
		if slices.Contains(Names(), p.Info().Name) {
			t.Errorf("%s is one of all platforms", p.Info().Name)
		}
		if found, err := Find(p.Info().Name); err != nil || found != p {
			t.Errorf("%s: found %v, %v", p.Info().Name, found, err)
		}
		if _, ok := MachineType(p.Info().Name); ok {
			t.Errorf("%s is a machine for bench run --on", p.Info().Name)
		}
	}
	for _, want := range []string{"vm-microvm,elf,qboot", "vm-q35,bzimage,qboot", "vm-pc,bzimage,seabios", "vm-pc,bzimage,seabios,default"} {
		if !slices.Contains(names, want) {
			t.Errorf("no %s in %q", want, names)
		}
	}
	if len(names) != 3*2*2+1 {
		t.Errorf("%d variants: %q", len(names), names)
	}
}

// TestBootMissing: a way to boot that a host does not have is told as such, and not
// replaced by another.
func TestBootMissing(t *testing.T) {
	dir := t.TempDir()
	qemu, nothing := filepath.Join(dir, "qemu"), filepath.Join(dir, "no-kernel")
	must(t, os.WriteFile(qemu, []byte("#!/bin/sh\necho "+dir+"\n"), 0o755))
	must(t, os.WriteFile(nothing, nil, 0o644))

	err := Boot{Firmware: vm.Qboot}.check(t.Context(), qemu, "q35")
	if u, ok := errors.AsType[*UnavailableError](err); !ok || !strings.Contains(u.Reason, "no file qboot.rom") {
		t.Errorf("a firmware that QEMU lacks: %v", err)
	}
	if err := (Boot{}).check(t.Context(), "/no/such/qemu", "q35"); err != nil {
		t.Errorf("the firmware that QEMU itself takes: %v", err)
	}
	k := &kernel.Kernel{Image: nothing, Arch: "amd64"}
	if path, format, err := (Boot{Format: formatBzImage}).kernel(k, dir); path != nothing || format != "bzImage" || err != nil {
		t.Errorf("a bzImage as it is: %q, %q, %v", path, format, err)
	}
	if _, _, err := (Boot{Format: formatELF}).kernel(k, dir); err == nil {
		t.Error("an ELF file out of an empty kernel")
	}
}
