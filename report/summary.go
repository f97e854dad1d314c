package report

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"vmctr/report/result"
	"vmctr/report/result/isolation"
)

// summaryVersion is that of the form of [JSON], which schema/summary.schema.json
// describes. What is added does not change it.
const summaryVersion = 1

// The types of the summary: every figure of a run, for programs. A number that there
// is not is null, never NaN.
type (
	summary struct {
		Version     int               `json:"version"`
		Run         summaryRun        `json:"run"`
		Platforms   []result.Platform `json:"platforms"`
		Figures     []summaryFigure   `json:"figures"`
		Comparisons []summaryCompared `json:"comparisons"`
		Failures    []summaryFailure  `json:"failures"`
		Findings    []summaryFinding  `json:"findings"`
		Alerts      []string          `json:"alerts"`
	}
	summaryRun struct {
		ID      string       `json:"id"`
		Time    time.Time    `json:"time"`
		Bench   string       `json:"bench"`
		Profile string       `json:"profile"`
		Seed    uint64       `json:"seed"`
		Image   result.Image `json:"image"`
		Host    result.Host  `json:"host"`
		Ended   string       `json:"ended"` // the reason of the end, "" when it was cut off
		Samples int          `json:"samples"`
	}
	// summaryKey names what was measured.
	summaryKey struct {
		Experiment string `json:"experiment"`
		Series     string `json:"series"`
		N          int    `json:"n"`
		Value      string `json:"value"`
		Unit       string `json:"unit"`
	}
	summaryFigure struct {
		summaryKey
		Platform    string              `json:"platform"`
		Emulated    bool                `json:"emulated"`
		Count       int                 `json:"count"`
		Median      *float64            `json:"median"`
		Low         *float64            `json:"low"`
		High        *float64            `json:"high"`
		Confidence  *float64            `json:"confidence"`
		Smallest    *float64            `json:"smallest"`
		Largest     *float64            `json:"largest"`
		Percentiles []summaryPercentile `json:"percentiles"`
		Outliers    int                 `json:"outliers"`
		Multimodal  bool                `json:"multimodal"`
		Drift       *float64            `json:"drift"`
		DriftP      *float64            `json:"drift_p"`
		PrecededP   *float64            `json:"preceded_p"`
		Warnings    []result.Warning    `json:"warnings"`
	}
	summaryPercentile struct {
		Share    float64          `json:"share"`
		Value    *float64         `json:"value"`
		Low      *float64         `json:"low"`
		High     *float64         `json:"high"`
		Warnings []result.Warning `json:"warnings"`
	}
	summaryCompared struct {
		summaryKey
		Platform   string           `json:"platform"`
		Base       string           `json:"base"`
		Ratio      *float64         `json:"ratio"`
		Low        *float64         `json:"low"`
		High       *float64         `json:"high"`
		P          *float64         `json:"p"`
		Holm       *float64         `json:"p_holm"`
		Family     int              `json:"family"`
		Differs    bool             `json:"differs"`
		Delta      *float64         `json:"cliffs_delta"`
		Effect     string           `json:"effect"`
		Detectable *float64         `json:"detectable"`
		Warnings   []result.Warning `json:"warnings"`
	}
	summaryFailure struct {
		Experiment string       `json:"experiment"`
		Platform   string       `json:"platform"`
		Series     string       `json:"series"`
		N          int          `json:"n"`
		Round      int          `json:"round"`
		Fault      result.Fault `json:"fault"`
		Error      string       `json:"error"`
	}
	summaryFinding struct {
		Platform string            `json:"platform"`
		Variant  string            `json:"variant"`
		Probe    string            `json:"probe"`
		Group    string            `json:"group"`
		Verdict  isolation.Verdict `json:"verdict"`
		Errno    string            `json:"errno"`
		Own      bool              `json:"own"`
		Evidence string            `json:"evidence"`
	}
)

// JSON writes every figure of a run with its statistics and warnings, of all that
// was measured and not only of what the report shows, in the form that
// [Schemas] has as "summary".
func JSON(w io.Writer, run *result.Run) error {
	m := newModel(run)
	h, all := run.Header, run.Count("", "")
	s := summary{
		Version: summaryVersion,
		Run:     summaryRun{ID: h.ID, Time: h.Time, Bench: h.Version, Profile: h.Profile, Seed: h.Seed, Image: h.Image, Host: h.Host, Samples: all.Warmups + all.Counted},
		// null would be a case of its own for every reader.
		Platforms: []result.Platform{}, Figures: []summaryFigure{}, Comparisons: []summaryCompared{}, Failures: []summaryFailure{}, Findings: []summaryFinding{}, Alerts: append([]string{}, m.alerts()...),
	}
	s.Run.Image.Layers = append([]string{}, s.Run.Image.Layers...)
	if run.End != nil {
		s.Run.Ended = run.End.Reason
	}
	for _, p := range m.everyone() {
		s.Platforms = append(s.Platforms, p.Platform)
	}
	for _, ms := range m.everything() {
		key := summaryKey{Experiment: ms.Experiment, Series: ms.Series, N: ms.N, Value: ms.Value, Unit: ms.unit()}
		for _, f := range ms.present() {
			s.Figures = append(s.Figures, m.summaryFigure(key, ms, f))
		}
		family := m.family(ms)
		for _, c := range family {
			s.Comparisons = append(s.Comparisons, summaryCompared{summaryKey: key, Platform: c.A.Platform.Name, Base: c.B.Platform.Name,
				Ratio: number(c.Ratio.Ratio), Low: number(c.Ratio.Low), High: number(c.Ratio.High), P: number(c.P), Holm: number(c.Holm), Family: len(family), Differs: c.Holm < different,
				Delta: number(c.Delta), Effect: result.EffectSize(c.Delta), Detectable: number(c.Detectable), Warnings: append(append([]result.Warning{}, c.Ratio.Warnings...), c.Warnings...)})
		}
	}
	for _, x := range run.Samples {
		if x.Error != "" {
			s.Failures = append(s.Failures, summaryFailure{x.Experiment, x.Platform, x.Series, x.N, x.Round, x.Fault, x.Error})
		}
		for _, p := range x.Probings {
			for _, f := range p.Findings {
				s.Findings = append(s.Findings, summaryFinding{x.Platform, p.Variant, f.Probe, isolation.Find(f.Probe).Group, f.Verdict, f.Errno, f.Own, f.Evidence})
			}
		}
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(s); err != nil {
		return fmt.Errorf("writing the summary: %w", err)
	}
	return nil
}

func (m *model) summaryFigure(key summaryKey, ms measured, f figureOf) summaryFigure {
	s := f.Summary
	out := summaryFigure{summaryKey: key, Platform: f.Platform.Name, Emulated: f.Platform.Emulated, Count: s.N, Median: number(s.Median), Low: number(s.Low), High: number(s.High),
		Confidence: number(s.Confidence), Smallest: number(slices.Min(s.Values)), Largest: number(slices.Max(s.Values)), Outliers: len(result.Outliers(s.Values)),
		Multimodal: result.Multimodal(s.Values), PrecededP: number(m.preceded(ms, f)),
		Warnings: append(append([]result.Warning{}, s.Warnings...), m.examine(ms, f)...)}
	rho, p := result.Drifts(s.Values)
	out.Drift, out.DriftP = number(rho), number(p)
	for _, share := range []float64{0.95, 0.99} {
		p := result.PercentileOf(s.Values, share)
		out.Percentiles = append(out.Percentiles, summaryPercentile{share, number(p.Value), number(p.Low), number(p.High), append([]result.Warning{}, p.Warnings...)})
	}
	return out
}

// everything is all that was measured, also what the report does not show: each
// value of each experiment, series and number, in the order of the journal and
// then by name.
func (m *model) everything() []measured {
	type quantity struct {
		experiment, series string
		n                  int
		value              string
	}
	var list []measured
	seen := map[quantity]int{}
	values := m.run.AllValues()
	for _, v := range values {
		q := quantity{v.Experiment, v.Series, v.N, v.Name}
		if _, ok := seen[q]; !ok {
			seen[q] = len(list)
			list = append(list, measured{metric: metric{Experiment: v.Experiment, Value: v.Name}, Series: v.Series, N: v.N, Base: m.baseOf(v.Experiment)})
		}
	}
	for _, p := range m.everyone() {
		for _, v := range values {
			if v.Platform == p.Name {
				i := seen[quantity{v.Experiment, v.Series, v.N, v.Name}]
				list[i].Figures = append(list[i].Figures, figureOf{Platform: p, Summary: result.Summarize(v.Values)})
			}
		}
	}
	return list
}

// baseOf is what the platforms of an experiment are compared with.
func (m *model) baseOf(experiment string) *platform {
	for _, ms := range m.ofVariants() {
		if ms.Experiment == experiment {
			return ms.Base
		}
	}
	return m.base
}
