package isolation

var mountProbes = []Probe{
	{
		Name: "mount-tmpfs", Group: "mount", Title: "Mount a file system that the host sees",
		About:  "Mounts an empty file system in memory under a secret name, for which the host then looks in its own table of mounts.",
		Source: "mount(2), mount_namespaces(7) on propagation",
	},
	{
		Name: "mount-new-api", Group: "mount", Title: "The same with the newer system calls",
		About:  "Mounts with fsopen, fsmount and move_mount instead of mount: a filter of system calls that was written before Linux 5.2 does not know them.",
		Source: "fsopen(2), fsmount(2), move_mount(2)",
	},
	{
		Name: "mount-remount", Group: "mount", Title: "Make /proc/sys writable",
		About:  "Remounts /proc/sys if it is read-only, and gives a setting of the whole kernel a new, harmless value (how long a lease on a file lasts).",
		Source: "mount(2), MS_REMOUNT; proc_sys_fs(5)",
	},
	{
		Name: "mount-setattr", Group: "mount", Title: "Make /sys writable",
		About:  "Takes the flag \"read-only\" from /sys with the newer mount_setattr, and changes how often the kernel looks for memory to join into huge pages.",
		Source: "mount_setattr(2), sysfs(5)",
	},
	{
		Name: "mount-sysfs", Group: "mount", Title: "Mount another sysfs",
		About:  "Leaves the read-only /sys alone and mounts another one, through which it changes a setting of the whole kernel.",
		Source: "sysfs(5), mount(2)",
	},
	{
		Name: "mount-proc", Group: "mount", Title: "Mount another proc, without masks",
		About:  "A container hides some files of /proc by mounting something over them. This mounts another proc and looks there for a key of the host's with a secret name.",
		Source: "proc_keys(5), user_namespaces(7) on mounting proc",
	},
	{
		Name: "mount-unmask", Group: "mount", Title: "Take the mask off /proc/keys",
		About:  "Unmounts what hides /proc/keys, and looks there for a key of the host's with a secret name.",
		Source: "umount2(2), mount_namespaces(7) on locked mounts",
	},
	{
		Name: "mount-cgroup", Group: "mount", Title: "Mount the tree of control groups",
		About:  "Mounts the file system of the control groups, and looks for a group of the host's with a secret name.",
		Source: "cgroup_namespaces(7)",
	},
	{
		Name: "mount-tracefs", Group: "mount", Title: "Mount the kernel's tracer",
		About:  "Mounts the file system through which the kernel can be traced, and looks for an instance that the host has made under a secret name.",
		Source: "Documentation/trace/ftrace.rst",
	},
	{
		Name: "mount-chroot", Group: "mount", Title: "Climb out of the root folder",
		About:  "Enters a second chroot while it holds on to a folder outside of it, climbs up with \"..\", and reads a file of the host's. It works wherever chroot alone hides the host's files.",
		Source: "chroot(2), notes",
	},
	{
		Name: "mount-setns", Group: "mount", Title: "Join the mounts of a process of the host",
		About:  "Joins the mount namespace of a thread of the host's by its ID, and reads a file that is there alone.",
		Source: "setns(2), mount_namespaces(7)",
	},
	{
		Name: "mount-open-tree", Group: "mount", Title: "Copy a mount of the host's",
		About:  "Asks for a copy of the mount in which a file of the host's lies, by way of a process of the host in /proc, and reads the file in the copy.",
		Source: "open_tree(2), proc_pid_root(5)",
	},
}
