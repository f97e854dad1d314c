package platform

import (
	"context"
	"strings"

	"vmctr/vm"
)

// Matrix is the experiment that the variants here are for: each way in which a
// machine can boot is a platform of it.
const Matrix = "vm-matrix"

func init() {
	for _, typ := range []string{"microvm", "pc", "q35"} {
		for _, format := range []string{formatELF, formatBzImage} {
			for _, firmware := range []string{vm.SeaBIOS, vm.Qboot} {
				register(variant{machine{typ}, Boot{Format: format, Firmware: firmware}})
			}
		}
	}
	// QEMU's own default, of which nothing is said but what to boot: the base.
	register(variant{machine{"pc"}, Boot{Format: formatBzImage, Firmware: vm.SeaBIOS, Defaults: true}})
}

// variant is a machine that boots in a given way.
type variant struct {
	machine
	boot Boot
}

func (p variant) Info() Info {
	parts := []string{"vm-" + p.typ, p.boot.Format, p.boot.Firmware}
	title := "QEMU " + p.typ + ", kernel as " + map[string]string{formatELF: "ELF", formatBzImage: "bzImage"}[p.boot.Format] +
		", " + map[string]string{vm.SeaBIOS: "SeaBIOS", vm.Qboot: "qboot"}[p.boot.Firmware]
	if p.boot.Defaults {
		parts, title = append(parts, "default"), title+": QEMU's default"
	}
	return Info{Name: strings.Join(parts, ","), Title: title, Kind: "vm", Experiment: Matrix}
}

func (p variant) Prepare(ctx context.Context, w Workload) (Prepared, error) {
	return prepared(p.prepare(ctx, w, Guest{Boot: p.boot}))
}
