package isolation

var resourceProbes = []Probe{
	{
		Name: "resource-cgroup-limit", Group: "resource", Title: "Change the limit of a control group of the host",
		About:  "Looks for a control group of the host's, through the folder where they are mounted or a mount of its own, and gives one of its limits a random value.",
		Source: "cgroups(7), Documentation/admin-guide/cgroup-v2.rst",
	},
	{
		Name: "resource-cgroup-leave", Group: "resource", Title: "Leave its own control group",
		About:  "Moves itself into a control group of the host's, where its own limits do not count, and back. The kernel tells the host when somebody comes in.",
		Source: "cgroups(7), cgroup_namespaces(7)",
	},
	{
		Name: "resource-prlimit", Group: "resource", Title: "Change the limits of a process of the host",
		About:  "Gives a process of the host's, by its PID, another limit: a random number of bytes for messages in queues.",
		Source: "prlimit(2)",
	},
	{
		Name: "resource-victim", Group: "resource", Title: "Choose whom the kernel kills when memory runs out",
		About:  "Has the kernel prefer a process of the host's, by its PID, when it has to kill one to get memory back.",
		Source: "proc_pid_oom_score_adj(5)",
	},
	{
		Name: "resource-oom-exempt", Group: "resource", Title: "Never be killed when memory runs out",
		About:  "Exempts itself from being killed when memory runs out, so that others would be, and takes that back.",
		Source: "proc_pid_oom_score_adj(5); capabilities(7): CAP_SYS_RESOURCE",
	},
	{
		Name: "resource-realtime", Group: "resource", Title: "Run before all others",
		About:  "Gives itself a real-time priority: a program that has it keeps a CPU for as long as it likes, before every usual program of the host.",
		Source: "sched(7): SCHED_FIFO; capabilities(7): CAP_SYS_NICE",
	},
	{
		Name: "resource-nice", Group: "resource", Title: "Get a larger share of the CPUs",
		About:  "Gives itself the highest of the usual priorities, -20.",
		Source: "setpriority(2); capabilities(7): CAP_SYS_NICE",
	},
	{
		Name: "resource-mlock", Group: "resource", Title: "Lock more memory than its limit",
		About:  "Lowers its limit of memory that is never swapped out, and locks twice as much.",
		Source: "mlock(2); capabilities(7): CAP_IPC_LOCK",
	},
	{
		Name: "resource-rlimit", Group: "resource", Title: "Raise a hard limit of its own",
		About:  "Lowers one of its hard limits by one, and raises it again: only a privileged program can do that.",
		Source: "setrlimit(2); capabilities(7): CAP_SYS_RESOURCE",
	},
	{
		Name: "resource-drop-caches", Group: "resource", Title: "Drop the host's cache of files",
		About:  "Tells the kernel to forget what it has read of files, which slows all programs down. The kernel counts how often it was told.",
		Source: "proc_sys_vm(5): drop_caches",
	},
	{
		Name: "resource-shm", Group: "resource", Title: "Fill the host's /dev/shm",
		About:  "Puts 64 KiB with a secret name into /dev/shm, which is memory, and the host looks whether they are in its own.",
		Source: "shm_overview(7)",
	},
	{
		Name: "resource-sysv", Group: "resource", Title: "Take shared memory of the host's kernel",
		About:  "Makes 64 KiB of System V shared memory under a random number, for which the host then looks. It stays when the program has ended, and there are few.",
		Source: "shmget(2), ipc_namespaces(7)",
	},
}
