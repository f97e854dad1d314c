package result

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"vmctr/report/result/identity"
)

const header = `{"run":{"schema":1,"platforms":["b","a"]}}` + "\n"

func TestReadErrors(t *testing.T) {
	tests := []struct{ name, journal, says string }{
		{"empty", "", "line 1: no header: the file is empty"},
		{"half a header", `{"run":{"sch`, "line 1: no header: it is cut off"},
		{"half a word", `{"ru`, "line 1: no header: it is cut off"},
		{"a disk that lost all", "\x00\x00\x00", "line 1: no header: the file is empty"},
		{"not JSON", header + "{}\nhello\n", "line 3: it is not JSON, at byte 1: invalid character 'h'"},
		{"blank line", header + "\n{}\n", "line 2: the line is blank"},
		{"two objects in a line", header + "{}{}\n", "line 2: it is not JSON, at byte 3"},
		{"a line cut in the middle", header + `{"sample":{"experiment":"startup","platf` + "\n{}\n", "line 2: it is cut off after 40 bytes, and others follow; each line stands for itself, so a copy of the file without this one can be read (sed 2d)"},
		{"two lines in one", header + `{"sample":{"experiment":"star{"sample":{}}` + "\n", "line 2: it is not JSON, at byte 32"},
		{"wrong type", header + `{"sample":{"round":"one"}}` + "\n", "line 2: sample.round must be a whole number, and is a string"},
		{"wrong types deep inside", header + `{"sample":{"phases":[{"name":"a","ns":1.5}]}}` + "\n", "line 2: sample.phases.ns must be a whole number, and is the number 1.5"},
		{"no number", header + `{"sample":{"values":{"x_ns":[1]}}}` + "\n", "must be a number, and is a list"},
		{"no date", header + `{"resume":{"time":"soon"}}` + "\n", "line 2: parsing time"},
		{"no header first", `{"note":{}}` + "\n", "line 1: the header is missing"},
		{"two headers", header + header, "line 2: a second header"},
		{"newer schema", `{"run":{"schema":2}}` + "\n", "line 1: the journal has schema 2 and this bench reads up to 1: use a newer bench"},
		{"no schema", `{"run":{}}` + "\n", "line 1: the header names no schema"},
		{"header of a wrong type", `{"run":{"schema":"1"}}` + "\n", "line 1: the header is damaged: run.schema must be a whole number, and is a string"},
		{"damaged header", `{"run":{"schema":1,}}` + "\n", "line 1: the header is damaged: invalid character '}'"},
		{"another program's", `{"time":1,"level":"info"}` + "\n", `line 1: it is JSON of another program (with ["level" "time"])`},
		{"a list", "[1,2]\n", "line 1: it is not a journal of bench but begins with \"[1,2]\""},
		{"text", "Dear reader", "line 1: it is not a journal of bench but begins with \"Dear reader\""},
		{"gzip", "\x1f\x8b\x08\x00abc", "gunzip"},
		{"a PDF", "%PDF-1.7\n", "line 1: it is a PDF"},
		{"byte order mark", "\xef\xbb\xbf" + header, "byte order mark"},
		{"UTF-16", "\xff\xfe{\x00\"\x00", "UTF-16"},
		{"binary", "\x7fELF\x02\x01\x01\x00\n\x00", "line 1: it is binary data"},
		{"binary without a line", strings.Repeat("\x01", maxLine+1), "line 1: it is binary data"},
		{"endless line", header + strings.Repeat("x", maxLine+1), "line 2: it is longer than"},
		{"zeros in the middle", header + "{}\x00\n" + strings.Repeat("{}\n", aSecond), "line 2: it holds NUL bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, k := range []keep{keepAll, keepSome, keepNames} {
				run, _, err := read(strings.NewReader(tt.journal), k)
				if err == nil {
					t.Fatalf("read %+v", run)
				}
				if !strings.Contains(err.Error(), tt.says) {
					t.Errorf("error %q does not say %q", err, tt.says)
				}
			}
		})
	}
}

func TestReadFolder(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "report.pdf")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	shelf := t.TempDir()
	for _, run := range []string{"a", "b", "c", "d", "e"} {
		write(t, filepath.Join(shelf, run), exampleRun())
	}
	for _, tt := range []struct{ dir, says string }{
		{dir, dir + " holds no results.jsonl: it is not the result folder of a run; give the one"},
		{filepath.Join(dir, "nowhere"), "there is no folder " + filepath.Join(dir, "nowhere")},
		{file, file + " is a file: give the folder of a run"},
		{shelf, "it holds some: " + filepath.Join(shelf, "a") + ", " + filepath.Join(shelf, "b") + ", " + filepath.Join(shelf, "c") + ", and 2 more"},
	} {
		if _, err := Read(tt.dir); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, which does not say %q", tt.dir, err, tt.says)
		}
		if _, _, _, err := Open(tt.dir); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: going on: %v, which does not say %q", tt.dir, err, tt.says)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, FileName), []byte(header+"?\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(dir); err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("a bad line: %v", err)
	}
}

func TestReadPlatforms(t *testing.T) {
	run, _, err := read(strings.NewReader(header+
		`{"platform":{"name":"a","status":"ready"}}`+"\n"+
		`{"platform":{"name":"stranger","status":"ready"}}`+"\n"+
		`{"platform":{"name":"b","status":"ready"}}`+"\n"+
		`{"platform":{"name":"a","status":"failed","reason":"broke"}}`+"\n"), keepAll)
	if err != nil {
		t.Fatal(err)
	}
	// In the order asked for, and the last state of each.
	want := []Platform{{Name: "b", Status: Ready}, {Name: "a", Status: Failed, Reason: "broke"}, {Name: "stranger", Status: Ready}}
	if d := cmp.Diff(want, run.Platforms); d != "" {
		t.Error(d)
	}
}

// TestReadLater: a later bench with the same schema may add fields and kinds.
func TestReadLater(t *testing.T) {
	run, _, err := read(strings.NewReader(header+`{"weather":{"rain":true}}`+"\n"+`{"note":{"text":"n","mood":1}}`+"\n"), keepAll)
	if err != nil {
		t.Fatal(err)
	}
	if len(run.Notes) != 1 || run.Truncated {
		t.Errorf("read %+v", run)
	}
}

func TestSelect(t *testing.T) {
	value := func(v float64) map[string]float64 { return map[string]float64{"x_ns": v} }
	first, second := &identity.Identity{PID: 1}, &identity.Identity{PID: 2}
	r := &Run{Samples: []Sample{
		{Experiment: "startup", Platform: "a", Warmup: true, Values: value(1)},
		{Experiment: "startup", Platform: "a", Values: value(5)},
		{Experiment: "startup", Platform: "b", Values: value(2)},
		{Experiment: "memory", Platform: "a", Values: value(3), Identity: first},
		{Experiment: "startup", Platform: "a", Values: value(9), Error: "broke after it was measured"},
		{Experiment: "startup", Platform: "a", Values: map[string]float64{"other": 7}, Identity: second},
		{Experiment: "startup", Platform: "a", Values: value(4)},
		{Experiment: "startup", Platform: "a", Values: value(0)},
		{Experiment: "startup", Platform: "a", Warmup: true, Error: "broke while it warmed up"},
	}}
	if d := cmp.Diff([]float64{5, 4, 0}, r.Values("startup", "a", "x_ns")); d != "" {
		t.Errorf("Values: %s", d)
	}
	if v := r.Values("startup", "c", "x_ns"); v != nil {
		t.Errorf("Values of a platform that is not there: %v", v)
	}
	if f := r.Failures("startup", "a"); len(f) != 2 || f[0].Error != "broke after it was measured" {
		t.Errorf("Failures: %+v", f)
	}
	if f := r.Failures("memory", "a"); f != nil {
		t.Errorf("Failures where there are none: %+v", f)
	}
	if r.Identity("a") != first || r.Identity("b") != nil {
		t.Error("Identity is not the first that was reported")
	}
}

var namesLine = regexp.MustCompile(`^line \d+: `)

// FuzzRead: no bytes make read panic; an error says in which line it is; what
// was read survives being written and read again.
func FuzzRead(f *testing.F) {
	dir := f.TempDir()
	write(f, dir, exampleRun())
	journal, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(journal)
	f.Add(journal[:len(journal)/2])
	f.Add([]byte(header))
	f.Add([]byte(header + header))
	f.Add([]byte(header + `{"sample":{"values":{"x":1e999}}}` + "\n"))
	f.Add([]byte(header + `{"platform":null,"end":{}}` + "\n\x00\x00"))
	f.Add([]byte("\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		run, _, err := read(bytes.NewReader(data), keepAll)
		for _, k := range []keep{keepSome, keepNames} {
			other, _, otherErr := read(bytes.NewReader(data), k)
			if fmt.Sprint(err) != fmt.Sprint(otherErr) {
				t.Errorf("error %v, and %v of the other reader", err, otherErr)
			}
			if err == nil && other.Count("", "") != run.Count("", "") {
				t.Errorf("%+v samples, and %+v of the other reader", run.Count("", ""), other.Count("", ""))
			}
		}
		if err != nil {
			if !namesLine.MatchString(err.Error()) {
				t.Errorf("error %q names no line", err)
			}
			return
		}
		var again bytes.Buffer
		enc := json.NewEncoder(&again)
		for _, rec := range append([]Record{{Run: &run.Header}}, records(run)...) {
			if err := enc.Encode(rec); err != nil {
				t.Fatalf("what was read cannot be written: %v", err)
			}
		}
		second, _, err := read(&again, keepAll)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, again.Bytes())
		}
		run.Truncated = false
		// omitempty makes empty lists and maps absent.
		if d := cmp.Diff(run, second, cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(Run{})); d != "" {
			t.Errorf("(-first +second):\n%s", d)
		}
		// The statistics take whatever a journal holds.
		for _, s := range run.Samples {
			for name := range s.Values {
				v := run.Values(s.Experiment, s.Platform, name)
				FormatValue(Summarize(v).Median, Unit(name))
				FormatRatio(Compare(v, v, 0).Ratio)
			}
		}
	})
}
