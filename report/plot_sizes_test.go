package report

import (
	"strings"
	"testing"

	"vmctr/report/result"
)

// TestSizesPlot: what a platform needs is told apart from the image's own files in it,
// and platforms that need the same stand together.
func TestSizesPlot(t *testing.T) {
	run := synthetic{startup: 3, emulated: true}.run()
	twin := run.Platforms[2]
	twin.Name = "vm-pc"
	old := run.Platforms[2]
	old.Name, old.Parts = "vm-old", nil
	away := result.Platform{Name: "podman", Kind: "container", Status: result.Unavailable}
	run.Platforms = append(run.Platforms, twin, old, away)
	m := newModel(run)
	alt := m.sizesFigure(m.image()).Alt
	for _, want := range []string{"compressed, to send 2.25", "process: no file besides", "vm-q35 and vm-pc, both emulated: 46.2\u00a0MiB besides the image; guest kernel 42.5",
		"vm-old (emulated): what it needs besides was not recorded", "podman: unavailable"} {
		if !strings.Contains(alt, want) {
			t.Errorf("no %q in %q", want, alt)
		}
	}
	for _, r := range m.sizedRows(m.image()) {
		if r.name == "initramfs" && (r.image != 1_054_208+2_726_400 || r.bytes != 7_730_941) {
			t.Errorf("%+v", r)
		}
	}
}
