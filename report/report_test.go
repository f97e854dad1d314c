package report

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vmctr/report/result"
)

var (
	update = flag.Bool("update", false, "write the golden files anew")
	keep   = flag.String("keep", "", "folder to write the reports of all synthetic runs to, to be looked at")
)

// golden compares with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; go test ./report -update writes it", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got); go test ./report -update accepts it:\n%s", path, diff)
	}
}

func TestTable(t *testing.T) {
	all := runs()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := Table(&b, all[name], Terminal{Width: 80}); err != nil {
				t.Fatal(err)
			}
			fits(t, b.String(), 80)
			golden(t, "table-"+name+".txt", b.Bytes())
		})
	}
}

// TestTableNarrow: at any width the table fits, and it names every platform.
func TestTableNarrow(t *testing.T) {
	all := runs()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		for width := 40; width <= 120; width += 4 {
			var b bytes.Buffer
			if err := Table(&b, all[name], Terminal{Width: width}); err != nil {
				t.Fatal(err)
			}
			fits(t, b.String(), width)
			for _, p := range newModel(all[name]).platforms {
				// A long name is broken behind its comma.
				for part := range strings.SplitAfterSeq(p.Name, ",") {
					if !strings.Contains(b.String(), part) {
						t.Errorf("%s at %d: no %q", name, width, part)
					}
				}
			}
			if name == "many-platforms" && (width == 40 || width == 60) {
				golden(t, fmt.Sprintf("table-%s-%d.txt", name, width), b.Bytes())
			}
		}
	}
}

func TestBreakName(t *testing.T) {
	for _, tt := range []struct {
		name  string
		width int
		want  []string
	}{
		{"  process", 9, []string{"  process"}},
		{"  vm-q35 * [1] [2]", 18, []string{"  vm-q35 * [1] [2]"}},
		{"  vm-q35 * [1] [2]", 14, []string{"  vm-q35 * [1]", "    [2]"}},
		{"  container,-seccomp", 14, []string{"  container,", "    -seccomp"}},
		{"  abcdefghij", 8, []string{"  abcdef", "    ghij"}},
		{"Memory: cgroup", 8, []string{"Memory:", "  cgroup"}},
		{"", 8, []string{""}},
	} {
		if d := cmp.Diff(tt.want, breakName(tt.name, tt.width)); d != "" {
			t.Errorf("%q in %d: %s", tt.name, tt.width, d)
		}
	}
}

func TestMarkdown(t *testing.T) {
	all := runs()
	for _, name := range []string{"complete", "emulated", "vm-failed", "few-samples", "header-only", "nested", "matrix"} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			writeMarkdown(&b, newModel(all[name]).document())
			golden(t, "report-"+name+".md", b.Bytes())
			b.Reset()
			if err := Markdown(&b, all[name]); err != nil {
				t.Fatal(err)
			}
			golden(t, "short-"+name+".md", b.Bytes())
			if n := bytes.Count(b.Bytes(), []byte("\n")); n > 100 {
				t.Errorf("%d lines are too many for a merge request", n)
			}
		})
	}
}

func TestSVG(t *testing.T) {
	all := runs()
	for _, name := range []string{"emulated", "few-samples", "nested", "matrix"} {
		for _, f := range newModel(all[name]).document().figures() {
			t.Run(name+"/"+f.Name, func(t *testing.T) {
				svg, err := renderSVG(f)
				if err != nil {
					t.Fatal(err)
				}
				golden(t, f.Name+"-"+name+".svg", svg)
			})
		}
	}
}

// TestWrite renders every run twice and compares all bytes.
func TestWrite(t *testing.T) {
	all := runs()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) {
			dirs := []string{t.TempDir(), t.TempDir()}
			if *keep != "" {
				dirs[0] = filepath.Join(*keep, name)
			}
			for _, dir := range dirs {
				if err := Write(dir, all[name], A4); err != nil {
					t.Fatal(err)
				}
			}
			for _, f := range Files() {
				one, err := os.ReadFile(filepath.Join(dirs[0], f))
				if err != nil {
					continue // a run without figures has no plots, and plots is a folder
				}
				two, err := os.ReadFile(filepath.Join(dirs[1], f))
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(one, two) {
					t.Errorf("%s: the same run gave other bytes", f)
				}
			}
			left, err := filepath.Glob(filepath.Join(dirs[1], "*", ".*"))
			if err != nil || len(left) > 0 {
				t.Errorf("temporary files are left: %v %v", left, err)
			}
		})
	}
}

// tool is a program that checks the PDF.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if slices.Contains(strings.Split(os.Getenv("BENCH_REQUIRE"), ","), "pdf") {
			t.Fatalf("%v, and BENCH_REQUIRE has pdf", err)
		}
		t.Skipf("%v; try: apt-get install poppler-utils qpdf", err)
	}
	return path
}

func pdf(t *testing.T, run *result.Run, paper Paper) string {
	t.Helper()
	return writePDF(t, newModel(run).document(), paper)
}

func TestPDFText(t *testing.T) {
	pdftotext := tool(t, "pdftotext")
	all := runs()
	for name, want := range map[string][]string{
		"emulated":              {"vm-q35 (emulated)", "Emulated.", "Startup time", "6.", "µs", "Memory", "page 1 of", "--seed 2731846501", "Appendix: glossary"},
		"complete":              {"Agrees.", "as the lecture says", "Portability", "of guest kernel and initramfs", "linux/amd64 and linux/arm64", "bench build: packages of nginx"},
		"container-unavailable": {"container is not available on this host", "sudo scripts/bench all", "Undecided."},
		"vm-failed":             {"vm-q35 failed", "Kernel panic"},
		"few-samples":           {"Too few samples", "CPU pressure avg10 rose", "does not say what the image was made of"},
		"interrupted":           {"This run was interrupted after 31"},
		"truncated":             {"This run was cut off"},
		"header-only":           {"not measured", "Not measured.", "no value of it on any platform"},
		"many-platforms":        {"container,-seccomp", "vm-q35,bzimage (emulated)", "nested (emulated)"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := exec.Command(pdftotext, "-layout", pdf(t, all[name], A4), "-").Output()
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(strings.Fields(string(out)), " ")
			for _, w := range want {
				if !strings.Contains(got, w) {
					t.Errorf("the text has no %q", w)
				}
			}
			if strings.Contains(got, "/home/student") {
				t.Error("the text has a path of the machine that measured")
			}
		})
	}
}

func TestPDFValid(t *testing.T) {
	qpdf := tool(t, "qpdf")
	all := runs()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) {
			for _, paper := range []Paper{A4, Letter} {
				if out, err := exec.Command(qpdf, "--check", pdf(t, all[name], paper)).CombinedOutput(); err != nil {
					t.Errorf("qpdf --check, %s: %v\n%s", paper, err, out)
				}
			}
		})
	}
}
