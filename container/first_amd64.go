package container

import (
	"bytes"
	"unsafe"
)

// firstAddress is where the instructions of first_amd64.s are in this program.
func firstAddress() unsafe.Pointer

// firstCode gives those instructions.
func firstCode() []byte {
	code := unsafe.Slice((*byte)(firstAddress()), 4096)
	return code[:bytes.Index(code, bytes.Repeat([]byte{0xf4}, 8))]
}
