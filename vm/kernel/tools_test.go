package kernel

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestUnpackTools unpacks what the programs write with which kernels are built, by
// the options that the build gives them (scripts/Makefile.lib, scripts/xz_wrap.sh).
func TestUnpackTools(t *testing.T) {
	kernel := append(vmlinux(note("Xen", 18, 0, 0, 0, 1)), calls(100_000)...)
	large := append(vmlinux(), calls(9<<20)...) // two blocks of LZ4
	for _, c := range []struct {
		command string
		content []byte
	}{
		{"gzip -n -f -9", kernel},
		{"bzip2 -9", kernel},
		{"xz --format=lzma -9", kernel},
		{"xz --check=crc32 --x86 --lzma2=dict=8MiB", kernel},
		{"lz4 -l -1 - -", large},
		{"zstd -22 --ultra -q", kernel},
	} {
		t.Run(c.command, func(t *testing.T) {
			packed := tool(t, c.command, c.content)
			if !strings.HasPrefix(c.command, "gzip") {
				packed = le.AppendUint32(packed, uint32(len(c.content)))
			}
			got, err := Unpack(bzImage("6.1.0", packed))
			if err != nil || !bytes.Equal(got, c.content) {
				t.Errorf("%d bytes of %d: %v", len(got), len(c.content), err)
			}
		})
	}
}

// TestModuleTools does so for modules (scripts/Makefile.modinst).
func TestModuleTools(t *testing.T) {
	module := append(ko("name=virtio_pci", "depends=virtio"), calls(100_000)...)
	for _, c := range []struct{ suffix, command string }{
		{".ko.gz", "gzip -n -f"},
		{".ko.xz", "xz --check=crc32 --lzma2=dict=1MiB -f"},
		{".ko.zst", "zstd -T0 --rm -f -q"},
	} {
		t.Run(c.suffix, func(t *testing.T) {
			dir := t.TempDir()
			files(t, dir, map[string][]byte{"kernel/virtio_pci" + c.suffix: tool(t, c.command, module), "kernel/virtio.ko": ko("name=virtio")})
			k := &Kernel{Release: "6.1.0", Modules: dir}
			modules, err := k.ModuleFiles("virtio-pci")
			if err != nil || len(modules) != 2 {
				t.Fatalf("%+v, %v", modules, err)
			}
			if got, err := modules[1].Read(); err != nil || !bytes.Equal(got, module) {
				t.Errorf("%s: %d bytes of %d: %v", filepath.Base(modules[1].Path), len(got), len(module), err)
			}
		})
	}
}

// tool has a program compress.
func tool(t *testing.T, command string, content []byte) []byte {
	t.Helper()
	args := strings.Fields(command)
	if _, err := exec.LookPath(args[0]); err != nil {
		t.Skip(err, "; try: apt-get install gzip bzip2 xz-utils lz4 zstd")
	}
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Stdin = bytes.NewReader(content)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v: %s", cmd, err, errs.String())
	}
	return out
}
