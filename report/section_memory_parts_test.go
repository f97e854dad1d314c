package report

import (
	"bytes"
	"maps"
	"strings"
	"testing"

	"gonum.org/v1/plot/vg/vgsvg"

	"vmctr/report/result"
)

// takeApart adds to the samples of a run what a machine's memory consists of.
func takeApart(run *result.Run) {
	for _, s := range run.Samples {
		if s.Experiment != "memory" {
			continue
		}
		s.Values["page_tables_bytes"], s.Values["hugetlb_bytes"] = 92<<10, 0
		if !strings.HasPrefix(s.Platform, "vm-") {
			continue
		}
		maps.Copy(s.Values, map[string]float64{
			"ram_rss_bytes": 94 * mib, "ram_pss_bytes": 94 * mib, "ram_thp_bytes": 90 * mib, "ram_hugetlb_bytes": 0, "qemu_pss_bytes": 78 * mib,
			"translations_pss_bytes": 30 * mib, "kernel_pss_bytes": 24 * mib, "initramfs_pss_bytes": 4 * mib, "program_pss_bytes": 8 * mib, "rest_pss_bytes": 12 * mib,
			"guest_ram_bytes": 256 * mib, "guest_total_bytes": 218 * mib, "guest_free_bytes": 181 * mib, "guest_available_bytes": 184 * mib,
			"guest_cached_bytes": 8 * mib, "guest_slab_bytes": 16 * mib, "guest_page_tables_bytes": 164 << 10,
			"host_second_page_tables_bytes": 0, "ksm_merged_bytes": 0, "cached_kernel_bytes": 51 * mib, "cached_initramfs_bytes": 8 * mib,
		})
	}
}

// TestPartWords: the sentences say what the figures do.
func TestPartWords(t *testing.T) {
	run := synthetic{memory: 8, emulated: true}.run()
	takeApart(run)
	var b bytes.Buffer
	blocks, tables := newModel(run).partBlocks()
	writeMarkdown(&b, &document{Sections: []section{{Title: "Memory", Blocks: append(blocks, tables...)}}})
	golden(t, "memory-parts.md", b.Bytes())

	for name, change := range map[string]struct {
		values map[string]float64
		want   string
		not    string
	}{
		"a hypervisor":       {map[string]float64{"translations_pss_bytes": 0}, "what remains for QEMU itself is 20.0", "emulator's cache"},
		"hugetlb":            {map[string]float64{"ram_hugetlb_bytes": 128 * mib}, "128 MiB of the RAM of vm-q35 (emulated) is in pages of hugetlbfs", ""},
		"nothing to give":    {map[string]float64{"guest_free_bytes": 150 * mib}, "calls 150 MiB free.", "not given back"},
		"no transparent":     {map[string]float64{"ram_thp_bytes": 0}, "94.0 MiB is RAM that its guest has touched, 37% of the 256 MiB", "huge pages"},
		"nothing of a guest": {map[string]float64{"guest_total_bytes": -1, "guest_free_bytes": -1}, "78.0 MiB is QEMU's", "before it ran anything"},
	} {
		t.Run(name, func(t *testing.T) {
			run := synthetic{memory: 8, emulated: true}.run()
			takeApart(run)
			for _, s := range run.Samples {
				if s.Platform == "vm-q35" && s.Experiment == "memory" {
					maps.Copy(s.Values, change.values)
					maps.DeleteFunc(s.Values, func(_ string, v float64) bool { return v < 0 })
				}
			}
			m := newModel(run)
			got := strings.ReplaceAll(strings.Join(m.partWords(m.with("ram_pss_bytes")), "\n"), nbsp, " ")
			if !strings.Contains(got, change.want) {
				t.Errorf("no %q in:\n%s", change.want, got)
			}
			if change.not != "" && strings.Contains(got, change.not) {
				t.Errorf("%q in:\n%s", change.not, got)
			}
		})
	}
	// A journal of an older bench has no parts, and gets no heading.
	if blocks, tables := newModel(synthetic{memory: 8}.run()).partBlocks(); blocks != nil || tables != nil {
		t.Errorf("without parts: %v %v", blocks, tables)
	}
}

// TestTextsInParts draws many machines, some of whose parts are too small for a figure.
func TestTextsInParts(t *testing.T) {
	run := manyPlatforms()
	takeApart(run)
	for i, s := range run.Samples {
		if s.Experiment == "memory" && i%2 == 0 {
			for name := range s.Values {
				s.Values[name] /= 40
			}
		}
	}
	m := newModel(run)
	f := m.partsFigure(m.with("ram_pss_bytes"))
	c := &texts{Canvas: vgsvg.New(f.W, f.H)}
	if err := drawFigure(f, c); err != nil {
		t.Fatal(err)
	}
	c.check(t, f)
	if len(c.boxes) < len(segments)+len(m.with("ram_pss_bytes")) {
		t.Errorf("%d texts: parts or machines have no name", len(c.boxes))
	}
}
