package vm

import (
	"os"
	"regexp"
	"runtime"
	"strconv"
	"testing"
)

// TestHostTSC holds what is measured against what the host's kernel has measured
// when it booted.
func TestHostTSC(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		if got := hostTSC(); got != 0 {
			t.Errorf("%d kHz on a processor that has no such counter", got)
		}
		return
	}
	got := hostTSC()
	if got < 100_000 || got > 10_000_000 {
		t.Fatalf("%d kHz", got)
	}
	// bogomips are twice the frequency in MHz, where the kernel takes its delay loop
	// from the counter.
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^bogomips\s*: ([0-9.]+)$`).FindSubmatch(info)
	if m == nil {
		t.Skip("/proc/cpuinfo names no bogomips")
	}
	bogomips, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	if ratio := float64(got) / (bogomips * 500); ratio < 0.999 || ratio > 1.001 {
		t.Errorf("%d kHz, and bogomips are %s: %.4f of half of that", got, m[1], ratio)
	}
}
