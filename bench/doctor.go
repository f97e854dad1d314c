package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"vmctr/bench/engine"
	"vmctr/bench/experiment"
	"vmctr/bench/harness"
	"vmctr/bench/platform"
	"vmctr/container"
	"vmctr/container/cgroup"
	"vmctr/vm"
	"vmctr/vm/kernel"
)

type doctorCommand struct {
	Kernel string `help:"Kernel of the virtual machines, as for bench all." placeholder:"FILE"`
}

// finding is one line of the doctor's.
type finding struct {
	what string
	ok   bool
	text string // what was found, or what is wrong
	fix  string

	optional bool // nobody misses it
}

// Run looks at all that `bench all` needs, then starts one instance on each
// platform: what does start is known to work.
func (c *doctorCommand) Run(s streams) error {
	ctx, stop := interruptible()
	defer stop()
	say := func(f finding) {
		mark := "ok  "
		if !f.ok {
			mark = "MISS"
		}
		if !f.ok && f.optional {
			mark = "–   "
		}
		fmt.Fprintf(s.out, "%s  %-16s %s\n", mark, f.what, f.text)
		if f.fix != "" {
			fmt.Fprintf(s.out, "      %-16s fix: %s\n", "", f.fix)
		}
	}
	for _, check := range []func() finding{cpu, thisHost, hypervisor, user, cgroups, namespaces, overlay} {
		say(check())
	}
	for _, f := range slices.Concat(rootless(ctx), engines(ctx), machine(ctx, c.Kernel)) {
		say(f)
	}
	failed := 0
	starts, err := c.starts(ctx, s)
	for _, f := range starts {
		if !f.ok && !f.optional {
			failed++
		}
		say(f)
	}
	if err != nil {
		return err
	}
	if failed > 0 {
		return &exitError{exitFailed, fmt.Errorf("bench all could not measure %d of %d platforms here", failed, len(starts))}
	}
	fmt.Fprintln(s.out, "bench all can measure every platform here.")
	return nil
}

// starts starts one instance on each platform, as `bench all` does first.
func (c *doctorCommand) starts(ctx context.Context, s streams) (found []finding, err error) {
	run, err := newRun(ctx, s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, run.Close()) }()
	image, err := workload(ctx)
	if err != nil {
		return nil, err
	}
	process, err := image.Process(nil)
	if err != nil {
		return nil, err
	}
	for _, p := range platform.All() {
		f := finding{what: p.Info().Name}
		begin := time.Now()
		err := p.Available(ctx)
		if err == nil {
			err = tryOut(ctx, p, workloadFor(run, p, image, process, c.Kernel))
		}
		if u, ok := errors.AsType[*platform.UnavailableError](err); ok {
			f.text, f.fix, f.optional = u.Reason, u.Fix, p.Info().Optional
		} else if err != nil {
			f.text = err.Error()
		} else {
			f.ok, f.text = true, fmt.Sprintf("prepared, started and stopped, in %v", time.Since(begin).Round(time.Millisecond))
		}
		if ctx.Err() != nil {
			return found, context.Cause(ctx)
		}
		found = append(found, f)
	}
	return found, nil
}

// tryOut prepares a platform and asks one instance who it is.
func tryOut(ctx context.Context, p platform.Platform, w platform.Workload) (err error) {
	if err := os.MkdirAll(w.Dir, 0o700); err != nil {
		return err
	}
	prepared, err := p.Prepare(ctx, w)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, prepared.Close()) }()
	plan := experiment.All()[0].Plan([]experiment.Subject{{Name: p.Info().Name, Prepared: prepared}}, experiment.Limits{Rounds: 1})
	ctx, cancel := context.WithTimeoutCause(ctx, plan.Deadline, fmt.Errorf("no sign of life within %v", plan.Deadline))
	defer cancel()
	_, err = plan.Trials[0].Measure(ctx)
	return err
}

func cpu() finding {
	host, _, err := harness.Host()
	if err != nil {
		return finding{what: "CPU", text: err.Error()}
	}
	v := harness.Virtualization()
	flag := "no hardware virtualization (neither vmx nor svm)"
	if v.CPUFlag != "" {
		flag = "hardware virtualization (" + v.CPUFlag + ")"
	}
	return finding{what: "CPU", ok: true, text: fmt.Sprintf("%s, %d CPUs, %s", host.CPU, host.CPUs, flag)}
}

func thisHost() finding {
	if h := harness.Virtualization().Hypervisor; h != "" {
		return finding{what: "this host", ok: true, text: "is itself a virtual machine (" + h + "): figures of machines are of machines in a machine"}
	}
	return finding{what: "this host", ok: true, text: "is bare metal: no hypervisor announces itself"}
}

func hypervisor() finding {
	return finding{what: "hypervisor", ok: true, text: harness.Virtualization().Type}
}

func user() finding {
	if os.Geteuid() == 0 {
		return finding{what: "user", ok: true, text: "root"}
	}
	return finding{what: "user", text: fmt.Sprintf("user %d, not root: containers cannot be measured", os.Geteuid()), fix: "sudo scripts/bench"}
}

// rootless tells what an ordinary user's containers can have (bench-oci): none
// is measured, since they have neither limits nor a network to be compared by.
func rootless(ctx context.Context) []finding {
	missing, err := container.Rootless(ctx)
	if l, ok := errors.AsType[*container.Limitation](err); ok {
		return []finding{{what: "rootless", text: "no containers: " + l.Why, fix: l.Fix}}
	}
	if err != nil {
		return []finding{{what: "rootless", text: err.Error()}}
	}
	if len(missing) == 0 {
		return nil // root
	}
	found := []finding{{what: "rootless", ok: true, text: "bench-oci makes containers for this user; what they cannot have:"}}
	for _, l := range missing {
		found = append(found, finding{what: "rootless", text: l.What + ": " + l.Why, fix: l.Fix})
	}
	return found
}

// engines asks the container engines what they are, if they answer.
func engines(ctx context.Context) (found []finding) {
	for _, name := range engine.Names {
		f := finding{what: name, optional: true}
		c, err := engine.Find(name)
		var i engine.Info
		if err == nil {
			i, err = c.Ask(ctx)
		}
		if err != nil {
			f.text = "no engine answers: " + err.Error()
		} else {
			f.ok, f.text = true, fmt.Sprintf("the engine %s answers (%s); runtime %s, storage driver %s, cgroups by %s", i.Version, c.Path, i.Runtime, i.Storage, i.Cgroups)
		}
		found = append(found, f)
	}
	return found
}

func cgroups() finding {
	h, err := cgroup.Detect()
	if err != nil {
		return finding{what: "cgroups", text: err.Error()}
	}
	var missing []string
	for _, c := range []string{"memory", "cpu", "pids"} {
		if !h.Has(c) {
			missing = append(missing, c)
		}
	}
	f := finding{what: "cgroups", ok: len(missing) == 0, text: h.Mode + " with the controllers memory, cpu and pids"}
	if !f.ok {
		f.text = fmt.Sprintf("%s without %s", h.Mode, strings.Join(missing, ", "))
		f.fix = "mount them (cgroups(7)), or boot with systemd.unified_cgroup_hierarchy=1"
	}
	return f
}

func namespaces() finding {
	var have []string
	for _, ns := range []string{"pid", "mnt", "net", "uts", "ipc", "user", "cgroup", "time"} {
		if _, err := os.Stat(filepath.Join("/proc/self/ns", ns)); err == nil {
			have = append(have, ns)
		}
	}
	return finding{what: "namespaces", ok: len(have) > 0, text: strings.Join(have, " ")}
}

func overlay() finding {
	f := finding{what: "overlay", ok: true, text: "the kernel has overlayfs"}
	b, err := os.ReadFile("/proc/filesystems")
	if err != nil || !strings.Contains(string(b), "\toverlay\n") {
		f.text = "overlayfs is not loaded; the kernel loads its module when a container is first started"
	}
	return f
}

// machine looks at what virtual machines need.
func machine(ctx context.Context, given string) []finding {
	return append(emulator(ctx), guestKernel(given), guestChannel(), foreignMachine())
}

// guestChannel looks for what carries messages to and from a guest faster than QEMU does.
func guestChannel() finding {
	f := finding{what: "guest channel", ok: true, text: "virtio-vsock (bench run --on), virtio-serial"}
	if err := vm.CheckVsock(); err != nil {
		f.text = fmt.Sprintf("virtio-serial; %v", err)
	}
	return f
}

// foreignMachine looks at what a machine with another processor needs.
func foreignMachine() finding {
	f := finding{what: "arm64 guests", optional: true}
	path, err := vm.FindFor("arm64")
	if err == nil {
		o := kernelOptions("")
		o.Arch = "arm64"
		var k *kernel.Kernel
		if k, err = kernel.Find(o); err == nil {
			f.ok, f.text = true, fmt.Sprintf("emulated (bench run --on vm-virt), by %s; %v", path, k)
			return f
		}
	}
	f.text, f.fix = err.Error(), "for bench run --on vm-virt alone: sudo scripts/setup arm64"
	return f
}

// emulator looks for QEMU, and has it run a boot sector.
func emulator(ctx context.Context) []finding {
	q := finding{what: "QEMU"}
	path, err := vm.Find()
	if err != nil {
		q.text, q.fix = err.Error(), "sudo scripts/setup, or apt-get install qemu-system-x86"
		return []finding{q}
	}
	version, err := vm.QEMUVersion(ctx, path)
	if err != nil {
		q.text, q.fix = err.Error(), "install it anew: apt-get install --reinstall qemu-system-x86"
		return []finding{q}
	}
	q.ok, q.text = true, version+" ("+path+")"
	k := finding{what: "KVM"}
	choice, err := vm.Choose(ctx, path)
	switch {
	case err != nil:
		k.text = err.Error()
	case choice.Accelerator == vm.KVM:
		k.ok, k.text = true, "usable: "+choice.String()
	default:
		k.text, k.fix = choice.Reason+"; machines are emulated, and their figures labelled so", choice.Fix
	}
	return []finding{q, k}
}

func guestKernel(given string) finding {
	k, err := kernel.Find(kernelOptions(given))
	if err != nil {
		return finding{what: "guest kernel", text: err.Error(), fix: "sudo scripts/setup, which downloads one"}
	}
	f := finding{what: "guest kernel", ok: true, text: k.String()}
	if len(k.Passed) > 0 {
		f.text += "; passed over: " + k.PassedOver()
	}
	return f
}
