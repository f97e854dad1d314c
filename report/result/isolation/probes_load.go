package isolation

var loadProbes = []Probe{
	{
		Name: "load-module", Group: "load", Title: "Load a kernel module",
		About:  "Gives the kernel some bytes to load as a module. They are none: but only for who may load one does the kernel look at them.",
		Source: "init_module(2): ENOEXEC",
	},
	{
		Name: "load-module-remove", Group: "load", Title: "Remove a kernel module",
		About:  "Asks to remove a module that there is not. Who may not remove any is told so instead.",
		Source: "delete_module(2): ENOENT",
	},
	{
		Name: "load-kexec", Group: "load", Title: "Load another kernel",
		About:  "Asks to load the kernel to boot next, with flags that are not valid: nothing is loaded, and who may not do it is told so first.",
		Source: "kexec_load(2): EINVAL",
	},
	{
		Name: "load-bpf-map", Group: "load", Title: "Read a BPF map of the host",
		About:  "Goes through all maps of BPF programs that the kernel has, by their numbers, and looks for a secret word in them.",
		Source: "bpf(2): BPF_MAP_GET_FD_BY_ID; capabilities(7): CAP_BPF, CAP_SYS_ADMIN",
	},
	{
		Name: "load-bpf-program", Group: "load", Title: "Load a BPF program that can trace the kernel",
		About:  "Loads a program of two instructions, of the kind that can be run in the middle of the kernel's functions, and lets go of it.",
		Source: "bpf(2): BPF_PROG_LOAD; capabilities(7): CAP_BPF, CAP_PERFMON",
	},
	{
		Name: "load-perf", Group: "load", Title: "Open a counter of a whole CPU",
		About:  "Opens a counter of a whole CPU's time, by which one can see whatever runs there, the host's programs and its kernel included. It is not switched on.",
		Source: "perf_event_open(2), pid == -1",
	},
	{
		Name: "load-kprobe", Group: "load", Title: "Define a probe in the kernel's code",
		About:  "Defines a kprobe with a secret name, which could be switched on to see what the kernel is working on, and the host looks for it.",
		Source: "Documentation/trace/kprobetrace.rst",
	},
	{
		Name: "load-binfmt", Group: "load", Title: "Register an interpreter for programs",
		About:  "Registers a format of programs with a secret name, for which the kernel would start a program of the attacker's, also outside.",
		Source: "Documentation/admin-guide/binfmt-misc.rst",
	},
	{
		Name: "load-core-pattern", Group: "load", Title: "Choose what the kernel runs after a crash",
		About:  "Writes a secret word to core_pattern. A pipe and a path there would have the kernel start that program as root of the host when a program crashes.",
		Source: "core(5)",
	},
	{
		Name: "load-modprobe-path", Group: "load", Title: "Choose what the kernel runs to load modules",
		About:  "Writes the path of a program that there is not to the setting by which the kernel finds modprobe, which it starts as root of the host.",
		Source: "proc_sys_kernel(5): modprobe",
	},
	{
		Name: "load-firmware-path", Group: "load", Title: "Choose where firmware is loaded from",
		About:  "Writes a path that there is not to the setting which says where the kernel looks for the firmware of devices.",
		Source: "Documentation/driver-api/firmware/fw_search_path.rst",
	},
	{
		Name: "load-ports", Group: "load", Title: "Get at the I/O ports of the hardware",
		About:  "Asks for one harmless I/O port of an x86 processor (0x80, on which a firmware shows how far it has come), and gives it back.",
		Source: "ioperm(2); capabilities(7): CAP_SYS_RAWIO",
	},
}
