package step

import "sync/atomic"

// loadUint32 reads a word that the kernel writes.
func loadUint32(p *uint32) uint32 { return atomic.LoadUint32(p) }
