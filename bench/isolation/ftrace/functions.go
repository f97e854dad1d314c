package ftrace

import (
	"maps"
	"slices"
)

// Functions are a set of the kernel's functions, by name: true are those that ran outside
// interrupts, perhaps among others.
type Functions map[string]bool

// Without are those that are not in another set.
func (f Functions) Without(other Functions) Functions {
	rest := Functions{}
	for name, outside := range f {
		if _, ok := other[name]; !ok {
			rest[name] = outside
		}
	}
	return rest
}

// Names are those that ran outside interrupts, and those that ran in them alone.
func (f Functions) Names() (outside, interrupts []string) {
	for _, name := range slices.Sorted(maps.Keys(f)) {
		if f[name] {
			outside = append(outside, name)
		} else {
			interrupts = append(interrupts, name)
		}
	}
	return outside, interrupts
}
