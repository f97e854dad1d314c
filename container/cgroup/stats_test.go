package cgroup

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseNumber(t *testing.T) {
	for in, want := range map[string]uint64{"0\n": 0, "12\n": 12, "max\n": Unlimited, "9223372036854771712\n": Unlimited, "9223372036854710272\n": Unlimited, "18446744073709551615": Unlimited, "9223372036854000000": 9223372036854000000} {
		if got, ok := parseNumber(in); got != want || !ok {
			t.Errorf("%q: %d, %v", in, got, ok)
		}
	}
	for _, in := range []string{"", "\n", "-1", "1 2", "x"} {
		if got, ok := parseNumber(in); ok {
			t.Errorf("%q: %d", in, got)
		}
	}
}

func TestParseKeys(t *testing.T) {
	got := parseKeys("anon 4096\nfile 8192\n\nodd\nwrong x\nhierarchical_memory_limit 9223372036854771712\n")
	if diff := cmp.Diff(map[string]uint64{"anon": 4096, "file": 8192, "hierarchical_memory_limit": Unlimited}, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseIO(t *testing.T) {
	want := []IOStats{
		{Major: 8, Minor: 0, ReadBytes: 1, WriteBytes: 2, Reads: 3, Writes: 4, DiscardBytes: 5, Discards: 6},
		{Major: 254, Minor: 16, ReadBytes: 7},
	}
	got := parseIOStat("8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6 cost.usage=7\n7:0\n254:16 rbytes=7 rios=x\nTotal 3\n")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("v2:", diff)
	}
	got = parseBlkio("254:16 Read 7\n8:0 Read 1\n8:0 Write 2\n8:0 Sync 3\n8:0 Async 0\n8:0 Discard 5\n8:0 Total 3\nTotal 3\n", "8:0 Read 3\n8:0 Write 4\n8:0 Discard 6\nTotal 7\n")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("v1:", diff)
	}
}

func TestParsePressure(t *testing.T) {
	got := parsePressure("some avg10=1.50 avg60=0.20 avg300=0.00 total=1234\nfull avg10=0.50 avg60=0.00 avg300=0.00 total=5\nnew avg10=1.00\n")
	want := Pressure{Some: PressureLine{1.5, 0.2, 0, 1234 * time.Microsecond}, Full: PressureLine{0.5, 0, 0, 5 * time.Microsecond}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPageSize(t *testing.T) {
	for in, want := range map[string]string{"hugepages-2048kB": "2MB", "hugepages-1048576kB": "1GB", "hugepages-64kB": "64KB", "hugepages-kB": "", "hugepages-64": "", "64kB": ""} {
		if got, ok := pageSize(in); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", in, got, ok)
		}
	}
}

// FuzzStats: nothing that a kernel might print makes the parsers panic, or find
// the same device twice on version 1.
func FuzzStats(f *testing.F) {
	f.Add("8:0 rbytes=1 wbytes=2\n", "8:0 Read 1\nTotal 1\n")
	f.Add("some avg10=1.50 total=1234\n", "anon 4096\n")
	f.Fuzz(func(t *testing.T, a, b string) {
		parseNumber(a)
		parseKeys(a)
		parseIOStat(a)
		pageSize(a)
		if p := parsePressure(a); p.Some.Avg10 != p.Some.Avg10 {
			t.Errorf("not a number: %v", p)
		}
		seen := map[[2]uint32]bool{}
		for _, d := range parseBlkio(a, b) {
			if seen[[2]uint32{d.Major, d.Minor}] {
				t.Errorf("%d:%d twice", d.Major, d.Minor)
			}
			seen[[2]uint32{d.Major, d.Minor}] = true
		}
	})
}
