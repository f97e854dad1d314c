package look

import (
	"fmt"
	"math/bits"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"vmctr/report/result/isolation"
)

// capabilities are the names of linux/capability.h, in order from 0.
var capabilities = strings.Fields(`chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap
	linux_immutable net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio
	sys_chroot sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease
	audit_write audit_control setfcap mac_override mac_admin syslog wake_alarm block_suspend audit_read perfmon
	bpf checkpoint_restore`)

// The sets, by their names in /proc/self/status (capabilities(7)).
var capabilitySets = map[string]string{
	"inheritable": "CapInh", "permitted": "CapPrm", "effective": "CapEff", "bounding": "CapBnd", "ambient": "CapAmb",
}

// securebits are the names of linux/securebits.h, in order from bit 0.
var securebits = strings.Fields(`noroot noroot_locked no_setuid_fixup no_setuid_fixup_locked keep_caps keep_caps_locked
	no_cap_ambient_raise no_cap_ambient_raise_locked exec_restrict_file exec_restrict_file_locked exec_deny_interactive
	exec_deny_interactive_locked`)

// Privileges are what the kernel says that the program may do. Nothing is tried.
func (s System) Privileges() isolation.Privileges {
	p := isolation.Privileges{BootID: s.BootID(), UID: os.Getuid(), Capabilities: map[string][]string{}}
	text, _ := s.read("/proc/self/uid_map")
	p.UIDMap = lines(text)
	text, _ = s.read("/proc/self/gid_map")
	p.GIDMap = lines(text)
	status, _ := s.read("/proc/self/status")
	for set, field := range capabilitySets {
		mask, err := strconv.ParseUint(Field(status, field), 16, 64)
		if err == nil {
			p.Capabilities[set] = named(mask, capabilities)
		}
	}
	if last, err := s.read("/proc/sys/kernel/cap_last_cap"); err == nil {
		n, _ := strconv.Atoi(last)
		p.Known = n + 1
	}
	p.Seccomp, _ = strconv.Atoi(Field(status, "Seccomp"))
	p.Filters, _ = strconv.Atoi(Field(status, "Seccomp_filters"))
	p.NoNewPrivs = Field(status, "NoNewPrivs") == "1"
	// The label ends in a NUL with some modules.
	text, _ = s.read("/proc/self/attr/current")
	p.Label = strings.TrimSpace(strings.Trim(text, "\x00"))
	p.LSMs, _ = s.read("/sys/kernel/security/lsm")
	if s.Root == "" {
		if mask, err := unix.PrctlRetInt(unix.PR_GET_SECUREBITS, 0, 0, 0, 0); err == nil {
			p.Securebits = named(uint64(mask), securebits)
		}
	}
	return p
}

// named are the names of the bits of a mask; one that has none is called by its number.
func named(mask uint64, names []string) []string {
	all := []string{}
	for ; mask != 0; mask &= mask - 1 {
		n := bits.TrailingZeros64(mask)
		if n < len(names) {
			all = append(all, names[n])
		} else {
			all = append(all, fmt.Sprint(n))
		}
	}
	return all
}
