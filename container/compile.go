package container

import (
	"path"
	"slices"
	"strconv"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/network"
	"vmctr/container/rootfs"
	"vmctr/container/seccomp"
	"vmctr/container/step"
)

// descriptors are what the parent opens for the child, numbers in the parent's
// table, which the child is born with a copy of; and who the parent is.
type descriptors struct {
	root    int             // detached mount of the root file system, -1 without one
	tree    *tree           // what the child makes itself, instead of root and sources; nil for nothing
	at      string          // the folder to attach it to
	sources []rootfs.Source // of mounts[i], if that is a bind mount
	joins   []int           // of linux.namespaces[i], if that has a path
	tasks   []int           // the tasks file of each cgroup v1 hierarchy
	self    int             // pidfd of the parent
	files   []int           // they become 0, 1, 2 and so on
	console int             // where the terminal is sent to, if there is one

	// A container that is created first and started later reads a byte from
	// start before it goes on, and outlives its parent.
	start  int  // 0 for none
	report int  // where it says that it cannot: 0 for nowhere
	first  int  // the program that it becomes first (first.go), which needs report: 0 for none
	init   bool // that stays, as its init

	cgroups  []rootfs.Hierarchy // for mounts of the type cgroup
	endpoint *network.Endpoint  // nil for a container with loopback alone
	filter   *seccomp.Filter    // nil for none
	uid, gid int                // the parent's, effective
	rootless bool               // it is an ordinary user's
	nested   bool               // and in a user namespace that is not the host's
	keyring  string             // the name of a session keyring of its own, "" for the parent's
	noPivot  bool
	hold     bool // it waits before its execve
}

// powerless tells whether it lacks power over what is the host's alone.
func (d descriptors) powerless() bool { return d.rootless || d.nested }

// keepsUser tells whether the process stays who its parent is. An ordinary user
// may not even drop groups (setgroups(2)); root always sets all that it is
// asked for.
func (d descriptors) keepsUser(s *specs.Spec) bool {
	u := s.Process.User
	return d.uid != 0 && !has(s, specs.UserNamespace) &&
		int(u.UID) == d.uid && int(u.GID) == d.gid && len(u.AdditionalGids) == 0
}

// gates are where the child waits for its parent.
type gates struct {
	born     *step.Gate             // for the mappings of its users
	forked   *step.Fork             // the child is then another process; nil if it does not fork
	copies   []rootfs.Copy          // mounts that the parent fills
	hooks    *step.Gate             // for the hooks before pivot_root; nil without any
	network  *network.Configuration // for its interface; nil with loopback alone
	devices  *network.Borrower      // for interfaces of the host; nil without any
	unshared *step.Checkpoint       // for the network namespace; nil if it is born in it
	limits   *step.Gate             // for the limits of the process; nil without any
	ready    *step.Checkpoint       // created, and not started; nil if it starts at once
	hold     *step.Gate             // for Config.Hold; nil without it
	listener *listener              // for the descriptor of its filter; nil for none
}

// holdPatience is how long a child waits for the end of Config.Hold.
const holdPatience = time.Hour

// compile turns a checked configuration into the calls that the child makes.
// It is pure: no system call, the same program for the same input.
func compile(s *specs.Spec, fds descriptors) (*step.Program, gates) {
	p := step.New()
	var g gates
	l := s.Linux
	if l == nil {
		l = &specs.Linux{}
	}

	if isNew(s, specs.UserNamespace) {
		p.Phase("id maps")
	} else {
		p.Phase("namespaces")
	}
	p.Step("end with the parent", "")
	dieWithParent(p, fds.self)
	p.Step("wait until the parent is ready, and has mapped the users", "")
	g.born = p.Gate(10 * time.Second)
	if among(s) {
		hide(p)
	}
	newKeyring(p, fds.keyring)
	if g.forked = join(p, s, fds.joins); g.forked != nil {
		dieWithParent(p, fds.self) // which is not inherited
	}
	if fds.endpoint != nil && joins(s, specs.UserNamespace) {
		g.unshared = p.Checkpoint()
	}

	p.Phase("cgroup")
	p.Step("enter the control group, and take it for the root of all", "")
	for _, fd := range fds.tasks {
		p.Call("write", unix.SYS_WRITE, step.Flag(fd, "tasks"), p.Str("0"), step.Int(1))
	}
	if isNew(s, specs.CgroupNamespace) {
		p.Call("unshare", unix.SYS_UNSHARE, step.Flag(unix.CLONE_NEWCGROUP, "CLONE_NEWCGROUP"))
	}

	source := step.Flag(fds.root, "rootfs")
	if fds.tree != nil {
		// What is mounted here does not spread: the mount namespace belongs to
		// another user namespace than the host's (mount_namespaces(7)).
		source, fds.sources = fds.tree.inside(p, s.Mounts)
	}

	p.Phase("file system")
	p.Step("the tree, in a mount namespace that the host's mounts come into and none leave", "")
	// The usual mask of a container, whatever its parent's is: mount points are
	// made with it, and the program gets it unless it asks for another.
	p.Call("umask", unix.SYS_UMASK, step.Octal(0o022))
	userns := has(s, specs.UserNamespace)
	label(p, s.Process)
	var root *rootfs.Root
	if isNew(s, specs.MountNamespace) {
		root = rootfs.Attach(p, source, fds.at, userns || fds.nested)
		root.Cgroups, root.Label = fds.cgroups, l.MountLabel
	}
	if userns {
		p.Step("become the root of the user namespace", "")
		setUser(p, specs.User{}, fds.powerless())
		// The signal went with the old user.
		dieWithParent(p, fds.self)
	}
	p.Step("a session of its own, apart from the parent's terminal", "")
	p.Call("setsid", unix.SYS_SETSID)
	files := arguments(fds.files)
	switch {
	case root != nil:
		fileSystem(p, root, s, l, fds, &g, &files)
	case s.Root.Path != "/":
		p.Call("chroot", unix.SYS_CHROOT, p.Str(s.Root.Path))
		p.Call("chdir", unix.SYS_CHDIR, p.Str("/"))
	}
	if root == nil && s.Process.Terminal {
		p.Step("a terminal of the tree that it is in, whose other side is sent to the parent", "")
		tty := openTerminal(p, ownMultiplexer(p), s.Process, fds.console)
		files[0], files[1], files[2] = tty.Arg(), tty.Arg(), tty.Arg()
	}

	p.Phase("network")
	switch {
	case fds.endpoint != nil:
		p.Step("wait for the veth pair, then in one message: addresses, interfaces up, default route", "")
		g.network = network.Configure(p, fds.endpoint)
	case isNew(s, specs.NetworkNamespace):
		p.Step("loopback comes up", "")
		network.Loopback(p)
	}
	if len(l.NetDevices) > 0 {
		p.Step("wait for the interfaces that the host lends", "")
		g.devices = network.Borrow(p)
	}
	p.Step("the host's name", "")
	if s.Hostname != "" {
		p.Call("sethostname", unix.SYS_SETHOSTNAME, p.Str(s.Hostname), step.Int(len(s.Hostname)))
	}
	if s.Domainname != "" {
		p.Call("setdomainname", unix.SYS_SETDOMAINNAME, p.Str(s.Domainname), step.Int(len(s.Domainname)))
	}

	if limited(s.Process) {
		p.Step("wait until the parent has set resource limits", "")
		// Late: with few descriptors or little memory left, nothing above would work.
		g.limits = p.Gate(10 * time.Second)
	}
	created := func() {
		p.Phase("created")
		findProgram(p, s.Process)
		// It may wait for long, and what else it was born with, such as the
		// streams of others, would stay open meanwhile.
		closeOthers(p, len(files), fds.start, fds.report, fds.first)
		p.Call("prctl", unix.SYS_PRCTL, step.Flag(unix.PR_SET_PDEATHSIG, "PR_SET_PDEATHSIG"), step.Int(0))
		g.ready = p.Checkpoint()
		p.Call("read", unix.SYS_READ, step.Flag(fds.start, "start"), p.Bytes(make([]byte, 1), "byte"), step.Int(1))
	}
	// The filter's descriptor is sent while there is a parent to send it.
	early := fds.filter != nil && fds.filter.Notify
	if fds.start != 0 && !early {
		passFiles(p, files)
		created()
		p.Phase("privileges")
	} else {
		p.Phase("privileges")
		passFiles(p, files)
	}
	g.listener = privileges(p, s, fds, fds.filter)
	if fds.start != 0 && early {
		created()
	}

	p.Phase("exec")
	if g.network != nil {
		p.Step("wait until the bridge forwards", "")
		g.network.Settle(p)
	}
	if fds.hold {
		p.Step("wait until it may be executed", "")
		g.hold = p.Gate(holdPatience)
	}
	self := fds.self
	if fds.start != 0 {
		self = -1
	}
	execute(p, s.Process, ending{nfiles: len(files), parent: self, report: fds.report, first: fds.first, init: fds.init, among: among(s)})
	return p, g
}

// fileSystem appends the calls that make the container's tree, and leave the
// host's. files become the terminal's, if there is one.
func fileSystem(p *step.Program, root *rootfs.Root, s *specs.Spec, l *specs.Linux, fds descriptors, g *gates, files *[]step.Arg) {
	for i, m := range s.Mounts {
		var source rootfs.Source
		if i < len(fds.sources) {
			source = fds.sources[i]
		}
		root.Mount(m, source)
		g.copies = root.Copies
		if path.Clean(m.Destination) == "/dev" && !rootfs.IsBind(m) {
			root.Devices()
		}
	}
	for _, d := range l.Devices {
		if !slices.Contains(rootfs.DefaultDevices(), path.Clean(d.Path)) {
			root.Device(d)
		}
	}
	p.Step("the folder to begin in", "")
	root.Folder(s.Process.Cwd) // as runc does
	if s.Process.Terminal {
		p.Step("a terminal, whose other side is sent to the parent", "")
		tty := openTerminal(p, root.Terminal(), s.Process, fds.console)
		root.Console(tty)
		// At once: an engine waits until nobody has the streams of `create`
		// open, and a created container may never be started.
		for i := range 3 {
			p.Call("dup3", unix.SYS_DUP3, tty.Arg(), step.Int(i), step.Int(0))
			(*files)[i] = step.Flag(i, "terminal")
		}
	}
	for _, key := range sortedKeys(l.Sysctl) {
		p.Step("set the kernel parameter", key)
		setSysctl(p, key, l.Sysctl[key])
	}
	if h := s.Hooks; h != nil && len(prestart(h))+len(h.CreateRuntime)+len(h.CreateContainer) > 0 {
		p.Step("wait for the hooks", "")
		g.hooks = p.Gate(hooksPatience)
	}
	root.Mask(l.MaskedPaths)
	root.Protect(l.ReadonlyPaths)
	root.Pivot(s.Root.Readonly, fds.noPivot)
	if l.RootfsPropagation != "" {
		rootfs.Propagate(p, l.RootfsPropagation)
	}
}

func arguments(fds []int) []step.Arg {
	names := []string{"stdin", "stdout", "stderr"}
	var args []step.Arg
	for i, fd := range fds {
		if i >= len(names) {
			names = append(names, "file"+strconv.Itoa(i))
		}
		args = append(args, step.Flag(fd, names[i]))
	}
	return args
}
