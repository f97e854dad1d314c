package report

import (
	"bytes"
	"testing"

	"vmctr/report/result"
	"vmctr/report/selftest"
)

func TestSelftestTable(t *testing.T) {
	run := &result.Run{Platforms: []result.Platform{{Name: "vm-q35", Kind: "vm", Emulated: true}}}
	all := []selftest.Check{
		{Part: "Clock", Name: "resolution", Found: "1.00 ns", Wanted: "≤ 1 µs", Verdict: selftest.OK},
		{Part: "Clock", Name: "cost", Found: "2.10 µs", Wanted: "≤ 1 µs", Verdict: selftest.NotOK, Why: "the clock is slow"},
		{Part: "Injected delay", Name: "1%", Verdict: selftest.NotMeasured, Why: "there was no time for it"},
		{Part: "Injected delay", Name: "2%", Verdict: selftest.NotMeasured, Why: "there was no time for it"},
		{Part: "Injected delay", Name: "5%", Found: "95%, 83% to 99.4%", Wanted: "≥ 95%", Verdict: selftest.OK, Why: "found in 38 of 40 trials\x1b[31m"},
	}
	var b bytes.Buffer
	if err := Selftest(&b, run, all, 80); err != nil {
		t.Fatal(err)
	}
	golden(t, "selftest.txt", b.Bytes())
}
