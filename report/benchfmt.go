package report

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"unicode"

	"golang.org/x/perf/benchfmt"
	"golang.org/x/perf/benchunit"

	"vmctr/report/result"
)

// Benchfmt writes the counted values of a run in the Go benchmark format, for
// benchstat and what else reads it (https://go.dev/design/14313-benchmark-format):
// a line for each sample, such as
//
//	BenchmarkStartup/platform=container 1 1020000 first-instruction-ns/op
//
// with the host as configuration. A machine's name says which accelerator it had,
// so that an emulated one is never compared with a virtual one by mistake. Two runs
// are compared by "benchstat OLD NEW", and the platforms of one by
//
//	benchstat -col /platform -row .name -ignore /accelerator FILE
//
// Its intervals are the ones of [result.Summarize]; its p-values are not corrected
// for their number. A run that was read by [result.Stream] is enough.
func Benchfmt(w io.Writer, run *result.Run) error {
	out := benchfmt.NewWriter(w)
	config := benchConfig(run)
	accelerators := map[string]string{}
	for _, p := range run.Platforms {
		accelerators[p.Name] = p.Accelerator
	}
	for _, name := range run.ValueNames() {
		if result.Unit(name) == "" {
			continue // a count: neither less nor more is better
		}
		unit := benchUnit(name)
		_, tidy := benchunit.Tidy(1, unit)
		if err := out.Write(&benchfmt.UnitMetadata{UnitMetadataKey: benchfmt.UnitMetadataKey{Unit: tidy, Key: "better"}, OrigUnit: unit, Value: "lower"}); err != nil {
			return fmt.Errorf("writing benchmark results: %w", err)
		}
	}
	for s, err := range run.Each() {
		if err != nil {
			return err
		}
		if s.Warmup || s.Error != "" || len(s.Values) == 0 {
			continue
		}
		res := &benchfmt.Result{Config: config, Name: benchfmt.Name(benchName(s, accelerators[s.Platform])), Iters: 1}
		for _, name := range sortedKeys(s.Values) {
			unit := benchUnit(name)
			v, tidy := benchunit.Tidy(s.Values[name], unit)
			out := benchfmt.Value{Value: v, Unit: tidy, OrigValue: s.Values[name], OrigUnit: unit}
			if v == 0 {
				// The reader takes a value that is the same in the base unit for one that
				// has it: zero nanoseconds would be a unit of their own.
				out = benchfmt.Value{Value: v, Unit: tidy}
			}
			res.Values = append(res.Values, out)
		}
		if err := out.Write(res); err != nil {
			return fmt.Errorf("writing benchmark results: %w", err)
		}
	}
	return nil
}

// benchName is the name of a sample's benchmark, with what tells it from others.
func benchName(s *result.Sample, accelerator string) string {
	r := []rune(benchWord(cmp.Or(s.Experiment, "unnamed")))
	r[0] = unicode.ToUpper(r[0]) // a small letter would not be a benchmark
	name := string(r) + "/platform=" + benchWord(s.Platform)
	if accelerator != "" {
		name += "/accelerator=" + benchWord(accelerator)
	}
	if s.Series != "" {
		name += "/series=" + benchWord(s.Series)
	}
	if s.N != 0 {
		name += fmt.Sprintf("/n=%d", s.N)
	}
	return name
}

// benchWord takes out of a word what would end it in a benchmark's name.
func benchWord(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || r == '/' {
			return '_'
		}
		return r
	}, printable(s))
}

// benchUnit is the unit of a value by its name: "first_instruction_ns" has
// "first-instruction-ns/op", "pss_bytes" "pss-B", and "processes" itself.
func benchUnit(name string) string {
	word := strings.ReplaceAll(benchWord(name), "_", "-")
	if s, ok := strings.CutSuffix(word, "-ns"); ok {
		return s + "-ns/op"
	}
	if s, ok := strings.CutSuffix(word, "-bytes"); ok {
		return s + "-B"
	}
	return word
}

// benchConfig is the host and the run as configuration lines.
func benchConfig(run *result.Run) []benchfmt.Config {
	h := run.Header
	var list []benchfmt.Config
	for _, kv := range [][2]string{
		{"pkg", "vmctr"}, {"goos", strings.ToLower(h.Host.Kernel.Sysname)}, {"cpu", h.Host.CPU}, {"host", h.Host.Hostname}, {"kernel", h.Host.Kernel.Release},
		{"machine", h.Host.Kernel.Machine}, {"virtualization", h.Host.Virtualization}, {"governor", h.Host.Governor}, {"cgroup", h.Host.Cgroup},
		{"bench-version", h.Version}, {"bench-profile", h.Profile}, {"bench-run", h.ID}, {"bench-seed", fmt.Sprint(h.Seed)}, {"image", h.Image.Digest},
	} {
		if v := clean(kv[1]); v != "" {
			list = append(list, benchfmt.Config{Key: kv[0], Value: []byte(v), File: true})
		}
	}
	return list
}
