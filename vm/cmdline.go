package vm

import (
	"strconv"
	"strings"

	"vmctr/vm/guest/wire"
)

// cmdline is the kernel's command line (Linux, admin-guide/kernel-parameters.rst).
//
// What makes an emulator slow is code that it sees for the first time, which it has
// to translate, and code that changes, which it has to translate again: the
// parameters of an architecture's emulated guests keep the kernel from both.
func (c Config) cmdline() string {
	words := []string{
		"console=" + c.architecture().console, // on which it says why it dies
		"panic=-1",                            // it reboots at once, which ends the machine
	}
	if !c.Defaults {
		words = append(words,
			"quiet",             // not for looks: each byte on the console is an exit to QEMU
			"cryptomgr.notests", // its ciphers are as good as when its distribution tested them
		)
		if c.Accelerator == TCG {
			words = append(words, c.architecture().parameters...)
		}
		if c.Accelerator == TCG && c.TSC != 0 && Architecture(c.Type) == "amd64" {
			words = append(words, "tsc_early_khz="+strconv.FormatInt(c.TSC, 10))
		}
	}
	if n := c.Network; n != nil && n.Address.IsValid() {
		words = append(words, wire.NetworkVariable+"="+n.setting())
	}
	if c.Vsock {
		words = append(words, wire.VsockVariable+"="+strconv.FormatUint(uint64(c.vsock.port), 10))
	}
	if c.Cmdline != "" {
		words = append(words, c.Cmdline)
	}
	return strings.Join(words, " ")
}
