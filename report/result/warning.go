package result

// A Warning is what a reader of a figure must know of it. It travels with the
// figure as a value, so that the table, the report and the JSON say the same:
// nothing that is thin or odd is an error, and nothing is silent.
type Warning struct {
	Code Code   `json:"code"` // what it is, for programs: it stays the same from version to version
	Text string `json:"text"` // for people: no capital, no full stop
}

// Code names a kind of warning.
type Code string

// The codes of warnings.
const (
	NoSamples     Code = "no-samples"
	NotANumber    Code = "not-a-number"
	FewSamples    Code = "few-samples"   // too few for an interval or for a test to find anything
	NoRatio       Code = "no-ratio"      // the base is not above zero
	NoInterval    Code = "no-interval"   // of a ratio, though there are enough samples
	AllEqual      Code = "all-equal"     // there is nothing to test
	PointOnly     Code = "point-only"    // a percentile without an interval
	FarOff        Code = "outliers"      // some values lie far off; they count like all others
	Bimodal       Code = "bimodal"       // the values fall into more than one group
	Drift         Code = "drift"         // the values rise or fall over the run
	Predecessor   Code = "predecessor"   // what ran before mattered
	Unquiet       Code = "disturbed"     // others than bench used the host meanwhile
	Approximation Code = "approximation" // an interval by formula, where drawing anew would take too long
	Statistics    Code = "statistics"    // a warning of benchmath's
)

func (w Warning) String() string { return w.Text }

// few warns of a sample that is too small.
func few(text string) []Warning { return []Warning{{FewSamples, text}} }
