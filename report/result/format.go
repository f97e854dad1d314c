package result

import (
	"math"
	"strconv"
	"strings"
)

// none stands for a figure that there is not.
const none = "–"

// nbsp parts groups of digits, where a line must not break.
const nbsp = "\u00a0"

// A scale is a unit as it is printed, and how many of the base unit it is.
type scale struct {
	suffix string
	size   float64
}

// scales are the printed units of each unit of the journal, rising.
var scales = map[string][]scale{
	"ns":    {{"ns", 1}, {"µs", 1e3}, {"ms", 1e6}, {"s", 1e9}},
	"bytes": {{"B", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}},
	"":      {{"", 1}},
}

// Unit is the unit of a value, told from the end of its name: "ns" for
// "first_instruction_ns", "bytes" for "pss_bytes", "" for any other.
func Unit(name string) string {
	for _, unit := range []string{"ns", "bytes"} {
		if strings.HasSuffix(name, "_"+unit) {
			return unit
		}
	}
	return ""
}

// FormatValue prints a value of a unit ("ns", "bytes" or "") for people: with
// three significant digits and the unit in which it has one to three digits
// before the point, such as "1.23 ms" or "34.5 MiB". Whole numbers without a
// unit, and those of bytes below 1,000, are counts and stay exact. Anything
// that is not a number is "–".
func FormatValue(v float64, unit string) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return none
	}
	s := scaleFor(v, unit)
	return withSuffix(digits(v/s.size, s.suffix == "" || s.suffix == "B"), s.suffix)
}

// FormatInterval prints the confidence interval with one unit for both ends,
// "1.21 to 1.26 ms", or "–" when there is none.
func (s Summary) FormatInterval(unit string) string { return formatInterval(s.Low, s.High, unit) }

// FormatInterval prints the confidence interval, "6.12 to 6.48", or "–" when
// there is none.
func (r Ratio) FormatInterval() string {
	if math.IsNaN(r.Low) || math.IsInf(r.Low, 0) || math.IsNaN(r.High) || math.IsInf(r.High, 0) {
		return none
	}
	return FormatRatio(r.Low) + " to " + FormatRatio(r.High)
}

func formatInterval(low, high float64, unit string) string {
	if math.IsNaN(low) || math.IsInf(low, 0) || math.IsNaN(high) || math.IsInf(high, 0) {
		return none
	}
	s := scaleFor(max(math.Abs(low), math.Abs(high)), unit)
	exact := s.suffix == "" || s.suffix == "B"
	return withSuffix(digits(low/s.size, exact)+" to "+digits(high/s.size, exact), s.suffix)
}

// FormatRatio prints a ratio with three significant digits, "1.00", "6.31" or
// "2 340", or "–" when there is none. Below one thousandth it says only that.
func FormatRatio(v float64) string {
	if v > 0 && v < 0.001 {
		return "< 0.001"
	}
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return none
	}
	return digits(v, false)
}

// scaleFor is the first scale in which v, once rounded, is below 1,000, or the
// largest. So a KiB ends at 1,000 and not at 1,024: 1010 would be a fourth
// digit, and 1,010 KiB are 0.986 MiB.
func scaleFor(v float64, unit string) scale {
	list := scales[unit]
	if list == nil {
		return scale{unit, 1}
	}
	for _, s := range list {
		if round3(math.Abs(v)/s.size) < 1000 {
			return s
		}
	}
	return list[len(list)-1]
}

// round3 rounds to three significant digits.
func round3(v float64) float64 {
	r, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'e', 2, 64), 64)
	return r
}

// digits prints a number with three significant digits, and groups those
// before the point from four digits on. With exact, whole numbers keep all
// their digits. Only what no measurement gives has an exponent, so that every
// number is short.
func digits(v float64, exact bool) string {
	if v == 0 {
		return "0"
	}
	if exact && v == math.Trunc(v) && math.Abs(v) < 1<<53 {
		return group(strconv.FormatFloat(v, 'f', 0, 64))
	}
	// The exponent after rounding: 999.6 has four digits before the point.
	// math.Log10(1000) is a little less than 3.
	_, e, _ := strings.Cut(strconv.FormatFloat(v, 'e', 2, 64), "e")
	exponent, _ := strconv.Atoi(e)
	if exponent < -6 || exponent > 6 {
		return strconv.FormatFloat(v, 'e', 2, 64)
	}
	return group(strconv.FormatFloat(round3(v), 'f', max(0, 2-exponent), 64))
}

// group puts a no-break space between the thousands of a number's whole part.
func group(s string) string {
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	whole, fraction, ok := strings.Cut(s, ".")
	if ok {
		fraction = "." + fraction
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + nbsp + whole[i:]
	}
	return sign + whole + fraction
}

func withSuffix(number, suffix string) string {
	if suffix == "" {
		return number
	}
	return number + " " + suffix
}
