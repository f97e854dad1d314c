package vm

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFindFirmware(t *testing.T) {
	dir := t.TempDir()
	empty, full := filepath.Join(dir, "empty"), filepath.Join(dir, "full")
	qemu, broken := filepath.Join(dir, "qemu"), filepath.Join(dir, "broken")
	for _, err := range []error{
		os.Mkdir(empty, 0o755), os.Mkdir(full, 0o755),
		os.WriteFile(filepath.Join(full, "bios-microvm.bin"), nil, 0o644),
		os.WriteFile(qemu, []byte("#!/bin/sh\n[ \"$*\" = '-L help' ] && printf '%s\\n' "+empty+" "+full+"\n"), 0o755),
		os.WriteFile(broken, []byte("#!/bin/sh\nexit 1\n"), 0o755),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		qemu, typ, firmware string
		want                string // of the error, "" for none
		missing             bool
	}{
		{qemu, "microvm", SeaBIOS, "", false},
		{qemu, "q35", SeaBIOS, "no file bios-256k.bin in", true},
		{qemu, "microvm", Qboot, "no file qboot.rom in", true},
		{qemu, "virt", Qboot, "qboot for a machine of type virt", true},
		{broken, "q35", SeaBIOS, "-L help: exit status 1", false},
	} {
		path, err := FindFirmware(t.Context(), tt.qemu, tt.typ, tt.firmware)
		if tt.want == "" {
			if err != nil || path != filepath.Join(full, "bios-microvm.bin") {
				t.Errorf("%s, %s: %q, %v", tt.typ, tt.firmware, path, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, ErrNoFirmware) != tt.missing {
			t.Errorf("%s, %s: error %v, want %q", tt.typ, tt.firmware, err, tt.want)
		}
	}
}
