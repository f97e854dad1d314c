package main

import (
	"slices"
	"strings"
	"testing"

	"vmctr/report/result/isolation"
)

// What is not tried for want of time says so, but for controls; a control that failed is
// tried once more.
func TestEachVariant(t *testing.T) {
	variants := []string{isolation.Bare, isolation.Contained, "without a", "without b", isolation.Bare}
	for _, tt := range []struct {
		name    string
		time    int // variants that there is time for
		verdict isolation.Verdict
		tried   []string
		said    int
	}{
		{"all", 9, isolation.Reached, variants, 5},
		{"too slow", 3, isolation.Reached, []string{isolation.Bare, isolation.Contained, "without a", isolation.Bare}, 5},
		{"a control that fails", 9, isolation.Blocked, []string{isolation.Bare, isolation.Bare, isolation.Contained, "without a", "without b", isolation.Bare, isolation.Bare}, 7},
	} {
		var tried []string
		var said []isolation.Probing
		err := eachVariant(variants, func() bool { return len(tried) >= tt.time }, func(v string) isolation.Probing {
			tried = append(tried, v)
			return isolation.Probing{Variant: v, Findings: []isolation.Finding{{Probe: "p", Verdict: tt.verdict}}}
		}, func(p any) error {
			said = append(said, p.(isolation.Probing))
			return nil
		})
		if err != nil || !slices.Equal(tried, tt.tried) || len(said) != tt.said {
			t.Errorf("%s: tried %q, said %d (%v); want %q, %d", tt.name, tried, len(said), err, tt.tried, tt.said)
		}
		for _, p := range said {
			if untried := len(p.Findings) == 0; untried != strings.HasPrefix(p.Error, "not tried: ") || untried != !slices.Contains(tried, p.Variant) {
				t.Errorf("%s: %+v", tt.name, p)
			}
		}
	}
}
