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
package container
