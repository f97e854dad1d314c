package vm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseMappings(t *testing.T) {
	kib := func(rss, pss, uss int64) Resident { return Resident{rss << 10, pss << 10, uss << 10} }
	for name, want := range map[string][]mapping{
		"qemu": {
			{0x55b45bf2a000, 0x55b45c4c1000, "r-xp", "/usr/bin/qemu-system-x86_64", kib(3000, 1500, 0), 0, 0},
			{0x7f4850a00000, 0x7f4853cc7000, "rw-p", "/var/cache/a folder/vmlinux", kib(40000, 20000, 496), 0, 0},
			{0x7f4853e00000, 0x7f4863e00000, "rw-p", "", kib(90112, 90112, 90112), 80 << 20, 0},
			{0x7f4863e00000, 0x7f4863e01000, "---p", "", Resident{}, 0, 0},
			{0x7f486c000000, 0x7f48abfff000, "rwxp", "", kib(30000, 30000, 30000), 0, 0},
			{0xffffffffff600000, 0xffffffffff601000, "--xp", "[vsyscall]", Resident{}, 0, 0},
		},
		// 136 MiB are there, and neither RSS nor PSS shows a byte of them.
		"hugetlb": {{0x7f4840000000, 0x7f4850000000, "rw-s", "/dev/hugepages/ram (deleted)", Resident{}, 0, 136 << 20}},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := os.Open(filepath.Join("testdata", "smaps", name))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			got, err := parseMappings(f)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(mapping{})); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestParseMappingsBad(t *testing.T) {
	const head = "1000-2000 rw-p 00000000 00:00 0 \n"
	for _, tt := range []struct{ name, text, want string }{
		{"a field of nothing", "Rss: 4 kB\n", "before the first mapping"},
		{"not a number", head + "Rss: four kB\n", `"Rss: four kB"`},
		{"no unit", head + "Pss: 4\n", "no number of kB"},
		{"below nothing", head + "Private_Dirty: -4 kB\n", "no number of kB"},
		{"an end before the start", "2000-1000 rw-p 00000000 00:00 0\n", "is no mapping"},
		{"a line cut short", "1000-2000 rw-p 00000000\n", "is no mapping"},
		{"no permissions", "1000-2000 what 00000000 00:00 0\n1000-2000 r 0 0 0\n", "is no mapping"},
	} {
		if _, err := parseMappings(strings.NewReader(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.want)
		}
	}
}

// TestSort: every mapping is one of the parts, and the parts are the whole.
func TestSort(t *testing.T) {
	dir := t.TempDir()
	c := Config{Kernel: filepath.Join(dir, "vmlinux"), Initramfs: filepath.Join(dir, "initramfs")}
	for _, path := range []string{c.Kernel, c.Initramfs} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile("testdata/smaps/qemu")
	if err != nil {
		t.Fatal(err)
	}
	list, err := parseMappings(strings.NewReader(strings.ReplaceAll(string(text), "/var/cache/a folder/vmlinux", c.Kernel)))
	if err != nil {
		t.Fatal(err)
	}
	m := &Machine{cfg: c}
	got, err := m.sort(list, list[2:3])
	if err != nil {
		t.Fatal(err)
	}
	want := Memory{
		Whole:          Resident{163112 << 10, 141612 << 10, 120608 << 10},
		RAM:            Resident{88 << 20, 88 << 20, 88 << 20},
		Translations:   Resident{30000 << 10, 30000 << 10, 30000 << 10},
		Kernel:         Resident{40000 << 10, 20000 << 10, 496 << 10},
		Program:        Resident{3000 << 10, 1500 << 10, 0},
		RAMTransparent: 80 << 20,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff(Resident{73000 << 10, 51500 << 10, 30496 << 10}, got.QEMU()); diff != "" {
		t.Error(diff)
	}
}

// FuzzParseGuestMemory: what a guest says may be anything.
func FuzzParseGuestMemory(f *testing.F) {
	f.Add("MemTotal: 1 kB\nMemFree: 1 kB\nMemAvailable: 1 kB\nCached: 1 kB\nSlab: 1 kB\nKernelStack: 1 kB\nPageTables: 1 kB\n")
	f.Add("MemTotal: -1 kB")
	f.Fuzz(func(t *testing.T, text string) {
		g, err := parseGuestMemory(text)
		if err == nil && (g.Total < 0 || g.Free < 0 || g.Available < 0 || g.Cached < 0 || g.Slab < 0 || g.KernelStack < 0 || g.PageTables < 0) {
			t.Errorf("%q: %+v", text, g)
		}
	})
}
