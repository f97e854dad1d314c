package report

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"vmctr/report/result"
	"vmctr/report/result/isolation"
)

// seenRun is a run in which a container, a machine and a process have looked around.
func seenRun() *result.Run {
	run := synthetic{startup: 1, memory: 1, emulated: true}.run()
	const guest = "11111111-2222-4333-8444-555555555555"
	view := func(boot string, pid1, kernel, log string, logWhose, pid1Whose, kernelWhose isolation.Whose) *isolation.View {
		return &isolation.View{BootID: boot, HostBootID: hostBoot, Sights: []isolation.Sight{
			{Fact: "pid 1", Inside: pid1, Outside: "systemd", Whose: pid1Whose},
			{Fact: "pid", Inside: "1", Outside: "4711", Whose: pid1Whose},
			{Fact: "kernel", Inside: kernel, Outside: "6.1.0", Whose: kernelWhose},
			{Fact: "kernel log", Inside: log, Outside: "readable", Whose: logWhose},
			{Fact: "modules"},
			{Fact: "file", Of: "/proc/keys", Inside: "masked", Outside: "readable", Whose: isolation.Hidden},
		}}
	}
	container := view(hostBoot, "inside", "6.1.0", "EPERM", isolation.Hidden, isolation.Own, isolation.Hosts)
	container.NamespacesOf = "host"
	container.Namespaces = []isolation.Namespace{{Type: "net", Inside: 2, Outside: 1, Whose: isolation.Own}, {Type: "time", Inside: 3, Outside: 3, Whose: isolation.Hosts}}
	calls := func(mount isolation.Class) []isolation.Call {
		return []isolation.Call{{Number: 0, Name: "read", Class: isolation.Served, Answer: "EBADF"}, {Number: 39, Name: "getpid", Class: isolation.Served, Answer: "0"},
			{Number: 60, Name: "exit", Class: isolation.NotTried}, {Number: 165, Name: "mount", Class: mount, Answer: "EPERM"}, {Number: 183, Name: "afs_syscall", Class: isolation.NotInKernel}}
	}
	privileges := func(boot, variant string, mount isolation.Class) isolation.Privileges {
		return isolation.Privileges{BootID: boot, Variant: variant, Known: 41, Seccomp: 2, Filters: 1, UIDMap: "0 1000000 65536",
			Capabilities: map[string][]string{"effective": {"chown", "kill"}, "bounding": {"chown", "kill"}}, Calls: calls(mount),
			Devices: []isolation.Opening{{Path: "/dev/null"}, {Path: "/dev/kvm", Read: "EACCES", Write: "EACCES"}, {Path: "/dev/sda", Write: "not tried"}},
			Knobs:   &isolation.Knobs{Files: 10, Open: 3, By: map[string]int{"/proc/sys/net": 3}}}
	}
	add := func(platform string, v *isolation.View, p ...isolation.Privileges) {
		run.Samples = append(run.Samples, result.Sample{Experiment: "views", Platform: platform, View: v, Privileges: p})
	}
	process := privileges(hostBoot, "", isolation.Served)
	process.Calls, process.CallsError = nil, "not tried on the host itself"
	add("process", view(hostBoot, "systemd", "6.1.0", "readable", isolation.Hosts, isolation.Hosts, isolation.Hosts), process)
	add("container", container, privileges(hostBoot, "", isolation.Filtered))
	add("vm-q35", view(guest, "init", "6.1.0", "readable", isolation.Own, isolation.Own, isolation.Own), privileges(guest, "", isolation.Served))
	run.Platforms = append(run.Platforms, result.Platform{Name: "throwaway", Kind: "vm", Experiment: isolation.Group, Status: result.Ready})
	add("throwaway", nil, privileges(guest, isolation.Bare, isolation.Served), privileges(guest, isolation.Without("seccomp"), isolation.Denied), isolation.Privileges{Variant: "broken", Error: "it broke"})
	return run
}

func TestViews(t *testing.T) {
	m := newModel(seenRun())
	var b bytes.Buffer
	writeMarkdown(&b, m.document())
	text := strings.ReplaceAll(b.String(), nbsp, " ")
	for _, want := range []string{
		"The container, served by the host's kernel: of 5 things looked at, 1 is the host's, 2 its own, and 2 hidden. Shared with the host: Kernel.",
		"vm-q35 (emulated), with a kernel of its own: of 5 things looked at, 0 are the host's, 4 its own, and 1 hidden.",
		"Namespaces, as the host reads them from /proc: net its own, time shared: the container.",
		"| Process 1 | systemd | inside (its own) | init (its own) |",
		"| Kernel log | readable | hidden: EPERM | readable (its own) |",
		"| Number of the program itself | – | 1; outside 4711 (its own) |",
		"masked: /proc/keys",
		"The plain process: its system calls were not tried on the host itself.",
		"The container: of 5 system calls, a filter answers 1, the kernel refuses 0 for lack of a privilege, serves 2, and does not have 1.",
		"| without seccomp † | the throwaway machine's | 2 of 41 | 0 | 1 | 2 | 1 | 2 | 3 of 10 |",
		"Of the 1 that the filter of the container answers, the throwaway machine's kernel refuses 1 to a container without one, for lack of a privilege: there the filter is a second wall.",
		"The container has 2 of the 41 capabilities: chown, kill.",
		"| filtered (EPERM): container; served: vm-q35 (emulated), no walls †; refused (EPERM): without seccomp † | 1 | mount |",
		"| served: all | 2 | getpid, read |",
		"read and write: null; read: sda",
		"| /proc/sys/net | 3 | 3 | 3 | 3 | 3 |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	for _, not := range []string{"Kernel modules", "it broke", "Mounts in view", "No new privileges"} {
		if strings.Contains(text, not) {
			t.Errorf("the report has %q", not)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
	if _, any := newModel(synthetic{startup: 1, memory: 1}.run()).viewsSection(); any {
		t.Error("nobody looked, and there is a section")
	}
	if _, any := newModel(synthetic{startup: 1, memory: 1}.run()).privilegesSection(); any {
		t.Error("nobody asked, and there is a section")
	}
}

func TestBeside(t *testing.T) {
	s := *newModel(seenRun()).looked("container")
	for _, width := range []int{20, 80, 200} {
		var b bytes.Buffer
		if err := Beside(&b, "container", s, width); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > max(width, 60) {
				t.Errorf("width %d: a line of %d: %q", width, n, line)
			}
		}
		if width < 80 {
			continue
		}
		words := strings.Join(strings.Fields(b.String()), " ")
		for _, want := range []string{"Process 1 inside systemd its own", "Kernel 6.1.0 6.1.0 the host's", "/proc/keys masked readable hidden", "net 2 1 its own", "System calls 5: 1 filtered, 1 absent, 2 served, 1 not executed", "filtered mount"} {
			if !strings.Contains(words, want) {
				t.Errorf("width %d lacks %q:\n%s", width, want, b.String())
			}
		}
	}
}
