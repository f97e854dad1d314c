package platform

import (
	"context"
	"fmt"
	"strings"
)

// Parted is an instance of whose memory is known what of it is what: a machine.
type Parted interface {
	// MemoryParts are figures in bytes, by their names in the journal.
	MemoryParts(ctx context.Context) (map[string]int64, error)
}

// MemoryParts asks the guest for its own account too (vm.GuestMemory).
func (i *machineInstance) MemoryParts(ctx context.Context) (map[string]int64, error) {
	parts, err := i.hostParts(ctx)
	if err != nil {
		return nil, err
	}
	guest, err := i.m.GuestMemory(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking the guest for its memory: %w", err)
	}
	parts["guest_total_bytes"] = guest.Total
	parts["guest_free_bytes"] = guest.Free
	parts["guest_available_bytes"] = guest.Available
	parts["guest_cached_bytes"] = guest.Cached
	parts["guest_slab_bytes"] = guest.Slab
	parts["guest_page_tables_bytes"] = guest.PageTables
	return parts, nil
}

// MemoryParts of a guest without a system are what the host sees.
func (i *bareInstance) MemoryParts(ctx context.Context) (map[string]int64, error) {
	return i.hostParts(ctx)
}

// hostParts takes QEMU's memory apart (vm.Memory).
func (i *machineInstance) hostParts(ctx context.Context) (map[string]int64, error) {
	all, err := i.m.Memory(ctx)
	if err != nil {
		return nil, err
	}
	files, err := i.m.Cached()
	if err != nil {
		return nil, err
	}
	parts := map[string]int64{
		"ram_rss_bytes":          all.RAM.RSS,
		"ram_pss_bytes":          all.RAM.PSS,
		"ram_thp_bytes":          all.RAMTransparent,
		"ram_hugetlb_bytes":      all.RAMHugetlb,
		"qemu_pss_bytes":         all.QEMU().PSS,
		"translations_pss_bytes": all.Translations.PSS,
		"kernel_pss_bytes":       all.Kernel.PSS,
		"initramfs_pss_bytes":    all.Initramfs.PSS,
		"program_pss_bytes":      all.Program.PSS,
		"rest_pss_bytes":         all.Rest.PSS,

		"guest_ram_bytes": i.m.RAM(),
	}
	// What a host does not count is not shown as nothing.
	for name, bytes := range map[string]int64{"host_second_page_tables_bytes": all.SecondPageTables, "ksm_merged_bytes": all.Merged} {
		if bytes >= 0 {
			parts[name] = bytes
		}
	}
	for _, f := range files {
		kind, _, _ := strings.Cut(f.Name, " ") // the disks of the layers together
		parts["cached_"+kind+"_bytes"] += f.Cached
	}
	return parts, nil
}
