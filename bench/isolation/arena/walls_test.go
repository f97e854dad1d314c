package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"vmctr/report/result/isolation"
)

// describe puts what a configuration has into words, in the order of the mechanisms.
func describe(s *specs.Spec) (has []string) {
	add := func(yes bool, name string) {
		if yes {
			has = append(has, name)
		}
	}
	l := s.Linux
	ns := func(t specs.LinuxNamespaceType) bool {
		return slices.ContainsFunc(l.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == t })
	}
	mount := func(at, kind string) bool {
		return slices.ContainsFunc(s.Mounts, func(m specs.Mount) bool { return m.Destination == at && m.Type == kind })
	}
	add(ns(specs.UserNamespace) && len(l.UIDMappings) == 1 && len(l.GIDMappings) == 1, "user namespace")
	add(ns(specs.PIDNamespace), "pid namespace")
	add(ns(specs.MountNamespace), "mount namespace")
	add(ns(specs.NetworkNamespace), "network namespace")
	add(ns(specs.UTSNamespace) && s.Hostname != "", "uts namespace")
	add(ns(specs.IPCNamespace), "ipc namespace")
	add(ns(specs.CgroupNamespace), "cgroup namespace")
	add(l.Resources.Memory != nil && l.Resources.Pids != nil && l.Resources.CPU != nil, "limits")
	add(mount("/dev", "tmpfs"), "devices")
	add(len(l.MaskedPaths) > 0, "masked paths")
	add(len(l.ReadonlyPaths) > 0, "read-only paths")
	add(s.Process.Capabilities != nil, "capabilities")
	add(s.Process.NoNewPrivileges, "no_new_privs")
	return has
}

func TestWalls(t *testing.T) {
	var all []string // but the filter, which start adds
	for _, m := range isolation.Mechanisms {
		if m.Name != "seccomp" {
			all = append(all, m.Name)
		}
	}
	inTree := []string{"mount namespace", "devices", "masked paths", "read-only paths"}
	for _, v := range isolation.Variants() {
		var want []string
		name, without := strings.CutPrefix(v, isolation.Without(""))
		only, isOnly := strings.CutPrefix(v, isolation.Only(""))
		switch {
		case v == isolation.Contained:
			want = all
		case without && name == "mount namespace":
			want = slices.DeleteFunc(slices.Clone(all), func(m string) bool { return slices.Contains(inTree, m) })
		case without:
			want = slices.DeleteFunc(slices.Clone(all), func(m string) bool { return m == name })
		case isOnly && only != "seccomp":
			want = []string{only}
			if needs := isolation.FindMechanism(only).Needs; needs != "" {
				want = slices.DeleteFunc(slices.Clone(all), func(m string) bool { return m != needs && m != only })
			}
		}
		w, err := wallsOf(v)
		if err != nil {
			t.Fatal(err)
		}
		s := w.spec([]string{"program"}, "i1")
		if got := describe(s); !slices.Equal(got, want) {
			t.Errorf("%s: the configuration has %q, and is to have %q", v, got, want)
		}
		if w["seccomp"] != (v == isolation.Contained || without && name != "seccomp" || only == "seccomp") {
			t.Errorf("%s: the filter of system calls: %v", v, w["seccomp"])
		}
		// For the host's root with a tree of its own the runtime makes rules on devices
		// unless it is told which.
		if allowed := len(s.Linux.Resources.Devices) > 0; allowed != slices.Contains([]string{"only pid namespace", "only mount namespace", "only masked paths", "only read-only paths"}, v) {
			t.Errorf("%s: all devices are allowed: %v", v, allowed)
		}
		if host := s.Root.Path == "/"; host == w["mount namespace"] {
			t.Errorf("%s: its root is the host's: %v", v, host)
		}
	}
	for _, v := range []string{"", "without", "without walls", "only", "only seccomp filter"} {
		if _, err := wallsOf(v); err == nil {
			t.Errorf("wallsOf(%q) has no error", v)
		}
	}
}

// What shows a namespace that is not its own is the host's.
func TestMountsOfTheHost(t *testing.T) {
	for _, tt := range []struct {
		variant, at string
		bound       bool
	}{
		{"container", "/proc", false},
		{"without pid namespace", "/proc", true},
		{"without network namespace", "/sys", true},
		{"without ipc namespace", "/dev/shm", true},
		{"without ipc namespace", "/dev/mqueue", true},
		{"without ipc namespace", "/dev", false},
		{"without devices", "/dev", true},
		{"without devices", "/dev/pts", true},
		{"only mount namespace", "/proc", true},
		{"only pid namespace", "/proc", false},
		{"only mount namespace", "/sys", true},
	} {
		w, err := wallsOf(tt.variant)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range w.spec([]string{"program"}, "i1").Mounts {
			if m.Destination != tt.at {
				continue
			}
			if bound := slices.Contains(m.Options, "bind"); bound != tt.bound {
				t.Errorf("%s: %s is the host's: %v, and is to be: %v", tt.variant, tt.at, bound, tt.bound)
			}
			if m.Destination == "/sys" && !slices.Contains(m.Options, "ro") {
				t.Errorf("%s: /sys can be written to", tt.variant)
			}
		}
	}
}
