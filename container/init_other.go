//go:build !amd64

package container

// initCode is written for amd64 only.
func initCode() []byte { return nil }
