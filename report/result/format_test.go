package result

import (
	"math"
	"strings"
	"testing"
)

func TestFormatValue(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	tests := []struct {
		v    float64
		unit string
		want string
	}{
		{0, "ns", "0 ns"},
		{0.5, "ns", "0.500 ns"},
		{1, "ns", "1.00 ns"},
		{999, "ns", "999 ns"},
		{999.4, "ns", "999 ns"},
		{999.6, "ns", "1.00 µs"},
		{1000, "ns", "1.00 µs"},
		{12_345, "ns", "12.3 µs"},
		{999_499, "ns", "999 µs"},
		{999_500, "ns", "1.00 ms"}, // never 1000 µs
		{1_234_567, "ns", "1.23 ms"},
		{-1_234_567, "ns", "-1.23 ms"},
		{10_000_000, "ns", "10.0 ms"},
		{999_999_999, "ns", "1.00 s"},
		{75e9, "ns", "75.0 s"},
		{999.6e9, "ns", "1_000 s"},
		{12_345e9, "ns", "12_300 s"},

		{0, "bytes", "0 B"},
		{512, "bytes", "512 B"},
		{999, "bytes", "999 B"},
		{1000, "bytes", "0.977 KiB"},
		{1024, "bytes", "1.00 KiB"},
		{4096, "bytes", "4.00 KiB"},
		{1023 << 10, "bytes", "0.999 MiB"},
		{1<<20 - 1, "bytes", "1.00 MiB"},
		{34.5 * (1 << 20), "bytes", "34.5 MiB"},
		{512 << 20, "bytes", "512 MiB"},
		{16 << 30, "bytes", "16.0 GiB"},
		{3 << 40, "bytes", "3.00 TiB"},
		{-2 << 20, "bytes", "-2.00 MiB"},
		{1e300, "ns", "1.00e+291 s"},
		{-1e300, "bytes", "-9.09e+287 TiB"},
		{1e-300, "ns", "1.00e-300 ns"},
		{9_994_999e9, "ns", "9_990_000 s"},
		{9_995_000e9, "ns", "1.00e+07 s"},

		{0, "", "0"},
		{3, "", "3"},
		{12_345, "", "12_345"}, // a count stays exact
		{1_234_567, "", "1_234_567"},
		{-1234, "", "-1_234"},
		{0.123456, "", "0.123"},
		{1.5, "", "1.50"},
		{1234.5, "", "1_230"},

		{nan, "ns", "–"},
		{inf, "bytes", "–"},
		{-inf, "", "–"},
		{2, "furlongs", "2.00 furlongs"},
	}
	for _, tt := range tests {
		want := strings.ReplaceAll(tt.want, "_", nbsp)
		if got := FormatValue(tt.v, tt.unit); got != want {
			t.Errorf("FormatValue(%v, %q) = %q, want %q", tt.v, tt.unit, got, want)
		}
	}
}

func TestFormatInterval(t *testing.T) {
	nan := math.NaN()
	tests := []struct {
		low, high float64
		unit      string
		want      string
	}{
		{1_214_000, 1_263_000, "ns", "1.21 to 1.26 ms"},
		{950_000, 12_300_000, "ns", "0.950 to 12.3 ms"}, // one unit for both
		{999_400, 999_600, "ns", "0.999 to 1.00 ms"},
		{100, 900, "bytes", "100 to 900 B"},
		{900 << 10, 2 << 20, "bytes", "0.879 to 2.00 MiB"},
		{-3 << 20, 1 << 20, "bytes", "-3.00 to 1.00 MiB"},
		{3, 5, "", "3 to 5"},
		{0, 0, "ns", "0 to 0 ns"},
		{nan, nan, "ns", "–"},
		{math.Inf(-1), 5, "ns", "–"},
		{5, math.Inf(1), "ns", "–"},
	}
	for _, tt := range tests {
		if got := (Summary{Low: tt.low, High: tt.high}).FormatInterval(tt.unit); got != tt.want {
			t.Errorf("%v to %v %q = %q, want %q", tt.low, tt.high, tt.unit, got, tt.want)
		}
	}
	if got := Summarize([]float64{1}).FormatInterval("ns"); got != "–" {
		t.Errorf("of one value: %q", got)
	}
	if got := (Ratio{Low: 6.124, High: 6.479}).FormatInterval(); got != "6.12 to 6.48" {
		t.Errorf("of a ratio: %q", got)
	}
	if got := Compare([]float64{1}, []float64{1}, 0).FormatInterval(); got != "–" {
		t.Errorf("of a ratio of one value each: %q", got)
	}
}

func TestFormatRatio(t *testing.T) {
	tests := []struct {
		v    float64
		want string
	}{
		{1, "1.00"}, {6.314, "6.31"}, {63.14, "63.1"}, {631.4, "631"}, {999.5, "1_000"}, {1000, "1_000"},
		{2341, "2_340"}, {12_345, "12_300"}, {1_234_567, "1_230_000"},
		{0.9994, "0.999"}, {0.9996, "1.00"}, {0.0123, "0.0123"}, {0.001, "0.00100"}, {0.0009, "< 0.001"},
		{0, "0"}, {-1.5, "-1.50"},
		{math.NaN(), "–"}, {math.Inf(1), "–"},
	}
	for _, tt := range tests {
		want := strings.ReplaceAll(tt.want, "_", nbsp)
		if got := FormatRatio(tt.v); got != want {
			t.Errorf("FormatRatio(%v) = %q, want %q", tt.v, got, want)
		}
	}
}

func TestUnit(t *testing.T) {
	for name, want := range map[string]string{
		"first_instruction_ns": "ns", "pss_bytes": "bytes", "cpus": "", "ns": "", "": "", "patterns": "", "bytes_read": "",
	} {
		if got := Unit(name); got != want {
			t.Errorf("Unit(%q) = %q, want %q", name, got, want)
		}
	}
}
