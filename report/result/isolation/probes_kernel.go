package isolation

var kernelProbes = []Probe{
	{
		Name: "kernel-reboot", Group: "kernel", Title: "Say what Ctrl+Alt+Del does on the host",
		About:  "Calls reboot in its most harmless form, which only says whether Ctrl+Alt+Del restarts the machine at once. Who may do that may also restart it.",
		Source: "reboot(2): LINUX_REBOOT_CMD_CAD_ON; capabilities(7): CAP_SYS_BOOT",
	},
	{
		Name: "kernel-console", Group: "kernel", Title: "Silence the host's kernel",
		About:  "Changes which messages of the kernel are printed on its console.",
		Source: "syslog(2): SYSLOG_ACTION_CONSOLE_LEVEL; capabilities(7): CAP_SYSLOG",
	},
	{
		Name: "kernel-memory", Group: "kernel", Title: "Read the machine's memory",
		About:  "Reads some bytes of physical memory, where a PC has its firmware, through /dev/mem. If there is none, it makes one.",
		Source: "mem(4); capabilities(7): CAP_SYS_RAWIO, CAP_MKNOD",
	},
	{
		Name: "kernel-addresses", Group: "kernel", Title: "Learn where the kernel's code lies",
		About:  "Looks for the address of the kernel's code, which as a rule is picked at random at each boot, so that an exploit cannot know it.",
		Source: "proc_kallsyms(5), proc_sys_kernel(5): kptr_restrict",
	},
	{
		Name: "kernel-pagemap", Group: "kernel", Title: "Learn where its own memory lies",
		About:  "Asks at which physical address a page of its own is. Attacks on the memory's hardware (Rowhammer) need that.",
		Source: "proc_pid_pagemap(5); capabilities(7): CAP_SYS_ADMIN",
	},
	{
		Name: "kernel-keyring", Group: "kernel", Title: "Read a key of the host's root",
		About:  "Looks in the keyring of its user for a key that the host's root keeps there, and reads the secret word in it. No namespace of their own keeps keys apart, but those of users do.",
		Source: "keyrings(7), user-keyring(7)",
	},
	{
		Name: "kernel-fanotify", Group: "kernel", Title: "Be given the files that the host opens",
		About:  "Has the kernel tell of every file that is opened on a file system, while the host opens one with a secret word in it. With each comes a descriptor to read it.",
		Source: "fanotify(7); capabilities(7): CAP_SYS_ADMIN",
	},
	{
		Name: "kernel-terminal", Group: "kernel", Title: "Type into a terminal of the host",
		About:  "Puts a secret word into a terminal of the host's as if it had been typed there.",
		Source: "ioctl_tty(2): TIOCSTI; CVE-2016-7545, CVE-2017-5226",
	},
	{
		Name: "kernel-io-uring", Group: "kernel", Title: "Use io_uring",
		About:  "Opens a queue for asynchronous input and output. Its code in the kernel is large and has had many holes: engines forbid it.",
		Source: "io_uring_setup(2); CVE-2022-29582, CVE-2023-2598",
	},
	{
		Name: "kernel-userfaultfd", Group: "kernel", Title: "Hold up the kernel with userfaultfd",
		About:  "Asks to be the one who provides missing pages of memory, those that the kernel itself touches included: exploits win races by it.",
		Source: "userfaultfd(2); capabilities(7): CAP_SYS_PTRACE",
	},
}
