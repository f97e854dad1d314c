// Package container starts OCI containers, and reads like a textbook of how.
//
// What `docker run` does, in its order, is six files:
//
//	namespaces.go   1. a process whose view of the system is its own: clone3(2) with CLONE_NEW*, setns(2), user mappings
//	rootfs/         2. a file system: the image's layers joined by an overlay, /proc, /sys, /dev, pivot_root(2)
//	network/        3. a network: loopback; a veth pair into a bridge, NAT
//	cgroup/         4. limits and accounting: cgroups(7)
//	privileges.go   5. less power: capabilities(7), no_new_privs, a system call filter (seccomp/, listener.go), and limits.go
//	exec.go         6. the program, as PID 1: execve(2)
//
// compile.go puts them in their order. check.go refuses what cannot be honoured.
// container.go starts a container within one process; state.go, lifecycle.go and resources.go are of
// one that is created, started and deleted by different processes; hooks.go and
// terminal.go are what an engine adds, process.go a second program, and oci/ is the
// command that an engine calls. Fields of config.json that few use have a file
// each: netdevices.go, mempolicy.go, rdt.go. escape_test.go are the ways out of a
// container that were once known of a runtime.
//
// The configuration is the OCI runtime-spec's config.json (specs.Spec). It
// compiles, by the pure function compile, to a list of system calls (package
// step) that one loop makes in the new process: so what will be done can be
// printed, tested without root, timed by phase or by call (trace.go; `bench run
// --explain` shows it), and made to fail at every single call.
//
// # Where the time goes
//
// A start takes 3 to 4 ms. These are the phases of the median one of 300, in
// microseconds, with Docker's mounts and masks, all namespaces and limits, on a
// virtual machine of two CPUs with Linux 6.18 (go test -bench Start shows yours;
// bench run --explain shows every call):
//
//	start           370  check the configuration, make the folders of the writable layer
//	overlay         220  join the layers; half of it is fsconfig(FSCONFIG_CMD_CREATE)
//	make cgroup       0  mkdir(2) and the limits, in four hierarchies of version 1: 280, but
//	                     done meanwhile, on another CPU
//	clone           860  compile (110), then clone3(2), of which a network namespace is the most
//	id maps         100  the parent writes uid_map and gid_map
//	cgroup           50  the child enters
//	file system     830  220 calls; the longest is umount2(2) of the host's tree, 160
//	network          90  lo; with a veth 200, and the parent makes it meanwhile
//	privileges       40
//	exec            200  execve(2)
//	                590  until the program's first instruction
//
// A C program that makes the same container by the fewest calls that are needed
// (bench/peers/testdata/limit.c) takes 0.7 of that, and it is the kernel's time. What was won
// on the way, measured each time:
//
//   - No second program of ours: runc and others execute themselves again in the
//     child, which for a Go program costs its runtime's start, 1.5 ms.
//   - Born in its cgroup (version 2), or entering it by tasks (version 1): to be moved
//     there by cgroup.procs takes up to 9 ms, since the kernel waits for all CPUs.
//   - No descriptor with a high number: to make the table of descriptors larger, with other
//     threads around, waits for all CPUs too: 5 to 8 ms, once in a process.
//   - The filter of system calls as a tree of comparisons and not a list: 0.08 ms
//     instead of 0.7 to attach Docker's (package seccomp).
//   - The network as one message, sent by the child, while the parent makes the veth.
//   - The cgroup is made while the layers are joined: 0.2 to 0.3 ms.
//   - Calls are put into words only for those who ask: 0.3 ms.
//
// The command bench-oci adds Go's start (1.5 ms), reading the configuration (1 ms,
// at the same time as Go asks for all signals, which takes as long), the other hierarchies
// of cgroups, which an engine may ask for, and to remove all when it has ended.
// scripts/peers compares it with crun and runc.
//
// # An ordinary user
//
// None of this takes root. Whoever makes a user namespace has all capabilities
// in it (user_namespaces(7)), and over the other namespaces that are made with
// it: so a process without any capability starts containers by the same calls
// (rootless.go). What differs follows from what it may not do outside:
//
//   - It maps only its own ID, which is root inside; for more it takes the help
//     of newuidmap(1) and newgidmap(1), which give out the IDs of /etc/subuid and
//     /etc/subgid. With one ID its groups stay, since they cannot be dropped.
//   - It mounts nothing on the host. The image's layers and the sources of bind
//     mounts, which root's parent opens, the child opens itself, after its birth
//     (tree.go). The overlay's marks are then user.overlay attributes. Layers
//     cannot be ID-mapped: they are the user's own files.
//   - It joins namespaces only by way of the user namespace that they belong to.
//     Once in there a process still is in its PID namespace, so that it forks
//     (step.Program.Fork).
//   - A file system that shows a namespace (proc, sysfs, mqueue, cgroup) can be
//     mounted only if that namespace is new too.
//   - Limits need a cgroup of version 2 that was handed to the user
//     (cgroup.Delegated). Where there is none the container goes without: it
//     cannot be paused, and its processes are found by their PID namespace.
//   - Nothing connects its network namespace to the host's: it has loopback, or
//     it shares the host's. What connects it without root, such as slirp4netns(1)
//     or pasta(1), is not part of this package.
//   - What the container's root has closed to everybody, and files of IDs that
//     are the user's in the container alone, are removed in a user namespace like
//     the container's.
//
// What cannot be had is refused by the field's name and with what would help;
// [Rootless] tells all of it for this user on this host, and [ToRootless] makes a
// configuration fit.
package container
