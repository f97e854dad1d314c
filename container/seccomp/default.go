package seccomp

import (
	"fmt"

	moby "github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// Default is Docker's default profile for a process with these capabilities in
// its bounding set, on this kernel. It refuses some sixty of the 370 system
// calls of x86-64: those that reach beyond namespaces, are old, or have had
// many bugs. What needs a capability is allowed to those that have it.
func Default(capabilities []string) (*specs.LinuxSeccomp, error) {
	profile, err := moby.GetDefaultProfile(&specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: capabilities}}})
	if err != nil {
		return nil, fmt.Errorf("seccomp: default profile: %w", err)
	}
	return profile, nil
}

// Load reads a profile in Docker's format (docs.docker.com/engine/security/seccomp),
// which tells rules for processes with a capability, or for one architecture,
// from the others.
func Load(profile []byte, capabilities []string) (*specs.LinuxSeccomp, error) {
	p, err := moby.LoadProfile(string(profile), &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: capabilities}}})
	if err != nil {
		return nil, fmt.Errorf("seccomp: %w", err)
	}
	return p, nil
}
