package report

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// asking is a document with all that a section can have.
func asking() *document {
	return &document{
		Title: "A test",
		Sections: []section{
			{ID: "first", Title: "First section", Blocks: []block{
				paragraph{"Lead.", "See [the second](#second), [a table](#second-in-full), [nothing](#not-in-this-run) and [a page](https://example.org/a?b=c)."},
			}, Ask: []string{"What did **this** show?", "Is [the second](#second) another?"}},
			{ID: "second", Title: "Second section", Blocks: []block{heading("A heading"), anchor("second-in-full"), paragraph{"", "Text."}},
				Ask: slices.Repeat([]string{"A question of which there are many?"}, 12)},
		},
	}
}

func writePDF(t *testing.T, d *document, paper Paper) string {
	t.Helper()
	data, err := renderPDF(d, paper)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "report.pdf")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// pages is the text of each page.
func pages(t *testing.T, path string) []string {
	t.Helper()
	out, err := exec.Command(tool(t, "pdftotext"), "-layout", path, "-").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\f"), "\f")
}

// TestPDFContents: the table of contents names every section and heading, and each
// begins on the page that it says.
func TestPDFContents(t *testing.T) {
	all := runs()
	docs := map[string]*document{"asking": asking(), "selftest": newModel(selftestRun(0.08)).document()}
	for _, name := range []string{"many-platforms", "header-only", "matrix"} {
		docs[name] = newModel(all[name]).document()
	}
	for _, name := range sortedKeys(docs) {
		t.Run(name, func(t *testing.T) {
			d := docs[name]
			page := pages(t, writePDF(t, d, A4))
			words := func(s string) string { return strings.Join(strings.Fields(s), " ") }
			contents := page[min(1, len(page)-1)]
			if len(d.Lecture.Rows) == 0 {
				contents = page[0]
			}
			if !strings.Contains(contents, "Contents") {
				t.Fatalf("no contents:\n%s", contents)
			}
			listed := map[string]int{}
			for _, m := range regexp.MustCompile(`(?m)^ *(.*?)  +(\d+)$`).FindAllStringSubmatch(contents, -1) {
				n, err := strconv.Atoi(m[2])
				if err != nil || n > len(page) {
					t.Fatalf("%q of %d pages", m[0], len(page))
				}
				listed[words(m[1])] = n
				title := words(m[1])
				if text := words(page[n-1]); !strings.Contains(text, title) && !strings.HasPrefix(title, "The lecture's table") {
					t.Errorf("%q is not on page %d", title, n)
				}
			}
			var want []string
			for _, s := range d.Sections {
				want = append(want, s.Title)
				for _, b := range s.Blocks {
					if h, ok := b.(heading); ok {
						want = append(want, string(h))
					}
				}
			}
			for _, title := range want {
				if listed[words(title)] == 0 {
					t.Errorf("the contents have no %q:\n%s", title, contents)
				}
			}
			for i, p := range page {
				if number := fmt.Sprintf("page %d of %d", i+1, len(page)); !strings.Contains(p, number) {
					t.Errorf("a page has no %q", number)
				}
			}
		})
	}
}

// TestPDFLinks: what leads to a place of the document leads to a page of it.
func TestPDFLinks(t *testing.T) {
	docs := map[string]*document{"asking": asking(), "matrix": newModel(runs()["matrix"]).document()}
	for name, d := range docs {
		data, err := renderPDF(d, A4)
		if err != nil {
			t.Fatal(err)
		}
		isPage := map[string]bool{}
		for _, m := range regexp.MustCompile(`(\d+) 0 obj\s+<</Type /Page\s`).FindAllSubmatch(data, -1) {
			isPage[string(m[1])] = true
		}
		inside := regexp.MustCompile(`/Dest \[(\d+) 0 R /XYZ \S+ (\S+) null\]`).FindAllSubmatch(data, -1)
		for _, m := range inside {
			if y, err := strconv.ParseFloat(string(m[2]), 64); !isPage[string(m[1])] || err != nil || y <= 0 || y > 842 {
				t.Errorf("%s: %s leads nowhere", name, m[0])
			}
		}
		if len(isPage) == 0 || len(inside) == 0 {
			t.Errorf("%s: %d pages, %d links", name, len(isPage), len(inside))
		}
		if name != "asking" {
			continue
		}
		// Four places in the contents and the bookmarks, and three links in the texts.
		if n := bytes.Count(data, []byte("/Subtype /Link")); n != 3+4 {
			t.Errorf("%d links", n)
		}
		if !bytes.Contains(data, []byte("(https://example.org/a?b=c)")) {
			t.Error("no address")
		}
	}
}

// TestPDFAsk: each question is there once, on whichever page.
func TestPDFAsk(t *testing.T) {
	d := asking()
	for _, paper := range []Paper{A4, Letter} {
		text := strings.Join(pages(t, writePDF(t, d, paper)), "\f")
		for _, want := range []string{"Name", "1. What did this show?", "2. Is the second another?", "12. A question", "Questions for you, continued"} {
			if !strings.Contains(strings.Join(strings.Fields(text), " "), want) {
				t.Errorf("%s: no %q", paper, want)
			}
		}
		if n := strings.Count(text, "of which there are many"); n != 12 {
			t.Errorf("%s: %d questions", paper, n)
		}
	}
}

// TestPDFMargins: no text lies outside of a page's margins, and the first page holds
// the whole table of the lecture.
func TestPDFMargins(t *testing.T) {
	pdftotext := tool(t, "pdftotext")
	word := regexp.MustCompile(`<page width="([^"]+)" height="([^"]+)"|<word xMin="([^"]+)" yMin="([^"]+)" xMax="([^"]+)" yMax="([^"]+)">([^<]*)`)
	all := runs()
	for _, name := range sortedKeys(all) {
		for paper, size := range map[Paper][2]float64{A4: {595.28, 841.89}, Letter: {612, 792}} {
			if paper == Letter && name != "many-platforms" && name != "matrix" {
				continue
			}
			path := pdf(t, all[name], paper)
			out, err := exec.Command(pdftotext, "-bbox", path, "-").Output()
			if err != nil {
				t.Fatal(err)
			}
			number := func(s string) float64 {
				v, err := strconv.ParseFloat(s, 64)
				if err != nil {
					t.Fatal(err)
				}
				return v
			}
			text := textWidth * 72 / 25.4
			page := 0
			for _, m := range word.FindAllStringSubmatch(string(out), -1) {
				if m[1] != "" {
					page++
					if w, h := number(m[1]), number(m[2]); max(w-size[0], size[0]-w, h-size[1], size[1]-h) > 0.1 {
						t.Fatalf("%s, %s: the page is %v by %v points", name, paper, w, h)
					}
					continue
				}
				margin := (size[0] - text) / 2
				if number(m[3]) < margin-1 || number(m[5]) > margin+text+1.5 || number(m[4]) < 30 || number(m[6]) > size[1]-20 {
					t.Errorf("%s, %s, page %d: %q is outside of the margins: %v", name, paper, page, m[7], m[3:7])
				}
			}
			if first := pages(t, path)[0]; !strings.Contains(first, "Portability") || !strings.Contains(first, "The lecture speaks of Docker") {
				t.Errorf("%s, %s: the lecture's table does not fit on the first page", name, paper)
			}
		}
	}
}

// TestPDFSame: the same run gives the same bytes on any paper, and the document says
// what it is.
func TestPDFSame(t *testing.T) {
	run := runs()["nested"]
	for _, paper := range []Paper{A4, Letter} {
		one, err := renderPDF(newModel(run).document(), paper)
		if err != nil {
			t.Fatal(err)
		}
		two, err := renderPDF(newModel(run).document(), paper)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(one, two) {
			t.Errorf("%s: the same run gave other bytes", paper)
		}
	}
	out, err := exec.Command(tool(t, "pdfinfo"), "-isodates", pdf(t, run, A4)).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Containers and virtual machines, measured", "Author:          bench", "Run 20261124-024322-k3f9", "2026-11-24T02:43:22"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the document does not say %q:\n%s", want, out)
		}
	}
}
