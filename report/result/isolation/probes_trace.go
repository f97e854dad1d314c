package isolation

var traceProbes = []Probe{
	{
		Name: "trace-seize", Group: "trace", Title: "Attach to a process of the host as a debugger",
		About:  "Stops a process of the host's, reads a secret word from its memory, and lets it go on.",
		Source: "ptrace(2): PTRACE_SEIZE",
	},
	{
		Name: "trace-maps", Group: "trace", Title: "See the memory layout of a process of the host",
		About:  "Reads which files a process of the host's has in its memory, and where: one has a secret name. Exploits need such addresses.",
		Source: "proc_pid_maps(5)",
	},
	{
		Name: "trace-syscall", Group: "trace", Title: "Watch the system calls of a process of the host",
		About:  "Reads in which system call a thread of the host's is: it waits for a random number of bytes.",
		Source: "proc_pid_syscall(5)",
	},
	{
		Name: "trace-robust-list", Group: "trace", Title: "Learn an address in a thread of the host",
		About:  "Asks where a thread of the host's has its list of futexes: at a random address.",
		Source: "get_robust_list(2)",
	},
	{
		Name: "trace-kcmp", Group: "trace", Title: "Compare the open files of a process of the host",
		About:  "Asks which descriptors of a process of the host's lead to the same open file: some of 32 do, picked at random.",
		Source: "kcmp(2)",
	},
	{
		Name: "trace-pagemap", Group: "trace", Title: "See which memory a process of the host uses",
		About:  "Reads which pages of a process of the host's are in memory: some of 32 are, picked at random. Such patterns tell what a program does.",
		Source: "proc_pid_pagemap(5)",
	},
	{
		Name: "trace-move-pages", Group: "trace", Title: "Ask where the memory of a process of the host is",
		About:  "Asks with the system call that moves pages between memory banks where the same 32 pages are, and moves none.",
		Source: "move_pages(2)",
	},
}
