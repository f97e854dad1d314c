package kernel

import (
	"bytes"
	"debug/elf"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestModuleFiles(t *testing.T) {
	dir := t.TempDir()
	files(t, dir, map[string][]byte{
		"modules.builtin":          []byte("kernel/fs/ext4/ext4.ko\nkernel/lib/crc-itu-t.ko\n"),
		"kernel/virtio.ko":         ko("license=GPL", "depends=", "name=virtio"),
		"kernel/virtio_ring.ko.gz": pack(t, "gzip", ko("depends=", "name=virtio_ring")),
		"kernel/virtio-pci.ko.xz":  pack(t, "xz", ko("depends=virtio_ring,virtio", "name=virtio_pci")),
		"kernel/net/net.ko.zst":    pack(t, "zstd", ko("name=net", "depends=virtio-pci,crc-itu-t", "softdep=pre: wish")),
		"kernel/a.ko":              ko("depends=b", "name=a"),
		"kernel/b.ko":              ko("depends=a", "name=b"),
		"kernel/orphan.ko":         ko("depends=gone", "name=orphan"),
		"kernel/text.ko":           []byte("text"),
		"kernel/object.ko":         vmlinux(),
		"kernel/damaged.ko.xz":     []byte("text"),
		"kernel/twice.ko":          ko("name=twice", "version=old"),
		"updates/dkms/twice.ko":    ko("name=twice", "version=new"),
	})
	k := &Kernel{Release: "6.1.0", Modules: dir}
	for _, c := range []struct {
		name   string
		ask    []string
		want   []string
		failed string
	}{
		{"nothing", nil, nil, ""},
		{"dependencies first, each once", []string{"net", "virtio"}, []string{"kernel/virtio_ring.ko.gz", "kernel/virtio.ko", "kernel/virtio-pci.ko.xz", "kernel/net/net.ko.zst"}, ""},
		{"hyphen or underscore", []string{"virtio-ring", "virtio_ring"}, []string{"kernel/virtio_ring.ko.gz"}, ""},
		{"built in", []string{"ext4", "crc_itu_t"}, nil, ""},
		{"an update", []string{"twice"}, []string{"updates/dkms/twice.ko"}, ""},
		{"missing", []string{"virtio", "zfs"}, nil, "kernel 6.1.0 has no module zfs: there is no such file in " + dir},
		{"a missing dependency", []string{"orphan"}, nil, "no module gone, which its module orphan needs"},
		{"a circle", []string{"a"}, nil, "a depends on itself, through b"},
		{"not ELF", []string{"text"}, nil, filepath.Join(dir, "kernel/text.ko")},
		{"no module", []string{"object"}, nil, "this is not a kernel module"},
		{"damaged", []string{"damaged"}, nil, filepath.Join(dir, "kernel/damaged.ko.xz")},
	} {
		t.Run(c.name, func(t *testing.T) {
			modules, err := k.ModuleFiles(c.ask...)
			if c.failed != "" {
				wantError(t, err, c.failed)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, m := range modules {
				rel, err := filepath.Rel(dir, m.Path)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, rel)
				if b, err := m.Read(); err != nil || !bytes.Contains(b, []byte("name="+m.Name+"\x00")) {
					t.Errorf("module %s, file %s: %q, %v", m.Name, rel, b, err)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNoModules(t *testing.T) {
	_, err := (&Kernel{Release: "6.1.0"}).ModuleFiles("virtio")
	var missing *MissingModuleError
	if !errors.As(err, &missing) || missing.Module != "virtio" || missing.Kernel != "6.1.0" {
		t.Errorf("error %#v", err)
	}
	wantError(t, err, "no folder lib/modules/6.1.0")
}

func FuzzModinfo(f *testing.F) {
	f.Add(ko("license=GPL", "depends=virtio,virtio_ring", "name=virtio_pci"))
	f.Add(ko("depends=,,a-b,", "=", "", "depends"))
	f.Add(vmlinux())
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := elf.NewFile(bytes.NewReader(b))
		if err != nil {
			return
		}
		info, err := readModinfo(file)
		if err == nil && slices.Contains(info.depends, "") {
			t.Error("a dependency without a name")
		}
	})
}

func TestModulesReal(t *testing.T) {
	k := realKernel(t)
	start := time.Now()
	modules, err := k.ModuleFiles("virtio-pci", "virtio_console", "overlay", "bridge", "veth")
	took := time.Since(start)
	if err != nil {
		t.Fatal(err)
	}
	// Each loads: what it names is built in or comes before it.
	loaded := make(map[string]bool)
	builtin, err := k.builtin()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range modules {
		info, err := m.info()
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range info.depends {
			if !loaded[d] && !builtin[d] {
				t.Errorf("%s comes before %s, which it needs", m.Name, d)
			}
		}
		loaded[m.Name] = true
		b, err := m.Read()
		if err != nil || !bytes.HasPrefix(b, []byte("\x7fELF")) {
			t.Errorf("%s: %d bytes, %v", m.Path, len(b), err)
		}
	}
	t.Logf("%d modules, found in %v", len(modules), took)
}
