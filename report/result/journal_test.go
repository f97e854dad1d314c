package result

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"vmctr/report/result/identity"
)

// needRoot skips a test that must mount, or fails it where BENCH_REQUIRE says
// that the machine must be able to.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if strings.Contains(","+os.Getenv("BENCH_REQUIRE")+",", ",root,") {
		t.Fatal("BENCH_REQUIRE holds root, and this is not root")
	}
	t.Skip("needs root to mount a tmpfs; try: sudo scripts/test")
}

// mountTmpfs mounts a small file system of its own for a test.
func mountTmpfs(t *testing.T, options string, flags uintptr) string {
	t.Helper()
	needRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", flags, options); err != nil {
		t.Fatalf("mounting a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// exampleRun is a run with every kind of record and every field of a sample.
func exampleRun() *Run {
	return &Run{
		Header: Header{
			Schema: Schema, ID: "bench-abcdefgh", Time: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
			Command: []string{"bench", "all"}, Version: "devel", Profile: "quick", Seed: 1<<64 - 1,
			Platforms: []string{"process", "container"}, Experiments: []string{"startup"}, Rounds: 9, Images: []string{"nginx"}, Kernel: "/boot/k",
			Image: Image{Name: "workload", Digest: "sha256:00", Layers: []string{"sha256:01", "sha256:02"}, Bytes: 5},
			Host: Host{
				Hostname: "lab", OS: "Debian", Kernel: identity.Kernel{Sysname: "Linux", Release: "6.12"}, CPUs: 2,
				MemTotal: 4 << 30, Mitigations: map[string]string{"spectre_v2": "Mitigation: Retpolines"},
				Namespaces: map[string]uint64{"pid": 4026531836},
			},
		},
		Images: []StoredImage{{
			Name: "workload:latest", Platform: "linux/amd64", Digest: "sha256:00", Measured: true,
			Layers: []StoredLayer{{DiffID: "sha256:01", Digest: "sha256:03", BlobBytes: 2, ArchiveBytes: 5, DiskBytes: 4096, CreatedBy: "ADD"}},
		}},
		Platforms: []Platform{
			{Name: "process", Title: "process", Kind: "process", Status: Ready, PrepareNs: 5, Parts: []Part{{Name: "kernel", Bytes: 7, WithImage: true}}},
			{Name: "container", Title: "container", Kind: "container", Status: Unavailable, Reason: "no root", Fix: "sudo"},
		},
		Samples: []Sample{
			{Experiment: "startup", Platform: "process", Warmup: true, AtNs: 10, Values: map[string]float64{"first_instruction_ns": 2e6}},
			{Experiment: "startup", Platform: "process", Round: 1, Position: 1, AtNs: 20, Values: map[string]float64{"first_instruction_ns": 1234567.25},
				Phases: []Phase{{Name: "fork", Ns: 1}, {Name: "exec", Ns: 2, ErrorNs: 3}}, Identity: &identity.Identity{BootID: "b", Namespaces: map[string]uint64{"pid": 7}}},
			{Experiment: "startup", Platform: "process", Round: 2, AtNs: 30, Disturbed: "steal 20%", Error: "exit status 1:\n\"µ\" \x01", Fault: InstanceFault},
		},
		Blocks: []Block{{Experiment: "startup", Round: 1, AtNs: 15, Ns: 9, Pressure: map[string]float64{"cpu some": 0.25}, Steal: 0.125, MHz: []float64{800, 3600.5}, Load: 1.5}},
		Endings: []Ending{
			{Experiment: "startup", Platform: "process", AtNs: 35, Value: "first_instruction_ns", Samples: 6, HalfWidth: new(0.0), Aim: 0.015, Reason: PrecisionReached},
			{Experiment: "cold", Platform: "process", Series: "s", N: 8, AtNs: 36, Reason: BudgetSpent},
		},
		Notes:   []Note{{AtNs: 40, Text: "load is high"}},
		Resumes: []Resume{{AtNs: 45, Time: time.Date(2026, 1, 2, 4, 4, 5, 0, time.UTC), ID: "bench-bcdefghi", Cut: 17, Changed: []Change{{"boot_id", "a", "b"}}}},
		End:     &End{AtNs: 50, Reason: "complete"},
	}
}

// records are the lines of a run after its header.
func records(r *Run) []Record {
	var list []Record
	for i := range r.Images {
		list = append(list, Record{Image: &r.Images[i]})
	}
	for i := range r.Platforms {
		list = append(list, Record{Platform: &r.Platforms[i]})
	}
	for i := range r.Samples {
		list = append(list, Record{Sample: &r.Samples[i]})
	}
	for i := range r.Blocks {
		list = append(list, Record{Block: &r.Blocks[i]})
	}
	for i := range r.Endings {
		list = append(list, Record{Ending: &r.Endings[i]})
	}
	for i := range r.Notes {
		list = append(list, Record{Note: &r.Notes[i]})
	}
	for i := range r.Resumes {
		list = append(list, Record{Resume: &r.Resumes[i]})
	}
	if r.End != nil {
		list = append(list, Record{End: r.End})
	}
	return list
}

// write puts a run into dir.
func write(t testing.TB, dir string, r *Run) {
	t.Helper()
	j, err := Create(dir, r.Header)
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range records(r) {
		if err := j.Append(rec); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestRoundTrip(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "by", "Create")
	want := exampleRun()
	write(t, dir, want)
	got, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Run{})); d != "" {
		t.Errorf("what was read is not what was written (-want +got):\n%s", d)
	}
}

func TestCreateRefuses(t *testing.T) {
	occupied := t.TempDir()
	write(t, occupied, exampleRun())
	before, err := os.ReadFile(filepath.Join(occupied, FileName))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	running := t.TempDir()
	j, err := Create(running, Header{})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()

	tests := []struct {
		name string
		dir  func(t *testing.T) string
		is   error
		says string
	}{
		{"another run", func(*testing.T) string { return occupied }, ErrOccupied, "--out"},
		{"a run that goes on", func(*testing.T) string { return running }, ErrOccupied, "--out"},
		{"a file", func(*testing.T) string { return file }, unix.ENOTDIR, file},
		{"below a file", func(*testing.T) string { return filepath.Join(file, "out") }, unix.ENOTDIR, file},
		{"a read-only file system", func(t *testing.T) string { return mountTmpfs(t, "size=64k", unix.MS_RDONLY) }, unix.EROFS, "cannot be written"},
		{"no permission", func(t *testing.T) string {
			if os.Geteuid() == 0 {
				t.Skip("root may write anywhere; try as another user")
			}
			dir := t.TempDir()
			if err := os.Chmod(dir, 0o555); err != nil {
				t.Fatal(err)
			}
			return dir
		}, unix.EACCES, "cannot be written"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := tt.dir(t)
			j, err := Create(dir, Header{ID: "second"})
			if err == nil {
				j.Close()
				t.Fatal("no error")
			}
			if !errors.Is(err, tt.is) {
				t.Errorf("error %q is not %q", err, tt.is)
			}
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %q does not say %q", err, tt.says)
			}
		})
	}
	after, err := os.ReadFile(filepath.Join(occupied, FileName))
	if err != nil || string(before) != string(after) {
		t.Errorf("the journal of the other run was changed (%v)", err)
	}
}

// TestAppendNotANumber: JSON has no NaN, and half a line must not stay.
func TestAppendNotANumber(t *testing.T) {
	dir := t.TempDir()
	j, err := Create(dir, Header{})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	nan := Sample{Values: map[string]float64{"x": Summarize(nil).Median}}
	if err := j.Append(Record{Sample: &nan}); err == nil || !strings.Contains(err.Error(), "NaN") {
		t.Errorf("error = %v", err)
	}
	if err := j.Append(Record{Note: &Note{Text: "next"}}); err != nil {
		t.Fatal(err)
	}
	r, err := Read(dir)
	if err != nil || r.Truncated || len(r.Samples) != 0 || len(r.Notes) != 1 {
		t.Errorf("read %+v, %v", r, err)
	}
}

func TestAppendFromManyGoroutines(t *testing.T) {
	dir := t.TempDir()
	j, err := Create(dir, Header{})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 50 {
				if err := j.Append(Record{Sample: &Sample{Round: i}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := Read(dir)
	if err != nil || len(r.Samples) != 400 {
		t.Errorf("%d samples, %v", len(r.Samples), err)
	}
	if err := j.Append(Record{Note: &Note{}}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestFullDisk(t *testing.T) {
	dir := mountTmpfs(t, "size=64k", 0)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 16<<10), 0o644); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	j, err := Create(out, Header{ID: "full"})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	add := func(n int) error {
		// Lines of an odd length, so that one straddles the last page.
		s := Sample{Experiment: "startup", Platform: "process", Round: n, Error: strings.Repeat("x", 777)}
		return j.Append(Record{Sample: &s})
	}
	n := 0
	for ; ; n++ {
		if err = add(n); err != nil {
			break
		}
		if n > 1000 {
			t.Fatal("64 KiB hold more than 1000 samples")
		}
	}
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "journal") || !strings.Contains(err.Error(), FileName) {
		t.Errorf("error = %v, want one that names the journal and the full disk", err)
	}
	check := func(want int) {
		t.Helper()
		r, err := Read(out)
		if err != nil {
			t.Fatal(err)
		}
		if r.Truncated || len(r.Samples) != want {
			t.Fatalf("%d samples, truncated %v; want %d whole ones", len(r.Samples), r.Truncated, want)
		}
		for i, s := range r.Samples {
			if s.Round != i {
				t.Fatalf("sample %d is of round %d", i, s.Round)
			}
		}
	}
	check(n)

	// There is no room for another run either, and no trace of it stays.
	other := filepath.Join(dir, "other")
	if j, err := Create(other, Header{Command: []string{strings.Repeat("x", 8<<10)}}); err == nil {
		j.Close()
		t.Error("Create on a full disk: no error")
	} else if _, err := os.Stat(filepath.Join(other, FileName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a journal without a header stayed: %v", err)
	}

	// Once there is room again, the journal goes on where it was whole.
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := add(n); err != nil {
		t.Fatal(err)
	}
	check(n + 1)
}

// TestCutAtAnyByte: whatever stays of a journal, its complete lines are read.
func TestCutAtAnyByte(t *testing.T) {
	dir := t.TempDir()
	whole := exampleRun()
	write(t, dir, whole)
	journal, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	header := strings.Index(string(journal), "\n") + 1
	for cut := range len(journal) + 1 {
		left := journal[:cut]
		cutDir := filepath.Join(dir, fmt.Sprint(cut))
		if err := os.Mkdir(cutDir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(cutDir, FileName), left, 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := Read(cutDir)
		if cut < header {
			if err == nil || !strings.Contains(err.Error(), "no header") {
				t.Fatalf("cut at %d of %d, in the header: error = %v", cut, len(journal), err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("cut at %d of %d: %v", cut, len(journal), err)
		}
		want := &Run{Header: whole.Header, Truncated: left[cut-1] != '\n'}
		for _, rec := range records(whole)[:strings.Count(string(left), "\n")-1] {
			if err := want.add(rec); err != nil {
				t.Fatal(err)
			}
		}
		if d := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Run{})); d != "" {
			t.Fatalf("cut at %d of %d (-want +got):\n%s", cut, len(journal), d)
		}
	}
}

// TestOpen: a journal that was cut at any byte is gone on with, and is then as if it had
// never been cut, but for what was lost.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	whole := exampleRun()
	write(t, dir, whole)
	journal, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	header := strings.Index(string(journal), "\n") + 1
	path := filepath.Join(t.TempDir(), FileName)
	check := func(name string, left []byte, lines int, cut int) {
		t.Helper()
		if err := os.WriteFile(path, left, 0o644); err != nil {
			t.Fatal(err)
		}
		j, run, n, err := Open(filepath.Dir(path))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want := &Run{Header: whole.Header}
		for _, rec := range records(whole)[:lines] {
			if err := want.add(rec); err != nil {
				t.Fatal(err)
			}
		}
		if d := cmp.Diff(want, run, cmpopts.IgnoreUnexported(Run{})); d != "" || n != int64(cut) {
			t.Fatalf("%s: %d bytes cut off, want %d (-want +got):\n%s", name, n, cut, d)
		}
		next := Record{Resume: &Resume{ID: "bench-again"}}
		if err := errors.Join(j.Append(next), want.add(next), j.Close()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if run, err = Read(filepath.Dir(path)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if d := cmp.Diff(want, run, cmpopts.IgnoreUnexported(Run{})); d != "" {
			t.Fatalf("%s: gone on with (-want +got):\n%s", name, d)
		}
	}
	step := 0 // each is a call of fsync: of those before the last line, a few
	for at := header; at <= len(journal); at += step {
		if step = 41; at > len(journal)-100 {
			step = 1
		}
		left := journal[:at]
		rest := at - 1 - strings.LastIndex(string(left), "\n")
		check(fmt.Sprintf("cut at %d", at), left, strings.Count(string(left), "\n")-1, rest)
	}
	// The file has grown, and its end never came to the disk: also in the middle.
	check("zeros", append(journal[:header:header], 0, 0, 0), 0, 3)
	lost := append(append(journal[:header:header], 0, 0, 0, '\n'), journal[header:]...)
	check("zeros, and lines", lost, 0, len(lost)-header)

	for name, left := range map[string]string{"cut in its header": string(journal[:header-1]), "empty": "", "zeros": "\x00\x00"} {
		if err := os.WriteFile(path, []byte(left), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := Open(filepath.Dir(path)); err == nil || !strings.Contains(err.Error(), "cut off before it began") {
			t.Errorf("%s: error %v", name, err)
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != left {
			t.Errorf("%s: it was changed to %q (%v)", name, after, err)
		}
	}
	// What is not a journal's is left as it is, and not cut off.
	if err := os.WriteFile(path, append(journal[:header:header], "my notes\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := Open(filepath.Dir(path)); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("somebody's notes: error %v", err)
	}
	if _, _, _, err := Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "not the result folder of a run") {
		t.Errorf("an empty folder: error %v", err)
	}
}

// TestTwoWriters: of two processes only one writes a journal. The second one is this
// test again.
func TestTwoWriters(t *testing.T) {
	if dir := os.Getenv("RESULT_TEST_WRITE"); dir != "" {
		_, _, _, err := Open(dir)
		if !errors.Is(err, ErrBusy) {
			t.Fatalf("opening a journal that is being written: error %v", err)
		}
		_, err = Create(dir, Header{})
		if !errors.Is(err, ErrOccupied) {
			t.Fatalf("making it anew: error %v", err)
		}
		if _, err := Read(dir); err != nil {
			t.Fatalf("reading it: %v", err)
		}
		return
	}
	second := func(dir string) ([]byte, error) {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestTwoWriters$")
		cmd.Env = append(os.Environ(), "RESULT_TEST_WRITE="+dir)
		return cmd.CombinedOutput()
	}
	dir := t.TempDir()
	first, err := Create(dir, Header{ID: "first"})
	if err != nil {
		t.Fatal(err)
	}
	if text, err := second(dir); err != nil {
		t.Errorf("beside one that was made: %v\n%s", err, text)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, _, _, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if text, err := second(dir); err != nil {
		t.Errorf("beside one that was opened: %v\n%s", err, text)
	}
	if err := again.Append(Record{Note: &Note{Text: "alone"}}); err != nil {
		t.Error(err)
	}
}

// TestSchema1: journals of the first schema are read for ever. The file was written by
// the bench that had it, and is not to be made anew.
func TestSchema1(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "schema1.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	run, _, err := read(bytes.NewReader(text), keepAll)
	if err != nil {
		t.Fatal(err)
	}
	h, last := run.Header, run.Samples[len(run.Samples)-1]
	if h.Seed != 1<<64-1 || h.Host.Kernel.Release != "6.12" || h.Image.Bytes != 5 || h.Rounds != 9 || h.Kernel != "/boot/k" ||
		run.Images[0].Layers[0].DiskBytes != 4096 || run.Platforms[1].Status != Unavailable || run.Platforms[0].Parts[0].Bytes != 7 ||
		run.Samples[1].Values["first_instruction_ns"] != 1234567.25 || run.Samples[1].Phases[1].ErrorNs != 3 || !run.Samples[0].Warmup ||
		last.Fault != InstanceFault || last.Disturbed == "" || run.Blocks[0].Pressure["cpu some"] != 0.25 ||
		*run.Endings[0].HalfWidth != 0 || run.Endings[1].Key() != (Key{"cold", "process", "s", 8}) || run.Notes[0].Text != "load is high" ||
		run.Resumes[0].Changed[0] != (Change{"boot_id", "a", "b"}) || run.End.Reason != "complete" || run.Ran() != 50 {
		t.Errorf("it was read as %+v", run)
	}
	newer := strings.Replace(string(text), `"schema":1`, fmt.Sprintf(`"schema":%d`, Schema+1), 1)
	if _, _, err := read(strings.NewReader(newer), keepAll); err == nil || !strings.Contains(err.Error(), "use a newer bench") {
		t.Errorf("of a later schema: error %v", err)
	}
}
