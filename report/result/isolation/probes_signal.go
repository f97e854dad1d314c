package isolation

var signalProbes = []Probe{
	{
		Name: "signal-kill", Group: "signal", Title: "Kill a process of the host",
		About:  "Sends SIGKILL to a process of the host's, by its PID, and the host looks whether it lives.",
		Source: "kill(2), pid_namespaces(7)",
	},
	{
		Name: "signal-cgroup", Group: "signal", Title: "Kill a control group of the host",
		About:  "Looks for a control group of the host's, and has the kernel kill all that is in it: one process.",
		Source: "Documentation/admin-guide/cgroup-v2.rst: cgroup.kill",
	},
	{
		Name: "signal-pidfd", Group: "signal", Title: "Signal a process by a descriptor",
		About:  "Gets a descriptor of a process of the host's, and sends a signal through it. The process tells the host which signals it has got.",
		Source: "pidfd_open(2), pidfd_send_signal(2)",
	},
	{
		Name: "signal-thread", Group: "signal", Title: "Signal a thread of the host",
		About:  "Sends a signal to one thread of a process of the host's.",
		Source: "tgkill(2)",
	},
	{
		Name: "signal-queue", Group: "signal", Title: "Send a signal with a value",
		About:  "Sends a signal that brings a number with it to a process of the host's.",
		Source: "sigqueue(3), rt_sigqueueinfo(2)",
	},
	{
		Name: "signal-group", Group: "signal", Title: "Signal a process group of the host",
		About:  "Sends a signal to all processes of a group of the host's, as a terminal does at Ctrl+C.",
		Source: "kill(2), setpgid(2)",
	},
	{
		Name: "signal-io", Group: "signal", Title: "Have the kernel send a signal",
		About:  "Names a process of the host's as the owner of a pipe of its own, so that the kernel sends that a signal when something is written.",
		Source: "fcntl(2): F_SETOWN, F_SETSIG",
	},
}
