package isolation

var readProbes = []Probe{
	{
		Name: "read-file", Group: "read", Title: "Read a file of the host",
		About:  "Opens a file of the host's, which everybody there may read, by its path.",
		Source: "mount_namespaces(7), pivot_root(2)",
	},
	{
		Name: "read-file-root", Group: "read", Title: "Read a file by way of a process of the host",
		About:  "Goes through the root folder of a process of the host's, which /proc shows, to a file there.",
		Source: "proc_pid_root(5)",
	},
	{
		Name: "read-file-handle", Group: "read", Title: "Read a file by its number on the disk",
		About:  "Opens a file of the host's by the number that the file system has for it, without any path. The first container escape that became well known, \"shocker\", guessed it.",
		Source: "open_by_handle_at(2); capabilities(7): CAP_DAC_READ_SEARCH",
	},
	{
		Name: "read-shm-file", Group: "read", Title: "Read a file in the host's /dev/shm",
		About:  "Opens a file that a program of the host's shares with others through memory.",
		Source: "shm_overview(7)",
	},
	{
		Name: "read-disk", Group: "read", Title: "Read the host's disk",
		About:  "Makes the device file of a disk of the host's, by its number, and reads a secret word there, past all rules on files. The disk is one that the host has made of a file.",
		Source: "mknod(2), loop(4); cgroup-v2.rst, Device controller; capabilities(7): CAP_MKNOD",
	},
	{
		Name: "read-device", Group: "read", Title: "Read a device of the host",
		About:  "Makes the file of the host's device for kernel messages, in case it has none, and looks for a secret word there.",
		Source: "mknod(2); capabilities(7): CAP_MKNOD",
	},
	{
		Name: "read-environ", Group: "read", Title: "Read the environment of a process of the host",
		About:  "Reads the environment of a process of the host's, by its PID, in which there is a secret word, as passwords often are.",
		Source: "proc_pid_environ(5)",
	},
	{
		Name: "read-memory", Group: "read", Title: "Read the memory of a process of the host",
		About:  "Reads a secret word from the memory of a process of the host's through /proc/PID/mem.",
		Source: "proc_pid_mem(5)",
	},
	{
		Name: "read-memory-vm", Group: "read", Title: "The same with a system call",
		About:  "Reads another word in its memory with process_vm_readv, which needs no /proc.",
		Source: "process_vm_readv(2)",
	},
	{
		Name: "read-descriptor", Group: "read", Title: "Read an open file of a process of the host",
		About:  "Opens by way of /proc/PID/fd what a process of the host's has open: a file that has no name.",
		Source: "proc_pid_fd(5)",
	},
	{
		Name: "read-descriptor-taken", Group: "read", Title: "Take an open file from a process of the host",
		About:  "Has the kernel copy a descriptor of a process of the host's, and reads from it.",
		Source: "pidfd_getfd(2)",
	},
	{
		Name: "read-shared-memory", Group: "read", Title: "Read shared memory of the host",
		About:  "Attaches a segment of the host's System V shared memory, which everybody there may read, by its number, and reads the secret word in it.",
		Source: "shmat(2), ipc_namespaces(7)",
	},
	{
		Name: "read-queue", Group: "read", Title: "Take a message from a queue of the host",
		About:  "Opens a POSIX message queue of the host's, which everybody there may read, by its name, and takes out the message with the secret word.",
		Source: "mq_overview(7), ipc_namespaces(7)",
	},
	{
		Name: "read-kernel", Group: "read", Title: "Read the kernel's memory",
		About:  "Opens the image of the kernel's memory in /proc/kcore, and reads where the kernel's code lies, which is picked at random at each boot.",
		Source: "proc_kcore(5); capabilities(7): CAP_SYS_RAWIO",
	},
}
