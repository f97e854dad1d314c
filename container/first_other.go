//go:build !amd64

package container

// firstCode is written for amd64 only.
func firstCode() []byte { return nil }
