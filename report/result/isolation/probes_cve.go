package isolation

var cveProbes = []Probe{
	{
		Name: "cve-2019-5736", Group: "cve", Title: "Overwrite a program of the host that is running (runc)",
		About:  "Gets hold of the program of a process of the host's through /proc/PID/exe, and writes to it when the process has ended. The victim was runc, when it entered a container.",
		Source: "CVE-2019-5736",
	},
	{
		Name: "cve-2024-21626", Group: "cve", Title: "Climb out by a folder left open (runc, \"Leaky Vessels\")",
		About:  "Climbs from each folder that a process here has open, or is in, up to a file of the host's. runc had left one open that lay outside.",
		Source: "CVE-2024-21626",
	},
	{
		Name: "cve-2016-9962", Group: "cve", Title: "Use a file that a process of the host has open (runc, Docker)",
		About:  "Opens, through /proc/PID/fd, a file that a process of the host's has open and that has no name any more, and reads a secret word in it.",
		Source: "CVE-2016-9962, proc_pid_fd(5)",
	},
	{
		Name: "cve-2022-0492", Group: "cve", Title: "Name the program that the kernel runs for an empty control group",
		About:  "Makes a hierarchy of control groups of the old kind (v1), and writes to its release_agent the path of a program that there is not. The kernel would start it as root of the host.",
		Source: "CVE-2022-0492, cgroups(7): release_agent",
	},
	{
		Name: "cve-2020-15257", Group: "cve", Title: "Command an engine over its abstract socket (containerd)",
		About:  "Looks in the kernel's table for a socket of the host's that serves root alone, as containerd's had one, and asks it for a secret word.",
		Source: "CVE-2020-15257, unix(7): SO_PEERCRED",
	},
	{
		Name: "cve-2022-0185", Group: "cve", Title: "Hand parameters for a file system to the kernel as an own root",
		About:  "Makes a user namespace in which it is root, and hands the kernel a harmless parameter for a file system. The hole was a length that the kernel counted wrongly there.",
		Source: "CVE-2022-0185, fsconfig(2), user_namespaces(7)",
	},
	{
		Name: "cve-2024-1086", Group: "cve", Title: "Set up a firewall as an own root",
		About:  "Makes a user and a network namespace, and in it an empty table of a firewall (nf_tables), in which many holes were found.",
		Source: "CVE-2024-1086, CVE-2022-32250, user_namespaces(7)",
	},
	{
		Name: "cve-2020-14386", Group: "cve", Title: "Set up a ring for packets as an own root",
		About:  "Makes a user and a network namespace, and in it a socket for raw packets with a ring in memory, where the holes were.",
		Source: "CVE-2020-14386, CVE-2017-7308, packet(7)",
	},
	{
		Name: "cve-2023-0386", Group: "cve", Title: "Join file systems as an own root",
		About:  "Makes a user and a mount namespace, and in it an overlay of two empty folders. The holes were in what an overlay copies.",
		Source: "CVE-2023-0386, CVE-2021-3493, user_namespaces(7)",
	},
	{
		Name: "cve-2016-0728", Group: "cve", Title: "Join a keyring",
		About:  "Makes itself a keyring, once. Done four thousand million times, an error in the kernel's counting gave an attacker its memory.",
		Source: "CVE-2016-0728, keyctl(2): KEYCTL_JOIN_SESSION_KEYRING",
	},
}
