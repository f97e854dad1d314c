package isolation

var writeProbes = []Probe{
	{
		Name: "write-file", Group: "write", Title: "Change a file of the host",
		About:  "Adds a secret word to an empty file of the host's, by its path.",
		Source: "mount_namespaces(7)",
	},
	{
		Name: "write-file-root", Group: "write", Title: "Change a file by way of a process of the host",
		About:  "Goes through the root folder of a process of the host's, which /proc shows, and adds a secret word to a file.",
		Source: "proc_pid_root(5)",
	},
	{
		Name: "write-memory", Group: "write", Title: "Change the memory of a process of the host",
		About:  "Writes a secret word into the memory of a process of the host's through /proc/PID/mem. The process itself tells the host what it has now.",
		Source: "proc_pid_mem(5)",
	},
	{
		Name: "write-memory-vm", Group: "write", Title: "The same with a system call",
		About:  "Writes into its memory with process_vm_writev, which needs no /proc.",
		Source: "process_vm_writev(2)",
	},
	{
		Name: "write-shared-memory", Group: "write", Title: "Change shared memory of the host",
		About:  "Attaches a segment of the host's System V shared memory by its number, and writes a secret word over what is in it.",
		Source: "shmat(2), ipc_namespaces(7)",
	},
	{
		Name: "write-queue", Group: "write", Title: "Put a message into a queue of the host",
		About:  "Opens a POSIX message queue of the host's by its name, and sends a secret word to who reads it.",
		Source: "mq_overview(7), ipc_namespaces(7)",
	},
	{
		Name: "write-hostname", Group: "write", Title: "Change the name of the host",
		About:  "Gives the machine a secret word for its name. The host looks whether it is its own, and puts it back.",
		Source: "sethostname(2), uts_namespaces(7)",
	},
	{
		Name: "write-sysctl", Group: "write", Title: "Change a setting of the host's kernel",
		About:  "Writes a new, harmless value to a setting that all programs of the kernel share: how often it brings its statistics of memory up to date.",
		Source: "proc_sys_vm(5), OCI runtime-spec: readonlyPaths",
	},
	{
		Name: "write-sysfs", Group: "write", Title: "Change a setting in /sys",
		About:  "Writes a new, harmless value to a setting of how the kernel merges equal pages of memory.",
		Source: "sysfs(5), Documentation/ABI/testing/sysfs-kernel-mm-ksm",
	},
	{
		Name: "write-log", Group: "write", Title: "Write into the host's kernel log",
		About:  "Writes a message with a secret word into the kernel's log, as if it came from the kernel.",
		Source: "Documentation/ABI/testing/dev-kmsg",
	},
	{
		Name: "write-sysrq", Group: "write", Title: "Press an emergency key of the host",
		About:  "Has the kernel do what the most harmless of the keys for emergencies does, which is to print which there are. Others end all programs, or crash the machine.",
		Source: "Documentation/admin-guide/sysrq.rst",
	},
	{
		Name: "write-priority", Group: "write", Title: "Slow down a process of the host",
		About:  "Lowers the priority of a process of the host's, by its PID, to a random level.",
		Source: "setpriority(2)",
	},
	{
		Name: "write-affinity", Group: "write", Title: "Choose on which CPU a process of the host runs",
		About:  "Confines a process of the host's, by its PID, to one CPU.",
		Source: "sched_setaffinity(2)",
	},
}
