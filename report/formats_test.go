package report

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/perf/benchfmt"
	"golang.org/x/perf/benchproc"

	"vmctr/report/result"
)

// withSeries is a run that has of everything: series and numbers, several instances
// at once, disturbed and failed samples, values that a format could choke on.
func withSeries() *result.Run {
	run := synthetic{startup: 80, memory: 8, emulated: true}.run()
	for i := range 12 {
		run.Samples = append(run.Samples,
			result.Sample{Experiment: "startup", Platform: "container", Series: "cold cache", N: 8, Round: i, Disturbed: "CPU pressure 12%, by others", Values: map[string]float64{"first_instruction_ns": 9e6 + float64(i*i%7)}},
			result.Sample{Experiment: "startup", Platform: "vm-q35", Series: "cold cache", N: 8, Round: i, Values: map[string]float64{"first_instruction_ns": 3e9 * float64(i%5)}, Each: map[string][]float64{"each_ns": {1e9, 2e9, 3.5}}})
	}
	run.Samples = append(run.Samples, result.Sample{Experiment: "startup", Platform: "container", Error: "said \"no\",\nand ended", Fault: result.InstanceFault})
	return run
}

func TestCSV(t *testing.T) {
	run := withSeries()
	var b bytes.Buffer
	if err := CSV(&b, run); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	want := 0
	for _, s := range run.Samples {
		n := len(s.Values)
		for _, v := range s.Each {
			n += len(v)
		}
		want += max(n, 1)
	}
	if len(rows)-1 != want {
		t.Errorf("%d rows, want %d", len(rows)-1, want)
	}
	// The values that the report counts, read back.
	var got []float64
	failed := 0
	for _, r := range rows[1:] {
		cell := func(name string) string { return r[column[name]] }
		if cell("error") != "" {
			failed++
			if cell("error") != "said \"no\",\nand ended" || cell("value") != "" || cell("fault") != "instance" {
				t.Errorf("failed sample %q", r)
			}
		}
		if cell("experiment") == "startup" && cell("platform") == "vm-q35" && cell("series") == "" && cell("name") == "first_instruction_ns" && cell("warmup") == "false" {
			v, err := strconv.ParseFloat(cell("value"), 64)
			if err != nil || cell("unit") != "ns" || cell("emulated") != "true" || cell("instance") != "" {
				t.Fatalf("%q: %v", r, err)
			}
			got = append(got, v)
		}
	}
	if failed != 1 || !slices.Equal(got, run.Values("startup", "vm-q35", "first_instruction_ns")) {
		t.Errorf("%d failed, values %v", failed, got)
	}
	if err := CSV(full{}, run); !errors.Is(err, errFull) {
		t.Errorf("to a full disk: %v", err)
	}
}

var errFull = errors.New("no space left")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

// TestBenchfmt reads what was written as benchstat does.
func TestBenchfmt(t *testing.T) {
	run := withSeries()
	var b bytes.Buffer
	if err := Benchfmt(&b, run); err != nil {
		t.Fatal(err)
	}
	reader := benchfmt.NewReader(&b, "run")
	var parser benchproc.ProjectionParser
	projection, err := parser.Parse(".name,/platform,/accelerator,/series,/n,cpu", nil)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string][]float64{}
	for reader.Scan() {
		switch rec := reader.Result().(type) {
		case *benchfmt.Result:
			if v, ok := rec.Value("first-instruction-sec/op"); ok {
				key := projection.Project(rec).StringValues()
				values[key] = append(values[key], v*1e9)
			}
		case *benchfmt.UnitMetadata:
		default:
			t.Fatalf("read %T %v", rec, rec)
		}
	}
	if err := reader.Err(); err != nil {
		t.Fatal(err)
	}
	if got := reader.Units().GetBetter("first-instruction-ns/op"); got != -1 {
		t.Errorf("better is %d", got)
	}
	for key, want := range map[string][]float64{
		`Startup process Intel(R) Xeon(R) Processor @ 2.60GHz`:                 run.Values("startup", "process", "first_instruction_ns"),
		`Startup vm-q35 tcg Intel(R) Xeon(R) Processor @ 2.60GHz`:              run.Values("startup", "vm-q35", "first_instruction_ns"),
		`Startup vm-q35 tcg cold_cache 8 Intel(R) Xeon(R) Processor @ 2.60GHz`: run.ValuesOf(result.Key{Experiment: "startup", Platform: "vm-q35", Series: "cold cache", N: 8}, "first_instruction_ns"),
	} {
		got := values[key]
		if len(got) != len(want) {
			t.Errorf("%q has %d values, want %d; there are %q", key, len(got), len(want), sortedKeys(values))
			continue
		}
		if a, b := result.Summarize(got).Median, result.Summarize(want).Median; math.Abs(a/b-1) > 1e-9 {
			t.Errorf("%q: median %v, want %v", key, a, b)
		}
	}
}

// schemaOf compiles a published schema.
func schemaOf(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schemas[name]))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(name, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func valid(t *testing.T, s *jsonschema.Schema, data []byte) error {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(doc)
}

func TestJSON(t *testing.T) {
	schema := schemaOf(t, "summary")
	all := runs()
	all["series"] = withSeries()
	for _, name := range sortedKeys(all) {
		var b bytes.Buffer
		if err := JSON(&b, all[name]); err != nil {
			t.Fatal(err)
		}
		if err := valid(t, schema, b.Bytes()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if name != "series" {
			continue
		}
		var s summary
		if err := json.Unmarshal(b.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(s.Figures, func(f summaryFigure) bool { return f.Platform == "vm-q35" && f.Series == "cold cache" && f.N == 8 })
		if i < 0 || s.Figures[i].Count != 12 || !s.Figures[i].Emulated || s.Figures[i].Percentiles[0].Low != nil || s.Figures[i].Percentiles[0].Warnings[0].Code != result.PointOnly {
			t.Errorf("figures: %+v", s.Figures)
		}
		i = slices.IndexFunc(s.Comparisons, func(c summaryCompared) bool {
			return c.Platform == "container" && c.Base == "process" && c.Value == "first_instruction_ns"
		})
		if i < 0 || !s.Comparisons[i].Differs || *s.Comparisons[i].Delta != 1 || s.Comparisons[i].Family != 3 || *s.Comparisons[i].Holm < *s.Comparisons[i].P {
			t.Errorf("comparisons: %+v", s.Comparisons)
		}
		if len(s.Failures) != 1 {
			t.Errorf("failures: %+v", s.Failures)
		}
		// What is not described is refused, so a change of the form is noticed.
		for _, wrong := range []string{strings.Replace(b.String(), `"median"`, `"mean"`, 1), strings.Replace(b.String(), `"version": 1`, `"version": 2`, 1)} {
			if valid(t, schema, []byte(wrong)) == nil {
				t.Error("the schema takes another form")
			}
		}
	}
}

// TestJournalSchema: what the journal is said to be is what is written.
func TestJournalSchema(t *testing.T) {
	schema := schemaOf(t, "journal")
	dir := t.TempDir()
	run := withSeries()
	j, err := result.Create(dir, run.Header)
	if err != nil {
		t.Fatal(err)
	}
	half := 0.02
	records := []result.Record{{Note: &result.Note{Text: "n"}}, {Block: &result.Block{Experiment: "startup", Pressure: map[string]float64{"cpu some": 0.1}, MHz: []float64{2000, 2600}}},
		{Ending: &result.Ending{Experiment: "startup", Platform: "process", HalfWidth: &half, Reason: result.BudgetSpent}}, {Resume: &result.Resume{ID: "x", Changed: []result.Change{{What: "load", Was: "1", Is: "2"}}}}, {End: run.End}}
	for _, i := range run.Images {
		records = append(records, result.Record{Image: &i})
	}
	for _, p := range run.Platforms {
		records = append(records, result.Record{Platform: &p})
	}
	for _, s := range run.Samples {
		records = append(records, result.Record{Sample: &s})
	}
	for _, r := range records {
		if err := j.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	for _, path := range []string{filepath.Join(dir, result.FileName), filepath.Join("result", "testdata", "schema1.jsonl")} {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 16<<20)
		for n := 1; lines.Scan(); n++ {
			if err := valid(t, schema, lines.Bytes()); err != nil {
				t.Fatalf("%s line %d: %v", path, n, err)
			}
			var line map[string]json.RawMessage
			if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
				t.Fatal(err)
			}
			for k := range line {
				kinds[k] = true
			}
		}
	}
	if len(kinds) < 9 {
		t.Errorf("only %v were seen", sortedKeys(kinds))
	}
	for _, wrong := range []string{`{}`, `{"sample":{"experiment":"startup"}}`, `{"end":{"at_ns":"soon","reason":"complete"}}`, `{"note":{"at_ns":1,"text":"a"},"end":{"at_ns":1,"reason":"b"}}`} {
		if valid(t, schema, []byte(wrong)) == nil {
			t.Errorf("the schema takes %s", wrong)
		}
	}
}
