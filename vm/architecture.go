package vm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
)

// An architecture is what differs between the machines of one processor and those
// of another. A machine type belongs to one. A host's processor can run, under KVM,
// the instructions of its own alone; the emulator runs any on any, which is how a
// virtual machine runs an image that no container on this host could.
type architecture struct {
	binary  string // QEMU's program
	pkg     string // Debian's, which holds it
	console string // the kernel's name of the first serial port
	// emulated is the CPU model of an emulated guest.
	emulated string
	// parameters are the kernel's, of an emulated guest: see parameters.
	parameters []string
}

// architectures are those that there are guests of, as Go names them.
var architectures = map[string]architecture{
	"amd64": {
		binary: "qemu-system-x86_64", pkg: "qemu-system-x86", console: "ttyS0",
		// A plain CPU, with the instructions that programs may ask for (x86-64-v2 and
		// v3 of the psABI) and their random numbers. The emulator can do more ("max"),
		// which is mostly for kernels: they change their code to use it, and boot slower.
		emulated: "qemu64,+cx16,+lahf_lm,+popcnt,+ssse3,+sse4.1,+sse4.2," +
			"+abm,+avx,+avx2,+bmi1,+bmi2,+f16c,+fma,+movbe,+xsave,+xsaveopt,+rdrand",
		parameters: []string{
			"noreplace-smp",  // on one CPU it would patch 9,000 lock prefixes away, all over its code
			"no_timer_check", // on a busy host an emulator misses ticks, and the check of the timer panics
			"tsc=reliable",   // likewise, and a clock that is checked against ticks is found to be wrong
		},
	},
	"arm64": {
		binary: "qemu-system-aarch64", pkg: "qemu-system-arm", console: "ttyAMA0",
		// All that the emulator can do, but for two features that no program may take
		// for granted: pointers that are signed at each call, and vectors of any
		// length, whose registers are saved at each switch. With them a boot takes
		// 1.3 times the CPU time, even with signatures that are quick to imitate
		// (pauth-impdef=on; arm-cpu-features.rst of QEMU).
		emulated: "max,pauth=off,sve=off",
	},
}

// Architecture is the architecture of a machine type, as Go names it; "" for a type
// that is not known here.
func Architecture(typ string) string {
	t, ok := machineTypes[typ]
	if !ok {
		return ""
	}
	return cmp.Or(t.arch, "amd64")
}

// architecture is that of the machine's type.
func (c Config) architecture() architecture { return architectures[Architecture(c.Type)] }

// ErrNoQEMU is matched by errors of a host on which QEMU is not installed.
var ErrNoQEMU = errors.New("is not installed")

// Find gives the path of the QEMU that runs machines of this host's architecture.
func Find() (string, error) { return FindFor(runtime.GOARCH) }

// FindFor gives the path of the QEMU that runs machines of an architecture.
func FindFor(arch string) (string, error) {
	a, ok := architectures[arch]
	if !ok {
		return "", fmt.Errorf("machines of the architecture %s are not known here", arch)
	}
	path, err := exec.LookPath(a.binary)
	if err != nil {
		return "", fmt.Errorf("%s %w (%v)", a.binary, ErrNoQEMU, err)
	}
	return path, nil
}

// Package is Debian's package of the QEMU for an architecture.
func Package(arch string) string { return architectures[arch].pkg }

// cpu is the model that a guest sees: under KVM the host's own.
func (c Config) cpu() string {
	if c.Accelerator == KVM {
		return "host"
	}
	return c.architecture().emulated
}

// ChooseFor is [Choose] for machines of an architecture. KVM lets a processor run
// its own instructions, so it is no choice for another's.
func ChooseFor(ctx context.Context, qemu, arch string) (Choice, error) {
	switch {
	case arch != runtime.GOARCH:
		return Choice{Accelerator: TCG, Reason: fmt.Sprintf("the machine's processor is of %s, and this host's of %s, which does not execute its instructions", arch, runtime.GOARCH)}, nil
	case arch != "amd64":
		return Choice{Accelerator: TCG, Reason: "whether KVM works is found out by running a boot sector, and there is none for " + arch}, nil
	}
	return Choose(ctx, qemu)
}
