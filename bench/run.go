package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/bench/harness"
	"vmctr/container"
	"vmctr/container/network"
	"vmctr/container/rootfs"
	"vmctr/container/step"
	"vmctr/vm"
)

// runCommand is `docker run`: its flags, its exit codes, its way with signals
// and terminals. What it lacks is a container that outlives it: the command is
// the container's owner, and with it all goes, the writable layer too.
type runCommand struct {
	Args []string `arg:"" name:"image" passthrough:"partial" help:"The image and, after it, the program and its arguments. An image is 'workload', or a path that begins with a dot or a slash: an OCI image layout (or oci:DIR[:NAME]), an archive of docker save, or a folder that is a root file system."`

	Platform    string   `help:"Of an image for several platforms, the one for this. Default: this host's." placeholder:"OS/ARCH[/VARIANT]"`
	Interactive bool     `short:"i" help:"Pass the standard input on."`
	TTY         bool     `short:"t" name:"tty" help:"Give the program a terminal."`
	Name        string   `help:"A name, which no other container has." placeholder:"NAME"`
	Env         []string `short:"e" sep:"none" help:"A variable of its environment; without a value, with the one it has here." placeholder:"NAME[=VALUE]"`
	Volume      []string `short:"v" sep:"none" help:"Show a folder or a file of the host; a folder that is missing is made." placeholder:"HOST:CONTAINER[:ro]"`
	Publish     []string `short:"p" sep:"none" help:"Lead a port of the host into the container." placeholder:"[[IP:]HOST:]CONTAINER[/udp]"`
	Memory      string   `short:"m" help:"Limit of its memory." placeholder:"BYTES[k|m|g]"`
	CPUs        string   `name:"cpus" help:"How many CPUs' time it gets, at most." placeholder:"N[.NN]"`
	PidsLimit   int64    `help:"How many processes and threads it has, at most." placeholder:"N"`
	Network     string   `aliases:"net" help:"'bridge': a network of its own with a way to the world, the default of root and of machines; 'none': loopback only, that of others; 'host': the host's; 'container:NAME': that of another." placeholder:"NETWORK"`
	CapAdd      []string `help:"A capability more than Docker's default; ALL of them." placeholder:"CAP"`
	CapDrop     []string `help:"A capability less." placeholder:"CAP"`
	SecurityOpt []string `sep:"none" help:"no-new-privileges; seccomp=unconfined, or a profile's file; apparmor=PROFILE." placeholder:"OPTION"`
	ReadOnly    bool     `help:"Make its root file system read-only."`
	User        string   `short:"u" help:"Who runs the program, by name or number, as in the image." placeholder:"USER[:GROUP]"`
	Userns      string   `help:"'host': its root is the host's root. Otherwise it has a user namespace." enum:",host" default:""`
	Hostname    string   `help:"Its host name." placeholder:"NAME"`
	Init        bool     `help:"Put a small init before the program, which sends it signals and reaps what it leaves."`
	Rm          bool     `help:"Accepted, and always so: nothing of a container stays."`
	Workdir     string   `short:"w" help:"The folder that the program begins in." placeholder:"DIR"`
	Explain     bool     `help:"Show on the standard error how the container is made: each system call, and the microseconds that it took."`
	On          string   `help:"Run it in a virtual machine of this kind instead of a container: vm-q35; or vm-virt, an emulated one for images of linux/arm64. It has -m bytes of memory (512m) with --cpus processors (1)." placeholder:"PLATFORM"`
	Disk        []string `sep:"none" help:"With --on: a disk of the machine, /dev/vda and so on: a file, raw or qcow2, or a block device. 'overlay', the default: what the machine writes is thrown away with it, and several may have the same disk at once; 'rw': it is written; 'ro': it cannot be." placeholder:"FILE[:overlay|:rw|:ro]"`
	Entrypoint  *string  `help:"The program, in place of the image's." placeholder:"PROGRAM"`
}

// The exit codes of docker run, beside those of the program.
const (
	exitRun        = 125 // the container could not be made
	exitCannotExec = 126
	exitNotFound   = 127
)

func (c *runCommand) Run(s streams) error {
	run := c.run
	switch {
	case c.On != "":
		run = c.runOn
	case len(c.Disk) > 0:
		return &exitError{exitRun, errors.New("--disk: a container has no disks, but folders of the host (--volume); a machine has: --on vm-q35")}
	}
	code, err := run(context.Background(), s)
	if err != nil {
		return &exitError{exitOf(err), err}
	}
	if code != 0 {
		return &exitError{code: code}
	}
	return nil
}

// exitOf is the code for a container that did not start.
func exitOf(err error) int {
	e, ok := errors.AsType[*step.Error](err)
	if m, inMachine := errors.AsType[*vm.NotExecutedError](err); inMachine {
		e, ok = &step.Error{Call: "execve", Errno: m.Errno}, true
	}
	if g, ofMachine := errors.AsType[*vm.GuestError](err); ofMachine && g.Signal != 0 {
		return 128 + int(g.Signal) // the program ended as its machine did
	}
	switch {
	case !ok || !strings.HasPrefix(e.Call, "execve"): // or execveat
		return exitRun
	case e.Errno == unix.ENOENT || e.Errno == unix.ENOTDIR:
		return exitNotFound
	}
	return exitCannotExec
}

func (c *runCommand) run(ctx context.Context, s streams) (code int, err error) {
	o, err := c.options()
	if err != nil {
		return 0, err
	}
	if c.Network == "" {
		if c.Network = "bridge"; !isRoot() {
			c.Network = "none"
		}
	}
	// A signal that comes early is kept until there is somebody to get it.
	signals := forwardable()
	defer signals.stop()
	run, err := newRun(ctx, s)
	if err != nil {
		return 0, err
	}
	b := &box{runCommand: c, options: o, run: run}
	if c.Explain {
		b.trace = &container.Trace{}
	}
	defer func() { err = errors.Join(err, b.undoAll(), run.Close()) }()
	if err := b.prepare(ctx, s); err != nil {
		return 0, err
	}
	io, err := openStreams(s, c.Interactive, c.TTY, b.spec)
	if err != nil {
		return 0, err
	}
	defer io.close()
	io.config(&b.cfg)
	ctr, err := container.Start(ctx, b.cfg)
	if c.Explain {
		// Not before: to print meanwhile would be measured too.
		explain(s.err, explainWidth(s.err), isTerminal(s.err), b.trace.Events, b.begin)
		io.explained = func(at int64) { fmt.Fprintf(s.err, "\nIts first output came after %s.\n\n", milliseconds(at-b.begin)) }
	}
	if err != nil {
		if strings.Contains(err.Error(), "ID-mapping") {
			err = fmt.Errorf("%w; --userns host does without", err)
		}
		return 0, err
	}
	b.undo = append(b.undo, func() error { return ctr.Remove(ctx) })
	if err := os.WriteFile(filepath.Join(run.Dir, "pid"), []byte(strconv.Itoa(ctr.PID())), 0o600); err != nil {
		return 0, err
	}
	if err := io.started(); err != nil {
		return 0, err
	}
	signals.forward(s, ctr, io.resize)
	io.finish()
	status := ctr.Status()
	if status.OutOfMemory {
		fmt.Fprintf(s.err, "bench: the container was %v\n", status)
	}
	return status.ExitCode(), nil
}

// isRoot tells who runs bench: an ordinary user's containers have what the kernel
// lets them (container.Rootless).
func isRoot() bool { return os.Geteuid() == 0 }

// mapped tells whether the files of the host's root are shown as those of the
// container's: its users are others, and the host's root can do that.
func (b *box) mapped() bool { return isRoot() && b.Userns != "host" }

// box is one container of bench run.
type box struct {
	*runCommand
	options
	run   *harness.Run
	spec  *specs.Spec
	cfg   container.Config
	trace *container.Trace // nil without --explain
	begin int64            // when the image was there, as after a docker pull
	card  *vm.Network      // of a machine with a network
	undo  []func() error   // what was prepared, to be undone in reverse
}

func (b *box) undoAll() error {
	var errs []error
	for _, undo := range slices.Backward(b.undo) {
		errs = append(errs, undo())
	}
	return errors.Join(errs...)
}

// prepare makes all that the container is started from.
func (b *box) prepare(ctx context.Context, s streams) error {
	if b.Name != "" {
		if err := b.run.Claim(b.Name); err != nil {
			return err
		}
	}
	image, err := openImage(ctx, b.image, b.Platform, checkPlatform)
	if err != nil {
		return err
	}
	b.begin = harness.Now()
	if b.spec, err = b.config(image); err != nil {
		return err
	}
	var userns *os.File
	at := harness.Now()
	if b.mapped() {
		if userns, err = container.UserNamespace(ctx, b.spec.Linux); err != nil {
			return err
		}
		defer userns.Close()
		b.trace.Add("image", "a user namespace, with nobody in it, to map the owners of the image's files", "clone3(NEWUSER), write uid_map and gid_map, open /proc/PID/ns/user", at)
	}
	at = harness.Now()
	layers, err := rootfs.OpenLayers(image.dirs, userns)
	if err != nil {
		if userns != nil && errors.Is(err, unix.EINVAL) {
			err = fmt.Errorf("%w; --userns host does without", err)
		}
		return err
	}
	b.undo = append(b.undo, layers.Close)
	b.trace.Add("image", "the layers of "+image.name, fmt.Sprintf("open_tree, mount_setattr(MOUNT_ATTR_RDONLY|MOUNT_ATTR_IDMAP), move_mount of each (%d)", len(image.dirs)), at)
	b.cfg = container.Config{Spec: b.spec, Layers: layers, Dir: filepath.Join(b.run.Dir, "container"), Init: b.Init, Trace: b.trace}
	if err := b.connect(ctx); err != nil {
		return err
	}
	return b.bindFiles(s)
}

// connect gives the container its network.
func (b *box) connect(ctx context.Context) error {
	name, isOther := strings.CutPrefix(b.Network, "container:")
	switch {
	case b.Network == "bridge":
		return b.connectBridge(ctx)
	case isOther:
		dir, err := harness.Named(name)
		if err != nil {
			return fmt.Errorf("--network %s: %w", b.Network, err)
		}
		if _, err := os.Stat(filepath.Join(dir, machineFolder)); err == nil {
			return fmt.Errorf("--network %s: it is a virtual machine, whose network is its own kernel's", b.Network)
		}
		pid, err := os.ReadFile(filepath.Join(dir, "pid"))
		if err != nil {
			return fmt.Errorf("--network %s: it has not started: %w", b.Network, err)
		}
		for i := range b.spec.Linux.Namespaces {
			if n := &b.spec.Linux.Namespaces[i]; n.Type == specs.NetworkNamespace {
				n.Path = "/proc/" + string(pid) + "/ns/net"
			}
		}
		hostSys(b.spec)
	}
	return nil
}

// connectBridge makes a network with a way to the world, and an endpoint of it, to
// which the published ports lead.
func (b *box) connectBridge(ctx context.Context) error {
	at := harness.Now()
	n, err := network.Open(ctx, b.run.NetworkID(), b.run.Dir, netip.Prefix{})
	if err != nil {
		return err
	}
	b.undo = append(b.undo, n.Close)
	b.trace.Add("bridge", "a bridge", fmt.Sprintf("sendto(netlink, [a bridge, with the first address of %s, up])", n.Subnet()), at)
	at = harness.Now()
	if err := n.NAT(); err != nil {
		return err
	}
	b.trace.Add("bridge", "address translation", "sendto(netlink, [a table of nftables: masquerade, dnat]), write net.ipv4.ip_forward", at)
	at = harness.Now()
	if b.cfg.Endpoint, err = n.Endpoint(); err != nil {
		return err
	}
	b.trace.Add("bridge", "the container's address: "+b.cfg.Endpoint.Addr().String(), "flock, a bit in a shared file", at)
	if len(b.ports) > 0 {
		at = harness.Now()
		if err := b.cfg.Endpoint.Publish(b.ports); err != nil {
			return err
		}
		b.trace.Add("bridge", fmt.Sprintf("published ports: %v", b.ports), "sendto(netlink, [elements of the map of nftables])", at)
	}
	return nil
}

// hostSys shows the host's /sys: a new sysfs belongs to a network namespace,
// and only who has power over that may mount one.
func hostSys(s *specs.Spec) {
	for i := range s.Mounts {
		if m := &s.Mounts[i]; m.Destination == "/sys" {
			*m = specs.Mount{Destination: "/sys", Type: "bind", Source: "/sys", Options: []string{"rbind", "rnosuid", "rnoexec", "rnodev", "rro"}}
		}
	}
}

// containerUser is the host's number of the container's root.
func containerUser(s *specs.Spec) (uid, gid int) {
	if len(s.Linux.UIDMappings) > 0 {
		return int(s.Linux.UIDMappings[0].HostID), int(s.Linux.GIDMappings[0].HostID)
	}
	return 0, 0
}
