package selftest

import (
	"slices"
	"testing"
)

func TestParseHyperfine(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []float64
	}{
		{"two runs", `{"results":[{"command":"x","mean":0.002,"times":[0.0015,0.0025],"exit_codes":[0,0]}]}`, []float64{1.5e6, 2.5e6}},
		{"a run that failed", `{"results":[{"times":[0.0015],"exit_codes":[1]}]}`, nil},
		{"a run that was killed", `{"results":[{"times":[0.0015],"exit_codes":[null]}]}`, nil},
		{"no runs", `{"results":[{"times":[]}]}`, nil},
		{"nothing", `{}`, nil},
		{"cut off", `{"results":[{"times":[0.0`, nil},
	} {
		got, err := parseHyperfine([]byte(tt.text))
		if (err == nil) != (tt.want != nil) || !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, %v", tt.name, got, err)
		}
	}
}

func TestCommandLine(t *testing.T) {
	if got, want := commandLine([]string{"/a b/c", "it's", "$x"}), `'/a b/c' 'it'\''s' '$x'`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
