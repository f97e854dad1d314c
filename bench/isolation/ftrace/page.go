package ftrace

import (
	"encoding/binary"
	"fmt"
)

// A call is that of a function.
type call struct {
	function  uint64 // the address, a few bytes into it
	pid       int32  // of the thread that was on the CPU
	interrupt bool   // in an interrupt, or in what one has put off (softirq)
}

// The parts of a page of the ring buffer (kernel/trace/ring_buffer.c, and the file
// events/header_page): a time, the number of bytes that are used, with flags above it, and
// the events.
const (
	pageHeader = 16
	usedMask   = 1<<27 - 1
)

// An event begins with a word whose low five bits are its length in words, or one of these
// (include/linux/ring_buffer.h, enum ring_buffer_type; events/header_event).
const (
	typePadding    = 29
	typeTimeExtend = 30
	typeTimeStamp  = 31
)

// What all events of a kind begin with, and then those of functions (struct trace_entry
// and struct ftrace_entry; events/ftrace/function/format).
const (
	offsetType     = 0  // uint16
	offsetFlags    = 2  // uint8
	offsetPID      = 4  // int32
	offsetFunction = 8  // uint64
	sizeFunction   = 16 // at least

	flagHardirq = 0x08 // TRACE_FLAG_HARDIRQ
	flagSoftirq = 0x10 // TRACE_FLAG_SOFTIRQ
)

// parsePage gives each call in a page to f.
func parsePage(page []byte, function uint16, f func(call)) error {
	if len(page) < pageHeader {
		return fmt.Errorf("a page of the ring buffer has %d bytes", len(page))
	}
	used := binary.LittleEndian.Uint64(page[8:]) & usedMask
	if used > uint64(len(page)-pageHeader) {
		return fmt.Errorf("a page of the ring buffer says that %d of its %d bytes are used", used, len(page)-pageHeader)
	}
	rest := page[pageHeader:][:used]
	for len(rest) >= 4 {
		header := binary.LittleEndian.Uint32(rest)
		rest = rest[4:]
		kind, delta := header&0x1f, header>>5
		var size int
		switch kind {
		case typeTimeExtend, typeTimeStamp:
			size = 4
		case typePadding, 0: // the next word is the length, itself included
			if kind == typePadding && delta == 0 { // of the rest of the page
				return nil
			}
			if len(rest) < 4 {
				return fmt.Errorf("an event of the ring buffer without its length")
			}
			size = int(binary.LittleEndian.Uint32(rest))
			if size < 4 || size > len(rest) {
				return fmt.Errorf("an event of the ring buffer of %d bytes, with %d left", size, len(rest))
			}
			if kind == 0 {
				rest, size = rest[4:], size-4
			}
		default:
			size = int(kind) * 4
		}
		if size > len(rest) {
			return fmt.Errorf("an event of the ring buffer of %d bytes, with %d left", size, len(rest))
		}
		event := rest[:size]
		rest = rest[size:]
		if kind < typePadding && size >= sizeFunction && binary.LittleEndian.Uint16(event[offsetType:]) == function {
			f(call{
				function:  binary.LittleEndian.Uint64(event[offsetFunction:]),
				pid:       int32(binary.LittleEndian.Uint32(event[offsetPID:])),
				interrupt: event[offsetFlags]&(flagHardirq|flagSoftirq) != 0,
			})
		}
	}
	return nil
}
