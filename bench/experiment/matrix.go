package experiment

import "vmctr/bench/platform"

// matrix is the startup of a virtual machine in each of the ways in which one can
// boot: machine type, format of the kernel, firmware, and QEMU's own default. Its
// subjects are variants of the platforms, without a network.
var matrix = Experiment{
	Name:    platform.Matrix,
	About:   "startup of a virtual machine: machine type x kernel format x firmware",
	value:   "first_instruction_ns",
	Weight:  8, // its rounds have a dozen machines each
	Own:     true,
	From:    "standard",
	warmups: 1,
	observe: observeStart,
}
