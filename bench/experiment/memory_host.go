package experiment

import (
	"errors"
	"fmt"

	"github.com/prometheus/procfs"
)

// host is what the host's kernel says of all its memory, in bytes (proc_meminfo(5)).
type host struct {
	// available is MemAvailable: what programs could get without swapping.
	available float64
	total     float64
	// kernel is what the kernel has taken for itself, by the names in the journal; what it
	// does not tell is not there.
	kernel map[string]float64
}

func readHost() (h host, err error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return h, err
	}
	m, err := fs.Meminfo()
	if err != nil {
		return h, fmt.Errorf("reading the host's memory: %w", err)
	}
	if m.MemAvailableBytes == nil || m.MemTotalBytes == nil {
		return h, errors.New("reading the host's memory: /proc/meminfo has no MemTotal or no MemAvailable (Linux 3.14)")
	}
	h.available, h.total, h.kernel = float64(*m.MemAvailableBytes), float64(*m.MemTotalBytes), map[string]float64{}
	for name, bytes := range map[string]*uint64{
		"added_slab_bytes":               m.SlabBytes,
		"added_slab_reclaimable_bytes":   m.SReclaimableBytes,
		"added_slab_unreclaimable_bytes": m.SUnreclaimBytes,
		"added_kernel_stack_bytes":       m.KernelStackBytes,
		"added_page_tables_bytes":        m.PageTablesBytes,
		"added_second_page_tables_bytes": m.SecPageTablesBytes,
		"added_percpu_bytes":             m.PercpuBytes,
	} {
		if bytes != nil {
			h.kernel[name] = float64(*bytes)
		}
	}
	return h, nil
}

// addGrowth is by how much less is available than before, and how much more the kernel
// has. All that the host does is in these figures, so they can be below zero.
func (h host) addGrowth(before host, values map[string]float64) {
	values["available_drop_bytes"] = before.available - h.available
	for name, bytes := range h.kernel {
		if was, ok := before.kernel[name]; ok {
			values[name] = bytes - was
		}
	}
}
