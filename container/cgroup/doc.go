// Package cgroup puts processes under limits and reads what they used.
//
// A control group is a folder in a kernel file system: making the folder makes
// the group, writing a PID into one of its files moves a process into it,
// writing numbers into others sets its limits, and reading yet others tells
// what the group has used (cgroups(7)). What is limited is up to a controller:
// memory, cpu, pids, io and so on.
//
// # Two versions
//
// Version 1 (Documentation/admin-guide/cgroup-v1) has a hierarchy of folders
// for each controller, mounted on its own, so that one container is a folder in
// each of a dozen trees. Version 2 (Documentation/admin-guide/cgroup-v2.rst) has
// one tree for all, in which a folder hands controllers down to those below it.
// A hybrid host mounts both, and each controller is found in one of them; some
// are in neither, because they are no longer controllers: version 2 freezes any
// group, and asks a BPF program which devices it may use.
//
// # What the package does
//
//	host.go       which controllers this host has, and where
//	path.go       what linux.cgroupsPath names
//	create.go     making a group, and finding it again from another process
//	enter.go      getting a process in
//	settings.go   linux.resources -> (file, value) for either version, and writing them
//	memory.go, cpu.go, io.go, pids.go, hugetlb.go, network.go, rdma.go, unified.go
//	              the translation for each part of linux.resources, pure functions
//	devices.go    the list of devices; bpf*.go: the same as a BPF program
//	freeze.go     stopping all processes of a group, and letting them go on
//	processes.go  who is in it, and killing them
//	stats.go      what it has used
//	remove.go     removing it, and what a dead process left
//
// The limits are the runtime-spec's linux.resources (config-linux.md, "Control
// groups"), which were written for version 1: where version 2 counts otherwise,
// they are converted as runc converts them, and where it has nothing that
// corresponds, the field is refused by name. A limit that is asked for and
// silently missing would be worse than an error.
//
// # What it costs
//
// Most of the time of making a group is the kernel's: on a Linux 6.18 about
// 40 us to make a folder for memory, 10 to 25 for each other controller, and 10
// to write a limit. What is ours is to make few calls: where the hierarchies are
// mounted is found once in a process and verified with one call from then on; a
// group is made in those hierarchies that count for its limits and its account,
// unless [Options] ask for all; no folder is looked at twice.
package cgroup
