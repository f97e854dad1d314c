package report

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vmctr/report/result"
)

// pageOf writes the page of a run into a file.
func pageOf(t *testing.T, run *result.Run) string {
	t.Helper()
	var b bytes.Buffer
	if err := HTML(&b, run); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), htmlFile)
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestPageInBrowser opens the pages of runs and looks at them as readers do.
func TestPageInBrowser(t *testing.T) {
	b, all := browse(t), runs()
	for _, name := range []string{"emulated", "many-platforms", "header-only", "vm-failed"} {
		t.Run(name, func(t *testing.T) {
			b.events = nil
			b.navigate(pageOf(t, all[name]))
			for _, width := range []int{360, 1280, 1920} {
				for _, scheme := range []string{"light", "dark"} {
					b.window(width, 900, scheme)
					if over := eval[int](b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
						t.Errorf("%d pixels wide: the page is %d wider", width, over)
					}
					if faint := eval[[]string](b, faintTexts); len(faint) > 0 {
						t.Errorf("%d pixels wide, %s: too little contrast: %v", width, scheme, faint)
					}
					if *keep != "" {
						b.picture(filepath.Join(*keep, fmt.Sprintf("%s-%d-%s.png", name, width, scheme)), true)
					}
				}
			}
			if double := eval[[]string](b, `(() => { const ids = [...document.querySelectorAll('[id]')].map(e => e.id); return ids.filter((id, i) => ids.indexOf(id) !== i); })()`); len(double) > 0 {
				t.Errorf("more than one element has the ID %v", double)
			}
			if lost := eval[[]string](b, `[...document.querySelectorAll('a[href^="#"]')].map(a => a.getAttribute('href')).filter(href => !document.getElementById(href.slice(1)))`); len(lost) > 0 {
				t.Errorf("links lead to nothing: %v", lost)
			}
			if nameless := eval[[]string](b, `[...document.querySelectorAll('svg')].filter(svg => svg.getAttribute('aria-labelledby').split(' ').some(id => !document.getElementById(id)?.textContent)).map(svg => svg.outerHTML.slice(0, 200))`); len(nameless) > 0 {
				t.Errorf("plots without a title or a description: %v", nameless)
			}
			if list := b.complaints(); len(list) > 0 {
				t.Errorf("the browser complains: %s", strings.Join(list, "\n"))
			}
		})
	}
}

// faintTexts gives the texts whose contrast with their ground is less than the 4.5 that
// readers need (WCAG 2.2, 1.4.3). Plots have a ground of their own, in all schemes.
const faintTexts = `(() => {
	const numbers = colour => colour.match(/[\d.]+/g).map(Number);
	const linear = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
	const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
	const ground = e => {
		const [r, g, b, a = 1] = numbers(getComputedStyle(e).backgroundColor);
		return a ? [r, g, b] : e.parentElement ? ground(e.parentElement) : [255, 255, 255];
	};
	const faint = new Set();
	for (const e of document.querySelectorAll('body, body *:not(svg, svg *, script)')) {
		if (![...e.childNodes].some(n => n.nodeType === Node.TEXT_NODE && n.textContent.trim())) continue;
		const [low, high] = [luminance(numbers(getComputedStyle(e).color)), luminance(ground(e))].sort((a, b) => a - b);
		if ((high + 0.05) / (low + 0.05) < 4.5) faint.add(e.tagName + '.' + e.className + ': ' + e.textContent.slice(0, 30));
	}
	return [...faint];
})()`

// TestPageOfOneRun is what a reader does with a page.
func TestPageOfOneRun(t *testing.T) {
	run := runs()["emulated"]
	doc := newModel(run).document()
	doc.Sections[0].Ask = []string{"What does the **first** step of the curve show?"}
	doc.Sections[0].Blocks = append(doc.Sections[0].Blocks, &table{
		Caption: "Sorted",
		Columns: []column{{Title: "Group"}, {Title: "Name"}, {Title: "Took", Right: true}},
		Rows:    [][]string{{"a", "x10", "1.20 ms (1 to 2 ms, n = 5)"}, {"", "x9", "–"}, {"b", "x1", "950 µs"}, {"", "x2", "12.5 s"}, {"c", "x3", "1.0 to 1.1 ms"}},
	})
	data, err := renderHTML(doc)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	b := browse(t)
	b.navigate(path)
	b.window(1280, 900, "light")

	t.Run("table", func(t *testing.T) {
		eval[any](b, `window.sorted = [...document.querySelectorAll('.scroll table')].find(t => t.caption?.textContent === 'Sorted')`)
		column := func(i int) string {
			return eval[string](b, fmt.Sprintf(`[...sorted.tBodies[0].rows].map(row => row.cells[%d].textContent).join(' | ')`, i))
		}
		const shown = "a |  | b |  | c"
		for _, step := range []struct {
			click int
			names string
			aria  string
		}{
			{2, "x1 | x3 | x10 | x2 | x9", "ascending"},
			{2, "x2 | x10 | x3 | x1 | x9", "descending"},
			{2, "x10 | x9 | x1 | x2 | x3", ""},
			{1, "x1 | x2 | x3 | x9 | x10", "ascending"},
		} {
			eval[any](b, fmt.Sprintf(`sorted.tHead.querySelectorAll('button')[%d].focus()`, step.click))
			b.press("Enter")
			if got := column(1); got != step.names {
				t.Errorf("%s by column %d: %s; want %s", step.aria, step.click, got, step.names)
			}
			if got := eval[string](b, fmt.Sprintf(`sorted.tHead.rows[0].cells[%d].getAttribute('aria-sort') ?? ''`, step.click)); got != step.aria {
				t.Errorf("aria-sort is %q; want %q", got, step.aria)
			}
			if got := column(0); step.aria == "" && got != shown {
				t.Errorf("put back, the groups are %s; want %s", got, shown)
			} else if step.aria != "" && strings.Contains(got, "|  |") {
				t.Errorf("sorted, rows have lost their groups: %s", got)
			}
		}
	})
	t.Run("values", func(t *testing.T) {
		tip := func() string {
			return eval[string](b, `(tip => tip.hidden ? '' : tip.textContent)(document.querySelector('.tip'))`)
		}
		b.point("#plot-memory .values rect")
		pointed := tip()
		if !strings.Contains(pointed, "process, PSS: ") || !strings.Contains(pointed, "MiB") {
			t.Errorf("the value under the pointer: %q", pointed)
		}
		if in := eval[bool](b, `(r => r.left >= 0 && r.top >= 0 && r.right <= innerWidth && r.bottom <= innerHeight)(document.querySelector('.tip').getBoundingClientRect())`); !in {
			t.Error("the value is told outside of the window")
		}
		if stops := eval[int](b, `document.querySelectorAll('#plot-memory .values rect[tabindex="0"]').length`); stops != 1 {
			t.Errorf("the plot has %d stops of the Tab key", stops)
		}
		eval[any](b, `document.querySelector('#plot-memory .values rect').focus()`)
		b.press("ArrowRight")
		second := tip()
		b.press("End")
		last := tip()
		b.press("Escape")
		if !strings.Contains(second, "process, USS") || !strings.Contains(last, "vm-q35 (emulated)") || tip() != "" {
			t.Errorf("by keyboard: %q, %q, and after Escape %q", second, last, tip())
		}
		listed := eval[[]string](b, `[...document.querySelectorAll('#plot-memory details tbody tr')].map(row => row.cells[0].textContent + ': ' + row.cells[1].textContent)`)
		if !slices.Contains(listed, pointed) {
			t.Errorf("the table below the plot has no %q", pointed)
		}
	})
	t.Run("answers", func(t *testing.T) {
		eval[any](b, `document.querySelector('.questions textarea').focus()`)
		b.call("Input.insertText", `{"text":"A <b>first</b> & quick start"}`, nil)
		saved := eval[string](b, `(async () => {
			let page;
			URL.createObjectURL = blob => { page = blob; return 'blob:none'; };
			HTMLAnchorElement.prototype.click = () => {};
			document.querySelector('.questions > button').click();
			return await page.text();
		})()`)
		copied := filepath.Join(t.TempDir(), "copy.html")
		if err := os.WriteFile(copied, []byte(saved), 0o644); err != nil {
			t.Fatal(err)
		}
		for name, path := range map[string]string{"again": path, "the copy": copied} {
			b.navigate(path)
			if got := eval[string](b, `document.querySelector('.questions textarea').value`); got != "A <b>first</b> & quick start" {
				t.Errorf("%s: the answer is %q", name, got)
			}
			if n := eval[[]int](b, `[...document.querySelectorAll('.questions')].map(box => box.querySelectorAll('button').length)`); slices.ContainsFunc(n, func(n int) bool { return n != 1 }) {
				t.Errorf("%s: boxes of questions have %d buttons", name, n)
			}
		}
	})
	if list := b.complaints(); len(list) > 0 {
		t.Errorf("the browser complains: %s", strings.Join(list, "\n"))
	}
}

// TestPageGolden sets a document that has one of each kind of block, and texts that
// would be markup if they were let.
func TestPageGolden(t *testing.T) {
	doc := &document{
		Title: "A title", Subtitle: "<b>version</b>", Host: "a host & its kernel", Run: `"run"`, Alerts: []string{"</aside><script>alert(1)</script>"},
		Lecture: lectureTable{Rows: []lectureRow{{
			Criterion: "Startup time",
			Container: lectureCell{"Shorter", []string{"1 ms", "2 ms"}}, VM: lectureCell{"Longer", []string{"1 s"}},
			Verdict: verdict{agrees, "as <it> says"},
		}}, Also: "Also this."},
		Sections: []section{{ID: "startup", Title: "Startup", Ask: []string{"Why is **it** so?"}, Blocks: []block{
			heading("A heading"), anchor("here"), paragraph{"Lead.", "a `typed` & [linked](#startup) word, [outside](https://example.com/?a=1&b=2)"},
			points{"one <i>", "two"},
			&table{Caption: "A table", Columns: []column{{Title: "Name", Mono: true}, {Title: "Took", Right: true}}, Rows: [][]string{{"a<b", "1 ms"}}, Notes: []string{"A note."}},
			&figure{Name: "mark", Caption: "A **plot**.", Alt: "One mark.", W: 100, H: 50, Draw: func(c draw.Canvas) error {
				at := vg.Point{X: 20, Y: 10}
				circle.draw(c, at, 5, blue, ink)
				c.FillText(text(9, false, ink, draw.XLeft, draw.YBottom), at, "a <label>")
				tell(draw.Crop(c, 1, 0, 0, 0), around(at, 1), `the "mark"`, "1 ms")
				return nil
			}},
		}}},
	}
	data, err := renderHTML(doc)
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	for what, text := range map[string]string{"style": pageCSS, "script": pageJS} {
		if !strings.Contains(page, text) {
			t.Errorf("the page has not the whole %s", what)
		}
		page = strings.Replace(page, text, "...\n", 1) // they are in files of their own
	}
	page = regexp.MustCompile(`sha256-.*?&#39;`).ReplaceAllString(page, "sha256-...&#39;")
	golden(t, "page.html", []byte(page))
}

// TestPlotsTell: whoever points at a plot is told what it shows, inside of it.
func TestPlotsTell(t *testing.T) {
	for name, run := range runs() {
		for _, f := range newModel(run).document().figures() {
			plot, err := inline(f, &plotStyles{})
			if err != nil {
				t.Fatal(err)
			}
			if len(plot.Values) == 0 {
				t.Errorf("%s: %s tells nothing", name, f.Name)
			}
			for _, v := range plot.Values {
				if v.Min.X < 0 || v.Min.Y < 0 || v.Max.X > f.W || v.Max.Y > f.H || v.Name == "" || v.Value == "" {
					t.Errorf("%s: %s tells %q at %v of %v by %v", name, f.Name, v.Name+": "+v.Value, v.Rectangle, f.W, f.H)
				}
			}
		}
	}
}

// TestPageSize: what is not of the run is small.
func TestPageSize(t *testing.T) {
	data, err := renderHTML(newModel(runs()["header-only"]).document())
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > 256<<10 {
		t.Errorf("the page of a run without samples has %d bytes", len(data))
	}
}
