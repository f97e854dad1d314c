package seccomp

import (
	"maps"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
)

// Features are what of a profile is understood (runtime-spec features-linux.md,
// "Seccomp").
func Features() *features.Seccomp {
	enabled := true
	f := &features.Seccomp{Enabled: &enabled, Actions: names(actions), Operators: names(operators), KnownFlags: names(flags), SupportedFlags: names(flags)}
	for _, a := range knownArchs {
		f.Archs = append(f.Archs, "SCMP_ARCH_"+a)
	}
	slices.Sort(f.Archs)
	return f
}

func names[K specs.LinuxSeccompAction | specs.LinuxSeccompOperator | specs.LinuxSeccompFlag, V any](m map[K]V) []string {
	var list []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		list = append(list, string(k))
	}
	return list
}
