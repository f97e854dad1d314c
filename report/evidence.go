package report

import (
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"vmctr/report/result/identity"
)

// kernelOf is whose kernel serves a platform's program.
type kernelOf int

const (
	kernelUnknown kernelOf = iota // a boot_id is missing
	kernelShared                  // the host's own
	kernelOwn                     // another one
)

// kernelOf compares boot_id: it is drawn anew at each boot of a kernel, so two
// that are equal are one kernel. Nothing else tells as much: release and
// namespace numbers can be equal on two kernels.
func (m *model) kernelOf(id *identity.Identity) kernelOf {
	host := m.run.Header.Host.BootID
	switch {
	case id == nil || id.BootID == "" || host == "":
		return kernelUnknown
	case id.BootID == host:
		return kernelShared
	default:
		return kernelOwn
	}
}

// namespaces splits the namespaces of a program that runs on the host's kernel
// into those that it has for itself and those that it shares with the host.
func (m *model) namespaces(id *identity.Identity) (own, shared []string) {
	return apart(id, m.run.Header.Host.Namespaces)
}

// apart splits them by the namespaces of another process on the same kernel.
func apart(id *identity.Identity, other map[string]uint64) (own, shared []string) {
	if id == nil {
		return nil, nil
	}
	for _, t := range slices.Sorted(maps.Keys(id.Namespaces)) {
		switch n, ok := other[t]; {
		case !ok:
		case n == id.Namespaces[t]:
			shared = append(shared, t)
		default:
			own = append(own, t)
		}
	}
	return own, shared
}

// hypervisors are the names that CPUID leaf 0x40000000 gives.
var hypervisors = map[string]string{
	"KVMKVMKVM":    "KVM",
	"TCGTCGTCGTCG": "QEMU's emulator, TCG",
	"Microsoft Hv": "Hyper-V",
	"VMwareVMware": "VMware",
	"XenVMMXenVMM": "Xen",
	"VBoxVBoxVBox": "VirtualBox",
	"bhyve bhyve":  "bhyve",
}

// hypervisor is what the processor says of who runs it.
func hypervisor(id *identity.Identity) string {
	name := strings.Trim(id.HyperName, "\x00 ")
	known := hypervisors[name]
	switch {
	case !id.Hypervisor && name == "":
		return "none"
	case known != "":
		return known
	case name != "":
		return strconv.QuoteToASCII(name)
	default:
		return "one that gives no name"
	}
}

// kernelName is the release of a kernel.
func kernelName(k identity.Kernel) string {
	return strings.TrimSpace(k.Sysname + nbsp + k.Release)
}

// uidMap says who the program's user 0 is outside its user namespace:
// user_namespaces(7), lines of "inside outside length".
func uidMap(id *identity.Identity) string {
	for line := range strings.SplitSeq(id.UIDMap, ";") {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		if f[0] == "0" && f[1] == "0" && f[2] == "4294967295" {
			return "every user is the same user outside"
		}
		if f[0] == "0" {
			return "user 0 inside is user " + f[1] + " outside"
		}
	}
	if id.UIDMap == "" {
		return "not recorded"
	}
	return "users " + id.UIDMap
}

// capabilities counts those in effect: capabilities(7).
func capabilities(id *identity.Identity) string {
	mask, err := strconv.ParseUint(id.Capability, 16, 64)
	if err != nil {
		return "not recorded"
	}
	if mask == 0 {
		return "none"
	}
	return fmt.Sprintf("%d (0x%x)", bits.OnesCount64(mask), mask)
}

// seccomp is the mode that /proc/self/status shows: seccomp(2).
func seccomp(id *identity.Identity) string {
	switch id.Seccomp {
	case 0:
		return "off"
	case 1:
		return "strict"
	case 2:
		return "filter"
	default:
		return strconv.Itoa(id.Seccomp)
	}
}
