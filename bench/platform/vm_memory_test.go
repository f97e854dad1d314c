package platform

import (
	"context"
	"testing"
	"time"
)

// runs is an instance that has executed its first instruction, and is stopped with the test.
func runs(t *testing.T, p Platform) (context.Context, Instance) {
	t.Helper()
	prepared, _ := prepare(t, p)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	i, err := prepared.Start(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { i.Stop(context.Background()) })
	if _, err := i.Output().FirstInstruction(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx, i
}

// TestMemoryParts: a machine's memory is all accounted for, and so is that of one without
// a guest who could be asked.
func TestMemoryParts(t *testing.T) {
	for _, p := range []Platform{machine{"q35"}, bare{}} {
		t.Run(p.Info().Name, func(t *testing.T) {
			ctx, i := runs(t, p)
			v, err := i.(Parted).MemoryParts(ctx)
			if err != nil {
				t.Fatal(err)
			}
			sum := v["translations_pss_bytes"] + v["kernel_pss_bytes"] + v["initramfs_pss_bytes"] + v["program_pss_bytes"] + v["rest_pss_bytes"]
			if sum != v["qemu_pss_bytes"] || v["rest_pss_bytes"] <= 0 || v["ram_pss_bytes"] <= 0 {
				t.Errorf("QEMU's own is %d, and its parts %d: %v", v["qemu_pss_bytes"], sum, v)
			}
			if v["ram_rss_bytes"] > v["guest_ram_bytes"] {
				t.Errorf("more RAM than it was given: %v", v)
			}
			_, told := v["guest_total_bytes"]
			_, booted := v["cached_kernel_bytes"]
			if has := !p.Info().NoSystem; told != has || booted != has {
				t.Errorf("with a system: %v; its guest has told %v, it was booted from files %v", has, told, booted)
			}
		})
	}
}
