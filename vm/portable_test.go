package vm

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseLibraries(t *testing.T) {
	got, err := parseLibraries("\tlinux-vdso.so.1 (0x00007ffc)\n\tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f12)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f34)\n")
	if want := []string{"/lib/x86_64-linux-gnu/libz.so.1", "/lib64/ld-linux-x86-64.so.2"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	if _, err := parseLibraries("\tlibz.so.1 => not found\n"); err == nil || !strings.Contains(err.Error(), "libz.so.1 => not found") {
		t.Errorf("a library that is missing: %v", err)
	}
}

// TestExport: what is imported is what was exported; what is not whole is refused.
func TestExport(t *testing.T) {
	s := &Snapshot{cfg: Config{Name: "m", Type: "q35", Memory: 1 << 20, Template: true, TSC: 2500000}, state: []byte("the devices")}
	var err error
	if s.ram, err = memfd("ram"); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.ram.Truncate(s.cfg.Memory); err != nil {
		t.Fatal(err)
	}
	for at, text := range map[int64]string{0: "first", 5*ramPage - 2: "across", s.cfg.Memory - 4: "last"} {
		if _, err := s.ram.WriteAt([]byte(text), at); err != nil {
			t.Fatal(err)
		}
	}
	var file bytes.Buffer
	if err := s.Export(&file); err != nil {
		t.Fatal(err)
	}
	if file.Len() > 6*ramPage {
		t.Errorf("four pages are %d bytes", file.Len())
	}
	back, err := Import(bytes.NewReader(file.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	if !reflect.DeepEqual(back.cfg, s.cfg) || string(back.state) != string(s.state) {
		t.Errorf("%+v and %q, want %+v and %q", back.cfg, back.state, s.cfg, s.state)
	}
	was, is := make([]byte, s.cfg.Memory), make([]byte, s.cfg.Memory)
	s.ram.ReadAt(was, 0)
	if n, err := back.ram.ReadAt(is, 0); int64(n) != s.cfg.Memory || !bytes.Equal(was, is) {
		t.Errorf("the RAM is not the same: %d bytes, %v", n, err)
	}
	for _, n := range []int{0, 10, file.Len() - ramPage, file.Len() - 1} {
		if s, err := Import(bytes.NewReader(file.Bytes()[:n])); err == nil {
			s.Close()
			t.Errorf("%d of %d bytes are a snapshot", n, file.Len())
		}
	}
	s.cfg.Network = UserNetwork()
	if err := s.Export(&file); err == nil || !strings.Contains(err.Error(), "bound to its host") {
		t.Errorf("with a network card: %v", err)
	}
}

// TestImport: a machine goes on from a snapshot that has been on a disk, and its files are
// all that it needs.
func TestImport(t *testing.T) {
	c := machineWith(t, Initramfs{Template: true}, "./testdata/clone", "")
	c.Template = true
	template, _ := start(t, c)
	s, err := template.Save(within(t))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	files, err := s.Files(within(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{c.QEMU, c.Kernel, c.Initramfs} {
		if !slices.Contains(files, want) {
			t.Errorf("%s is not among %q", want, files)
		}
	}
	if !slices.ContainsFunc(files, func(f string) bool { return strings.HasSuffix(f, "bios-256k.bin") }) {
		t.Errorf("there is no firmware in %q", files)
	}
	for _, f := range files {
		if st, err := os.Stat(f); err != nil || !st.Mode().IsRegular() {
			t.Errorf("%s: %v", f, err)
		}
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "snapshot"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := s.Export(file); err != nil {
		t.Fatal(err)
	}
	if _, err := file.Seek(0, unix.SEEK_SET); err != nil {
		t.Fatal(err)
	}
	back, err := Import(file)
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	m, err := back.Restore(within(t), Clone{Name: "bench-test", Dir: filepath.Join(filepath.Dir(c.Dir), "imported")})
	if err != nil {
		t.Fatal(err)
	}
	defer stopped(t, m)
	if lines := bufio.NewScanner(m.Output()); !lines.Scan() || !strings.Contains(lines.Text(), "BootID") {
		t.Errorf("it says %q: %v", lines.Text(), m.Err())
	}
}
