package isolation

var seeProbes = []Probe{
	{
		Name: "see-process", Group: "see", Title: "See a process of the host",
		About:  "Looks through /proc for a process of the host that has a secret word in its arguments.",
		Source: "proc_pid_cmdline(5), pid_namespaces(7)",
	},
	{
		Name: "see-hostname", Group: "see", Title: "Learn the name of the host",
		About:  "Asks for the name of the machine, and the kernel's boot id, and the host compares both with its own.",
		Source: "uname(2), uts_namespaces(7)",
	},
	{
		Name: "see-boot", Group: "see", Title: "Learn which boot of the host this is",
		About:  "Reads the random number that the kernel picks when it boots. Two instances that see the same one know that they are on one machine. No namespace hides it.",
		Source: "random(4): boot_id; Gao et al., ContainerLeaks, DSN 2017",
	},
	{
		Name: "see-start", Group: "see", Title: "Learn since when the host runs",
		About:  "Reads when the kernel was started. It tells machines apart as well, and whether updates are due.",
		Source: "proc_stat(5): btime; Gao et al., ContainerLeaks, DSN 2017",
	},
	{
		Name: "see-command-line", Group: "see", Title: "Read what the host's kernel was started with",
		About:  "Reads the options that the boot loader has given to the kernel: among them is which disk the host is on. The host compares a sum of them.",
		Source: "proc_cmdline(5)",
	},
	{
		Name: "see-mounts", Group: "see", Title: "List the host's mounts",
		About:  "Reads the table of mounts, its own and that of its first process, and the host looks for mounts of its own there, by the numbers that the kernel gives them.",
		Source: "proc_pid_mountinfo(5), mount_namespaces(7)",
	},
	{
		Name: "see-sockets", Group: "see", Title: "List the host's UNIX sockets",
		About:  "Reads the table of UNIX sockets, and looks for one of the host's that has a secret name and is no file.",
		Source: "proc_pid_net(5): unix",
	},
	{
		Name: "see-shared-memory", Group: "see", Title: "List the host's shared memory",
		About:  "Reads the table of System V shared memory, and looks for a segment of the host's by its random size.",
		Source: "sysvipc(7), ipc_namespaces(7)",
	},
	{
		Name: "see-keys", Group: "see", Title: "List the host's keys",
		About:  "Reads /proc/keys, and looks for a key of the host's with a secret name.",
		Source: "proc_keys(5)",
	},
	{
		Name: "see-log", Group: "see", Title: "Read the host's kernel log",
		About:  "Asks for the kernel's messages as dmesg does, and looks for one that the host has put there.",
		Source: "syslog(2): SYSLOG_ACTION_READ_ALL; capabilities(7): CAP_SYSLOG",
	},
	{
		Name: "see-log-device", Group: "see", Title: "Read the kernel log by its device",
		About:  "Reads the same messages from /dev/kmsg: that needs the device, and no system call of its own.",
		Source: "Documentation/ABI/testing/dev-kmsg",
	},
	{
		Name: "see-locks", Group: "see", Title: "List the host's file locks",
		About:  "Reads the table of locks, and looks for one that the host has on a random byte of a file.",
		Source: "proc_locks(5); Gao et al., ContainerLeaks, DSN 2017",
	},
	{
		Name: "see-timers", Group: "see", Title: "List the host's timers",
		About:  "Reads the table of the kernel's timers, and looks for one of the host's that is set for a random nanosecond some years ahead.",
		Source: "proc_timer_list(5); Gao et al., ContainerLeaks, DSN 2017",
	},
	{
		Name: "see-cgroup", Group: "see", Title: "Learn where the host keeps it",
		About:  "Reads the way to its own control group. If that begins at the host's root, it shows which engine has started it, and under which name.",
		Source: "cgroups(7), cgroup_namespaces(7)",
	},
}
