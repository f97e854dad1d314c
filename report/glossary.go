package report

import (
	"strings"

	"vmctr/report/result"
)

// term is a word of the report that not every reader knows, or some that are told apart best
// side by side.
type term struct {
	Words   []string
	Meaning string
}

// glossarySection explains all of them, those too that this run's report does not need: who
// reads it may meet them in another one.
func glossarySection() section {
	t := &table{Columns: []column{{Title: "Term"}, {Title: "Meaning", Wide: 1}}}
	for _, term := range glossary {
		t.Rows = append(t.Rows, []string{strings.Join(term.Words, ", "), term.Meaning})
	}
	return section{ID: "glossary", Title: "Appendix: glossary", Blocks: []block{
		paragraph{"", "Words in man pages' style, such as cgroups(7), are names of Linux's own manual: `man 7 cgroups`."}, t,
	}}
}

// glossary is in alphabetical order, without regard to capitals.
var glossary = []term{
	{[]string{"accelerator"}, "what executes a virtual machine's instructions: the host's processor by KVM, or, where that is not to be had, an emulator"},
	{[]string{"balloon"}, "a driver in a guest that takes memory from its own kernel, so that the host can have it"},
	{[]string{"bare metal"}, "a computer with no hypervisor below it"},
	{[]string{"BIOS", "firmware", "SeaBIOS", "qboot"}, "the program that a computer runs first, which finds the devices and loads the kernel. SeaBIOS is a full BIOS for virtual PCs, qboot one that does nothing but start a kernel"},
	{[]string{"boot_id"}, "a random number that a kernel draws when it boots, and that so names one running kernel"},
	{[]string{"bootstrap"}, "drawing from a sample again and again, to see how much a figure of it would differ from experiment to experiment"},
	{[]string{"bridge", "tap", "veth"}, "parts of a virtual network on one host: a switch (bridge), a cable with an end in a container (veth), and a network card for a machine (tap)"},
	{[]string{"bzImage", "ELF", "PVH"}, "forms of a Linux kernel: compressed, so that it first unpacks itself (bzImage), or unpacked (ELF), which QEMU can enter by an agreement called PVH"},
	{[]string{"canary"}, "a file, process or listener with a random word in it that stands for what an attempt is after, and tells afterwards whether it was reached"},
	{[]string{"capability"}, "one of some forty parts of what root may do, which the kernel grants to a process one by one: capabilities(7)"},
	{[]string{"cgroup"}, "control group: the kernel's account of, and limit on, what a group of processes uses: cgroups(7)"},
	{[]string{"CI/CD", "DevOps"}, "ways to work: every change of a program is built, tested and brought to its users by machines (continuous integration, continuous delivery), by the people who also run it"},
	{[]string{"Cliff's delta"}, "how clearly one sample lies above another: 1 or -1 when they do not overlap, 0 when neither does"},
	{[]string{"confidence interval", "95% interval"}, "a range that is computed so that in at least 95 of 100 such experiments it holds the true median"},
	{[]string{"container"}, "processes of the host, set apart by namespaces, cgroups and a root file system of their own"},
	{[]string{"control"}, "a trial whose outcome is known beforehand: where nothing protects, an attempt must reach its target, or its being blocked elsewhere proves nothing"},
	{[]string{"CPUID"}, "the instruction by which a processor says what it is; a hypervisor can answer in its place, and give its own name"},
	{[]string{"defence in depth"}, "several walls one behind the other, so that one may fail"},
	{[]string{"digest", "SHA-256"}, "a number that is computed from all bytes of a file: who has the same number has, as good as certainly, the same bytes"},
	{[]string{"drift"}, "a slow change over the run: values that rise or fall with the time at which they were measured"},
	{[]string{"ECDF"}, "empirical distribution: at each value, the share of the sample that is not above it"},
	{[]string{"emulated"}, "run by a program that imitates the processor, instead of on the processor"},
	{[]string{"engine", "runtime"}, "a runtime makes one container from a folder and a configuration (runc, crun, and bench itself); an engine manages images, networks and containers, and has a runtime make them (docker, podman)"},
	{[]string{"EROFS"}, "a file system that can only be read, in which a machine gets the layers of an image as disks; also the error of who writes to such a one"},
	{[]string{"errno", "EPERM"}, "the kernel's word for why it refused a system call: EPERM and EACCES, not permitted; ENOENT, not there; ENOSYS, no such call; errno(3)"},
	{[]string{"free-page reporting"}, "a guest's kernel tells the host by itself which memory has become free"},
	{[]string{"function tracer", "ftrace"}, "a part of the kernel that notes which of its functions begin"},
	{[]string{"guest", "host"}, "the system in a virtual machine, and the computer that the machine is on, which containers share"},
	{[]string{"Holm's method"}, "a correction of p-values for asking many questions at once, of which some would be answered wrongly by chance alone"},
	{[]string{"HTTP"}, "the protocol of the web: here a request for a short page, and the response"},
	{[]string{"hypervisor"}, "software or firmware that creates and runs virtual machines"},
	{[]string{"image", "layer", "manifest"}, "the files that a container or a machine starts from, in layers of which several images can have some in common; the manifest lists the layers by their digests"},
	{[]string{"initramfs"}, "a small file system in memory with which a Linux kernel starts, before it has a disk"},
	{[]string{"instance"}, "one start of the program on one platform, with all that exists for it"},
	{[]string{"interference"}, "what a program loses because another one uses the same processors, memory, disk or network"},
	{[]string{"ioctl"}, "the system call for all that a device can be told and that is neither read nor written; each request is a function of its own"},
	{[]string{"IPC", "PID", "UTS"}, "three kinds of namespace: of shared memory and message queues (inter-process communication), of the numbers of processes, of the host's name"},
	{[]string{"journal"}, "the file of the run with every single measurement: " + result.FileName},
	{[]string{"KB", "MB", "GB"}, "thousands, millions and billions of bytes, as others give sizes; bench counts in KiB, MiB and GiB, of 1,024 each"},
	{[]string{"kernel", "user space"}, "the part of an operating system that owns the hardware and serves all programs, and everything else: programs, libraries, files"},
	{[]string{"KSM"}, "kernel same-page merging: Linux looks for equal pages of memory and keeps one of them"},
	{[]string{"KVM", "TCG"}, "two ways in which QEMU runs a machine: on the host's processor (KVM), or emulated (TCG)"},
	{[]string{"loopback"}, "the network of a system with itself: 127.0.0.1"},
	{[]string{"machine type", "pc", "q35", "microvm"}, "what computer QEMU imitates: a PC of 1996 (pc), one of 2009 (q35), or a small machine without a PC's devices (microvm)"},
	{[]string{"Mann-Whitney test"}, "asks whether values of one sample tend to be larger than those of another; it compares ranks, and so assumes no shape"},
	{[]string{"masked path", "read-only path"}, "a file of the kernel's that a container does not see, or cannot write, because something else is mounted over it or it is mounted again"},
	{[]string{"median"}, "the middle of a sample when it is sorted: as many values lie below it as above it"},
	{[]string{"MemAvailable", "MemTotal"}, "what the kernel says of all its memory: how much programs could still have, and how much there is: proc_meminfo(5)"},
	{[]string{"mitigation"}, "what a kernel does against an error of the processor; it can cost time, most of all at system calls"},
	{[]string{"n"}, "the number of values that count"},
	{[]string{"namespace"}, "a kernel's separate view of one resource: processes, mounts, network, users and others: namespaces(7)"},
	{[]string{"neighbour", "victim", "witness"}, "in an experiment, the instance that behaves badly, the one beside it that is measured, and a small program that only says that it still can work"},
	{[]string{"nested"}, "a container inside a virtual machine"},
	{[]string{"no_new_privs"}, "a promise that a process makes to the kernel: no program that it starts will have more privileges than it has itself"},
	{[]string{"OCI"}, "Open Container Initiative, which has agreed on the form of images and on what a runtime is told"},
	{[]string{"outlier"}, "a value far from the others; it is flagged, and counts like all others"},
	{[]string{"overlay"}, "a file system that joins layers: files are read from the highest layer that has them, and written to one of its own"},
	{[]string{"p-value"}, "how likely samples would differ at least as much if nothing but chance made them differ; the smaller, the surer the difference"},
	{[]string{"p95", "p99"}, "percentiles: the values that 95 and 99 of 100 stay below"},
	{[]string{"page cache"}, "memory in which a kernel keeps files that were read or written, for the next who asks"},
	{[]string{"panic"}, "the end of a kernel that cannot go on, and of all that runs on it"},
	{[]string{"phase"}, "a part of a start, from one event to the next"},
	{[]string{"pivot_root"}, "the system call by which a process changes what / is for it"},
	{[]string{"probe", "attempt"}, "a small piece of program that tries one way out of an instance"},
	{[]string{"PSI"}, "pressure stall information: the share of time in which something waited for a processor, memory or a disk"},
	{[]string{"PSS", "USS", "RSS"}, "three ways to count the memory of processes, by what is done with pages that several share: divided among them (PSS), left out (USS), counted to each in full (RSS)"},
	{[]string{"ptrace"}, "the system call by which one process follows each step of another"},
	{[]string{"QEMU", "QMP"}, "the program that makes the virtual machines, and the protocol in which it is told what to do"},
	{[]string{"ratio"}, "one median divided by another: 2 is twice as much"},
	{[]string{"root"}, "the user 0, who may do everything; in a user namespace, everything that belongs to that"},
	{[]string{"round"}, "one turn of all platforms, in an order that is drawn anew each time"},
	{[]string{"saved state"}, "the memory and the devices of a machine that was stopped, from which it goes on without booting; also called a snapshot"},
	{[]string{"seccomp"}, "the kernel's filter of the system calls of a process: seccomp(2)"},
	{[]string{"security module"}, "a part of the kernel with rules of its own on who may do what, whoever owns it (mandatory access control, MAC): AppArmor, SELinux and others"},
	{[]string{"seed"}, "the number from which all that is random in a run is computed: the same seed, the same order"},
	{[]string{"signal", "SIGSEGV", "SIGKILL"}, "a short message to a process; these end it, the first for reading or writing where there is no memory"},
	{[]string{"slab", "kernel stacks", "page tables"}, "memory that the kernel uses itself: for its own records, for its work on behalf of each thread, for the maps of each process's memory"},
	{[]string{"steal"}, "time that a hypervisor has given to others while this system wanted to run"},
	{[]string{"SysRq"}, "a door to the kernel for administrators, by a key or a file: among what can be asked for is a crash"},
	{[]string{"system call"}, "how a program asks a kernel for anything: to read a file, to have memory, to start a process"},
	{[]string{"throwaway machine"}, "the virtual machine in which was tried what must not be tried on the host; its kernel stands for the host's"},
	{[]string{"user map"}, "which user outside a user namespace each user inside is: user_namespaces(7)"},
	{[]string{"virtio"}, "devices that exist for virtual machines alone, and spare both sides the imitation of a real one"},
	{[]string{"VM"}, "virtual machine: a computer that a program imitates, on which a kernel of its own runs"},
	{[]string{"warm-up"}, "a first measurement that fills caches and is not counted"},
}
