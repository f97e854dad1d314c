package main

import (
	"os"
	"path/filepath"
	"testing"
)

// As Debian's qemu-user-static and binfmt-support register it.
const binfmtArm64 = `enabled
interpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P
flags: POCF
offset 0
magic 7f454c460201010000000000000000000200b700
mask ffffffffffffff00fffffffffffffffffeffffff
`

func TestInterpreter(t *testing.T) {
	const name = "/usr/libexec/qemu-binfmt/aarch64-binfmt-P"
	for _, tt := range []struct {
		what  string
		files map[string]string
		arch  string
		want  string
		fixed bool
	}{
		{"registered", map[string]string{"status": "enabled\n", "qemu-aarch64": binfmtArm64}, "arm64", name, true},
		{"for another", map[string]string{"status": "enabled\n", "qemu-aarch64": binfmtArm64}, "s390x", "", false},
		{"for a 32-bit one", map[string]string{"status": "enabled\n", "qemu-aarch64": binfmtArm64}, "arm", "", false},
		{"all switched off", map[string]string{"status": "disabled\n", "qemu-aarch64": binfmtArm64}, "arm64", "", false},
		{"this one switched off", map[string]string{"status": "enabled\n", "qemu-aarch64": "dis" + binfmtArm64[2:]}, "arm64", "", false},
		{"by its path alone", map[string]string{"status": "enabled\n", "x": "enabled\ninterpreter /bin/x\nflags: OC\noffset 18\nmagic b700\n"}, "arm64", "/bin/x", false},
		{"behind the header", map[string]string{"status": "enabled\n", "x": "enabled\ninterpreter /bin/x\nflags: F\noffset 19\nmagic b700\n"}, "arm64", "", false},
		{"by a file's name", map[string]string{"status": "enabled\n", "x": "enabled\ninterpreter /bin/x\nflags: F\nextension .x\n"}, "arm64", "", false},
		{"unknown architecture", map[string]string{"status": "enabled\n", "qemu-aarch64": binfmtArm64}, "pdp11", "", false},
		{"not mounted", nil, "arm64", "", false},
	} {
		t.Run(tt.what, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range tt.files {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got, fixed := interpreter(dir, tt.arch); got != tt.want || fixed != tt.fixed {
				t.Errorf("%q %v, want %q %v", got, fixed, tt.want, tt.fixed)
			}
		})
	}
}
