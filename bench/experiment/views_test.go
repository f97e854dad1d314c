package experiment

import (
	"slices"
	"testing"

	"vmctr/bench/platform"
	"vmctr/report/result/isolation"
)

// TestViewsOfAContainer: what a container sees, and how far its system calls come.
func TestViewsOfAContainer(t *testing.T) {
	s, err := Look(t.Context(), isolated(t, "container"), true)
	if err != nil {
		t.Fatal(err)
	}
	v := s.View
	if !v.SameKernel() || v.NamespacesOf != "host" {
		t.Errorf("kernel %s of %s, namespaces of %q", v.BootID, v.HostBootID, v.NamespacesOf)
	}
	whose := map[string]isolation.Whose{}
	for _, x := range v.Sights {
		whose[x.Fact+x.Of] = x.Whose
	}
	for _, n := range v.Namespaces {
		whose[n.Type] = n.Whose
	}
	for what, want := range map[string]isolation.Whose{
		"boot id": isolation.Hosts, "uptime": isolation.Hosts, "pid 1": isolation.Own, "pid": isolation.Own, "root": isolation.Own, "interfaces": isolation.Own,
		"user": isolation.Own, "file/proc/keys": isolation.Hidden, "mnt": isolation.Own, "net": isolation.Own, "time": isolation.Hosts,
	} {
		if whose[what] != want {
			t.Errorf("%s is %q, want %q", what, whose[what], want)
		}
	}
	p := &s.Privileges[0]
	if p.Seccomp != 2 || p.Filters < 1 || !p.NoNewPrivs || len(p.Capabilities["effective"]) != 14 || p.CallsError != "" {
		t.Errorf("%+v", p)
	}
	// Docker's list names some 60 calls that it does not let through without capabilities
	// which the container lacks.
	if n := p.Count(isolation.Filtered); n < 40 || n > 120 {
		t.Errorf("%d system calls are filtered", n)
	}
	if n := p.Count(isolation.Served); n < 200 {
		t.Errorf("%d system calls are served", n)
	}
	if c := call(p, "getpid"); c.Class != isolation.Served || c.Answer != "0" {
		t.Errorf("getpid: %+v", c)
	}
	for _, name := range []string{"reboot", "mount", "kexec_load", "init_module"} {
		if c := call(p, name); c.Class != isolation.Filtered && c.Class != isolation.Denied {
			t.Errorf("%s: %+v", name, c)
		}
	}
	if p.Knobs == nil || p.Knobs.Files == 0 || p.Knobs.Open != 0 {
		t.Errorf("knobs: %+v", p.Knobs)
	}
}

// TestViewsWithoutWalls: in the throwaway machine nothing is filtered.
func TestViewsWithoutWalls(t *testing.T) {
	s, err := arenaLook(t.Context(), isolated(t, platform.ThrowawayName))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Privileges) != 2 {
		t.Fatalf("%d variants", len(s.Privileges))
	}
	p := &s.Privileges[0]
	if p.Variant != isolation.Bare || p.CallsError != "" || p.Seccomp != 0 || p.Count(isolation.Filtered) != 0 || p.Count(isolation.Served) < 250 {
		t.Errorf("%d filtered, %d served: %q", p.Count(isolation.Filtered), p.Count(isolation.Served), p.CallsError)
	}
	if c := call(p, "reboot"); c.Class != isolation.Served || c.Answer != "EINVAL" {
		t.Errorf("reboot of root: %+v", c)
	}
	if p.Knobs.Open == 0 {
		t.Errorf("knobs: %+v", p.Knobs)
	}
	// Without the filter the kernel itself refuses, for want of capabilities.
	p = &s.Privileges[1]
	if p.Variant != isolation.Without("seccomp") || p.CallsError != "" || p.Error != "" || p.Count(isolation.Filtered) != 0 {
		t.Errorf("%q: %d filtered: %q, %q", p.Variant, p.Count(isolation.Filtered), p.Error, p.CallsError)
	}
	for _, name := range []string{"reboot", "mount", "init_module", "settimeofday"} {
		if c := call(p, name); c.Class != isolation.Denied {
			t.Errorf("%s without capabilities: %+v", name, c)
		}
	}
}

func call(p *isolation.Privileges, name string) isolation.Call {
	i := slices.IndexFunc(p.Calls, func(c isolation.Call) bool { return c.Name == name })
	if i < 0 {
		return isolation.Call{}
	}
	return p.Calls[i]
}

// On the host itself no system call is tried.
func TestViewsOfAProcess(t *testing.T) {
	s, err := Look(t.Context(), isolated(t, "process"), true)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Privileges[0].Calls) != 0 || s.Privileges[0].CallsError == "" {
		t.Errorf("system calls of a process on the host were tried: %d", len(s.Privileges[0].Calls))
	}
	for _, x := range s.View.Sights {
		if x.Whose == isolation.Own && x.Fact != "environment" && x.Fact != "descriptors" {
			t.Errorf("a plain process has its own: %+v", x)
		}
	}
}
