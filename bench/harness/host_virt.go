package harness

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// Virt is what a host has for virtual machines, and whether it is one.
type Virt struct {
	CPUFlag    string // "vmx" (Intel), "svm" (AMD), or "" without hardware virtualization
	Hypervisor string // under this host, such as "KVM" or "VMware"; "" on bare metal
	KVMDevice  string // of /dev/kvm: "present", "missing" or "no permission"
	Type       string // which type of hypervisor would run machines here, in one line
}

// Virtualization looks at the CPU's flags and at device files. That /dev/kvm
// opens does not prove that KVM runs a guest: only running one does.
func Virtualization() Virt {
	var release string
	if a, err := ask(); err == nil {
		release = a.kernel.Release
	}
	return virtualizationFrom("/", release)
}

func virtualizationFrom(root, release string) Virt {
	f := files(root)
	v := Virt{Hypervisor: f.hypervisor(release)}
	flags := f.cpuInfo().Flags
	for _, flag := range []string{"vmx", "svm"} {
		if slices.Contains(flags, flag) {
			v.CPUFlag = flag
		}
	}
	kvm, err := os.OpenFile(f.path("dev/kvm"), os.O_RDWR, 0)
	if err == nil {
		kvm.Close()
	}
	v.KVMDevice = kvmDevice(err)
	v.Type = hypervisorType(v)
	return v
}

// kvmDevice tells what opening /dev/kvm came to. The file can be there
// without the driver (ENODEV, ENXIO).
func kvmDevice(err error) string {
	switch {
	case err == nil:
		return "present"
	case errors.Is(err, fs.ErrPermission):
		return "no permission"
	}
	return "missing"
}

// hypervisorType names the type after Popek and Goldberg ("Formal Requirements
// for Virtualizable Third Generation Architectures", 1974) as lectures use it:
// type 1 runs on the hardware, type 2 on an operating system. KVM is the case
// that the two types were not made for, and the line says so.
func hypervisorType(v Virt) string {
	switch {
	case strings.HasPrefix(v.Hypervisor, "Xen") && strings.Contains(v.Hypervisor, domain0):
		return "type 1 (bare metal): Xen, below this Linux, which is its domain 0; QEMU started here is type 2 (hosted) without KVM"
	case v.KVMDevice == "present" && v.CPUFlag == "":
		return "type 2 (hosted): QEMU is a program on this Linux; there is a KVM, but the CPU has neither vmx nor svm for it, so it may run no guest, or slowly"
	case v.KVMDevice == "present":
		return "type 2 (hosted): QEMU is a program on this Linux, and KVM in the kernel runs its guest on the CPU; since the kernel itself is then the hypervisor, some call KVM type 1"
	default:
		return "type 2 (hosted): QEMU is a program on this Linux and, without KVM, translates each instruction of its guest (TCG)"
	}
}

const (
	domain0           = "domain 0"
	unknownHypervisor = "unknown hypervisor"
)

// hypervisor names what this host runs on, "" on bare metal. The fact comes
// from the CPU: leaf 1 of CPUID has bit 31 of ECX set under a hypervisor, and
// Linux shows it as the flag "hypervisor". The name comes from the firmware's
// tables and from drivers that only one hypervisor has. The names alone prove
// nothing: a bare-metal machine that a cloud rents out carries the cloud's.
//
// The marks are those of systemd-detect-virt (src/basic/virt.c).
func (f files) hypervisor(release string) string {
	info := f.cpuInfo()
	isX86 := len(info.Flags) > 0 && slices.Contains(info.Flags, "fpu")
	xen := f.read("sys/hypervisor/type") == "xen"
	switch {
	case xen && strings.Contains(f.read("proc/xen/capabilities"), "control_d"):
		return "Xen (this is its " + domain0 + ")"
	case xen:
		return "Xen"
	case isX86 && !slices.Contains(info.Flags, "hypervisor"):
		return ""
	case strings.Contains(strings.ToLower(release), "microsoft"):
		return "Microsoft Hyper-V (WSL 2)"
	}
	for _, mark := range marks {
		text := f.read(mark.file)
		if text == "" || mark.x86 && !isX86 {
			continue
		}
		if strings.HasPrefix(text, mark.text) || mark.anywhere && strings.Contains(text, mark.text) {
			return mark.name
		}
	}
	if isX86 {
		return unknownHypervisor
	}
	return ""
}

// marks by which a hypervisor is known, the surest first.
var marks = []struct {
	file, text string
	anywhere   bool // text may stand anywhere in the file
	x86        bool // means something only beside the CPU's flag
	name       string
}{
	{file: "sys/class/dmi/id/product_name", text: "KVM", name: "KVM"},
	{file: "sys/class/dmi/id/product_name", text: "Google Compute Engine", name: "KVM (Google Compute Engine)", x86: true},
	{file: "sys/class/dmi/id/product_name", text: "OpenStack", name: "KVM (OpenStack)"},
	{file: "sys/class/dmi/id/product_name", text: "KubeVirt", name: "KVM (KubeVirt)"},
	{file: "sys/class/dmi/id/product_name", text: "VirtualBox", name: "VirtualBox"},
	{file: "sys/class/dmi/id/product_name", text: "VMware", name: "VMware"},
	{file: "sys/class/dmi/id/product_name", text: "BHYVE", name: "bhyve"},
	{file: "sys/class/dmi/id/product_name", text: "Apple Virtualization", name: "Apple Virtualization"},
	{file: "sys/class/dmi/id/sys_vendor", text: "VMware", name: "VMware"},
	{file: "sys/class/dmi/id/sys_vendor", text: "innotek GmbH", name: "VirtualBox"},
	{file: "sys/class/dmi/id/sys_vendor", text: "Parallels", name: "Parallels"},
	{file: "sys/class/dmi/id/sys_vendor", text: "Xen", name: "Xen"},
	// Hyper-V's vendor also makes laptops, whose Windows is a guest of it but
	// whose Linux is not: the CPU's flag comes first.
	{file: "sys/class/dmi/id/sys_vendor", text: "Microsoft Corporation", name: "Microsoft Hyper-V", x86: true},
	// EC2 also rents bare metal.
	{file: "sys/class/dmi/id/sys_vendor", text: "Amazon EC2", name: "KVM (Amazon EC2)", x86: true},
	// A clock that guests of one hypervisor read: where firmware has no DMI,
	// as Firecracker's, and beside a DMI that says QEMU, which also runs
	// without KVM.
	{file: "sys/devices/system/clocksource/clocksource0/available_clocksource", text: "kvm-clock", anywhere: true, name: "KVM"},
	{file: "sys/devices/system/clocksource/clocksource0/available_clocksource", text: "hyperv_clocksource", anywhere: true, name: "Microsoft Hyper-V"},
	{file: "sys/devices/system/clocksource/clocksource0/available_clocksource", text: "xen", anywhere: true, name: "Xen"},
	{file: "sys/class/dmi/id/sys_vendor", text: "QEMU", name: "QEMU"},
	// Device trees, on other processors than x86.
	{file: "proc/device-tree/hypervisor/compatible", text: "linux,kvm", name: "KVM"},
	{file: "proc/device-tree/hypervisor/compatible", text: "vmware", name: "VMware"},
	{file: "proc/device-tree/hypervisor/compatible", text: "xen", anywhere: true, name: "Xen"},
	{file: "proc/device-tree/compatible", text: "linux,dummy-virt", anywhere: true, name: "QEMU"},
}

// container names the engine in whose container bench itself runs, "" in none.
// Each leaves a mark of its own; the variable is the one that they agreed on
// (systemd.io/CONTAINER_INTERFACE).
func (f files) container() string {
	for variable := range strings.SplitSeq(f.read("proc/1/environ"), "\x00") {
		if name, ok := strings.CutPrefix(variable, "container="); ok && name != "" {
			return name
		}
	}
	for _, mark := range []struct{ file, name string }{{"run/.containerenv", "podman"}, {".dockerenv", "docker"}} {
		if f.exists(mark.file) {
			return mark.name
		}
	}
	// On version 1 of cgroups, or without a cgroup namespace, the path shows.
	groups := f.read("proc/1/cgroup")
	for _, mark := range []struct{ text, name string }{
		{"/docker", "docker"}, {"/libpod", "podman"}, {"/kubepods", "kubernetes"}, {"/lxc", "lxc"},
	} {
		if strings.Contains(groups, mark.text) {
			return mark.name
		}
	}
	return ""
}
