package isolation

import "slices"

// A Mechanism is one of the walls that a container is made of. Each can be left out
// ([Without]) or be the only one ([Only]), which shows what it is good for.
type Mechanism struct {
	Name  string // "pid namespace"
	Title string // a few words for a table
	About string // a sentence for a student: what it does
	// Source is where it is described.
	Source string
	// Needs names a mechanism that this one is made with, so that it is there too where
	// this is the only one; "" for none. What that keeps out alone, this does not.
	Needs string
}

// Mechanisms are those of a container of bench's own runtime, in the order in which it
// makes them.
var Mechanisms = []Mechanism{
	{
		Name: "user namespace", Title: "User mapping",
		About:  "Root of the container is an ordinary user of the host, who owns nothing there: its powers hold for what was made together with it. Without one it is the host's root, as with docker run by default.",
		Source: "user_namespaces(7)",
	},
	{
		Name: "pid namespace", Title: "PID namespace", Needs: "mount namespace",
		About:  "Processes have numbers of their own, and those outside have none: nobody can signal or trace what has no number. What they see of others is in /proc, which is mounted anew for it.",
		Source: "pid_namespaces(7)",
	},
	{
		Name: "mount namespace", Title: "Mount namespace",
		About:  "The container has a tree of files of its own, with a root folder from its image and its own /proc, /sys and /dev. Masked and read-only paths and its own devices are mounts in that tree: without it there are none.",
		Source: "mount_namespaces(7), pivot_root(2)",
	},
	{
		Name: "network namespace", Title: "Network namespace",
		About:  "The container has interfaces, addresses, routes, ports and abstract sockets of its own. A cable (veth) leads to a bridge of the host.",
		Source: "network_namespaces(7), veth(4)",
	},
	{
		Name: "uts namespace", Title: "UTS namespace",
		About:  "The container has a host name of its own.",
		Source: "uts_namespaces(7)",
	},
	{
		Name: "ipc namespace", Title: "IPC namespace",
		About:  "The container has shared memory, semaphores and message queues of its own (those of System V and POSIX).",
		Source: "ipc_namespaces(7)",
	},
	{
		Name: "cgroup namespace", Title: "cgroup namespace",
		About:  "The container takes its own control group for the root of all, and does not see where that is on the host.",
		Source: "cgroup_namespaces(7)",
	},
	{
		Name: "limits", Title: "Limits (control group)",
		About:  "A control group counts and limits what the container uses: memory, CPU time, and the number of processes.",
		Source: "cgroups(7), Documentation/admin-guide/cgroup-v2.rst",
	},
	{
		Name: "devices", Title: "Own devices", Needs: "mount namespace",
		About:  "In place of the host's /dev there are six harmless devices. Where the container's root is the host's root, who can make the file of any device, its control group has rules on which may be opened.",
		Source: "OCI runtime-spec, config-linux.md, Default Devices; cgroup-v2.rst, Device controller",
	},
	{
		Name: "masked paths", Title: "Masked paths", Needs: "mount namespace",
		About:  "Files of /proc and /sys that tell of the whole machine, such as /proc/kcore, are covered by an empty file or folder.",
		Source: "OCI runtime-spec, config-linux.md, Masked Paths",
	},
	{
		Name: "read-only paths", Title: "Read-only paths", Needs: "mount namespace",
		About:  "Files of /proc that set the whole machine, such as /proc/sys and /proc/sysrq-trigger, can be read and not written.",
		Source: "OCI runtime-spec, config-linux.md, Readonly Paths",
	},
	{
		Name: "capabilities", Title: "Capabilities",
		About:  "Of the 41 powers into which Linux divides those of root, 14 are left, as Docker leaves them: no loading of modules, no mounting, no setting of the clock.",
		Source: "capabilities(7); moby, oci/caps/defaults.go",
	},
	{
		Name: "no_new_privs", Title: "no_new_privs",
		About:  "A set-user-ID program gives no powers to who executes it.",
		Source: "PR_SET_NO_NEW_PRIVS(2const)",
	},
	{
		Name: "seccomp", Title: "seccomp filter",
		About:  "System calls that few programs need are refused before the kernel looks at them, by Docker's list.",
		Source: "seccomp(2); moby/profiles, seccomp/default.json",
	},
}

// FindMechanism gives the mechanism of a name; one that this version does not know has no
// other words.
func FindMechanism(name string) Mechanism {
	for _, m := range Mechanisms {
		if m.Name == name {
			return m
		}
	}
	return Mechanism{Name: name, Title: name}
}

// Contained is the variant of a container that has all of them.
const Contained = "container"

// Variants are all in which the arena tries the probes, in this order: the control and the
// container first, for a machine that does not live to see the last; then each mechanism
// missing and alone, those of which most is expected first, for a host that is too slow for
// all; and the control again at the end.
func Variants() []string {
	all := []string{Bare, Contained}
	first := []string{"seccomp", "capabilities", "user namespace", "pid namespace", "mount namespace", "network namespace"}
	add := func(name string) { all = append(all, Without(name), Only(name)) }
	for _, name := range first {
		add(name)
	}
	for _, m := range Mechanisms {
		if !slices.Contains(first, m.Name) {
			add(m.Name)
		}
	}
	return append(all, Bare)
}
