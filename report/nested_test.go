package report

import (
	"math"
	"slices"
	"strings"
	"testing"

	"vmctr/report/result"
)

// nestedRun has a container in a machine beside both.
func nestedRun() *result.Run {
	run := synthetic{startup: 12, memory: 4, emulated: true}.run()
	machine := run.Platforms[2]
	machine.Name, machine.Title, machine.Kind = "nested", "container in a virtual machine (QEMU q35)", "nested"
	run.Platforms = append(run.Platforms, machine)
	run.Header.Platforms = append(run.Header.Platforms, "nested")
	inside := *run.Identity("container")
	outside := run.Identity("vm-q35")
	inside.Kernel, inside.BootID, inside.Hypervisor, inside.HyperName = outside.Kernel, "1c9d3f70-2b52-4c55-b3f1-09e8a7d6c5b4", true, outside.HyperName
	inside.CPUs, inside.MemTotal, inside.Uptime, inside.Interfaces = 1, outside.MemTotal, 2.2, []string{"eth0", "lo"}
	inside.Namespaces = namespaces(4026532185, "cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
	var phases []result.Phase
	for i, name := range strings.Split("start,qemu,firmware,kernel,init,modules,root,ports,network,engine,workload,container overlay,container make cgroup,container clone,"+
		"container id maps,container cgroup,container file system,container network,container privileges,container exec,running", ",") {
		phases = append(phases, result.Phase{Name: name, Ns: int64(i) * 125 * ms})
	}
	for _, s := range slices.Clone(run.Samples) {
		if s.Platform != "vm-q35" {
			continue
		}
		s.Platform = "nested"
		values := map[string]float64{}
		for k, v := range s.Values {
			values[k] = math.Round(v * 1.15)
		}
		s.Values = values
		switch s.Experiment {
		case "identity":
			s.Identity, s.GuestNamespaces = &inside, namespaces(0)
		case "startup":
			values["container_error_ns"] = 310_000
			values["container_ns"] = math.Round(values["first_instruction_ns"] / 15)
			s.Phases = phases
		}
		run.Samples = append(run.Samples, s)
	}
	return run
}

// TestCombination: what is said of a container in a machine follows from what it
// saw, and not from its name.
func TestCombination(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*result.Run, *result.Sample) // the sample is of its identity
		want   string
	}{
		{"a container in a machine", func(*result.Run, *result.Sample) {}, "So it was in nested (emulated): its program ran on a kernel other than the host's, in a container there: 7 of its 8 namespaces are not its guest's."},
		{"no container", func(_ *result.Run, s *result.Sample) { s.Identity.Namespaces = s.GuestNamespaces }, "Not so in nested (emulated): its program was in its guest's own namespaces, and so in no container."},
		{"no machine", func(r *result.Run, s *result.Sample) { s.Identity.BootID = r.Header.Host.BootID }, "Not so in nested (emulated): its program ran on the host's kernel."},
		{"nothing of the guest", func(_ *result.Run, s *result.Sample) { s.GuestNamespaces = nil }, "Undecided for nested (emulated): a boot_id or the guest's namespaces were not recorded."},
		{"it failed", func(r *result.Run, s *result.Sample) {
			s.Identity, s.GuestNamespaces, r.Platforms[3].Status = nil, nil, result.Failed
		}, "Of nested (emulated) nothing was seen: failed."},
	} {
		run := nestedRun()
		for i := range run.Samples {
			if s := &run.Samples[i]; s.Platform == "nested" && s.Identity != nil {
				tt.change(run, s)
			}
		}
		if got := newModel(run).combination(); !strings.HasSuffix(got, "containers\". "+tt.want) {
			t.Errorf("%s: %s", tt.name, got)
		}
	}
	if got := newModel(synthetic{startup: 3}.run()).combination(); got != "" {
		t.Errorf("without it: %s", got)
	}
}

// TestContainerShare: the share is beside the figure of the container on the host,
// if there is one.
func TestContainerShare(t *testing.T) {
	run := nestedRun()
	share := func() string {
		m := newModel(run)
		return m.containerShare(m.metric("first_instruction_ns").figure(m.platforms[len(m.platforms)-1]))
	}
	if got := share(); !strings.Contains(got, "In nested (emulated) the container itself took 1") || !strings.HasSuffix(got, " times what the container took on the host.") {
		t.Error(got)
	}
	run.Samples = without(run.Samples, "container", 0)
	if got := share(); !strings.HasSuffix(got, "all that its user waits for.") {
		t.Error(got)
	}
	run.Samples = without(run.Samples, "nested", 0)
	if got := share(); got != "" {
		t.Error(got)
	}
}

// TestContainerPart: in a drawing the container's phases are one, which ends with
// the start; of a start that did not come so far, nothing is taken together.
func TestContainerPart(t *testing.T) {
	m := newModel(nestedRun())
	lines := m.timelines("startup", m.metric("first_instruction_ns").present())
	l := lines[len(lines)-1]
	drawn := l.drawn()
	last := drawn[len(drawn)-1]
	if before := drawn[len(drawn)-2].Name; before != "engine" || last.Name != containerPart || math.Abs(last.Began+last.Took-l.Total) > 1 {
		t.Errorf("after %s: %+v, of %v", before, last, l.Total)
	}
	l.Phases = l.Phases[:3]
	if got := l.drawn(); len(got) != 3 || got[2].Name != "firmware" {
		t.Errorf("%+v", got)
	}
}
