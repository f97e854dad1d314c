package container

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/cgroup"
	"vmctr/container/rootfs"
	"vmctr/container/step"
)

// An ordinary user may make a user namespace, and has all capabilities in it
// (user_namespaces(7)), so that a container can be made inside. What it lacks is
// what belongs to the host: see Rootless.

// rootless tells whether this process lacks the power to make a container
// without a user namespace: it is an ordinary user's.
func rootless() bool { return !capable(unix.CAP_SYS_ADMIN) }

// powerless tells whether this process has no power over what is the host's
// alone, such as its cgroups: also root of a user namespace has not.
func powerless() bool { return rootless() || rootfs.Nested() }

// capable tells whether this process has a capability in effect (capget(2)).
func capable(capability int) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	err := unix.Capget(&header, &data[0])
	return err == nil && data[capability/32].Effective&(1<<(capability%32)) != 0
}

// ToRootless changes a configuration to what an ordinary user may have: one ID,
// that of this process, which is root inside, and no limits. A network
// namespace, if it has one, stays: nothing but loopback is in it. Without one
// the container has the host's network.
func ToRootless(s *specs.Spec) {
	if s.Linux == nil {
		s.Linux = &specs.Linux{}
	}
	l := s.Linux
	l.UIDMappings = []specs.LinuxIDMapping{{HostID: uint32(os.Geteuid()), Size: 1}}
	l.GIDMappings = []specs.LinuxIDMapping{{HostID: uint32(os.Getegid()), Size: 1}}
	l.Resources, l.CgroupsPath = nil, ""
	if !has(s, specs.UserNamespace) {
		l.Namespaces = append(slices.Clone(l.Namespaces), specs.LinuxNamespace{Type: specs.UserNamespace})
	}
	var mounts []specs.Mount
	bound := "" // where the host's /sys is, with all that is mounted below it
	for _, m := range s.Mounts {
		if bound != "" && strings.HasPrefix(m.Destination, bound+"/") {
			continue
		}
		if m.Type == "sysfs" && !isNew(s, specs.NetworkNamespace) {
			bound = m.Destination
			m = specs.Mount{Destination: m.Destination, Type: "none", Source: "/sys", Options: []string{"rbind", "nosuid", "noexec", "nodev", "ro"}}
		}
		m.Options = slices.Clone(m.Options)
		m.Options = slices.DeleteFunc(m.Options, func(o string) bool {
			return strings.HasPrefix(o, "uid=") || strings.HasPrefix(o, "gid=") // nobody else is mapped
		})
		mounts = append(mounts, m)
	}
	s.Mounts = mounts
}

// forUser checks what an ordinary user asks for against what they can have, and
// gives the configuration without what makes no difference to them.
func forUser(s *specs.Spec, layers bool) (*specs.Spec, error) {
	s, err := withoutRules(s)
	if err != nil || !rootless() {
		return s, err
	}
	bad := func(field, format string, args ...any) error {
		return fmt.Errorf("config.json: %s: %s", field, fmt.Sprintf(format, args...))
	}
	uid, gid := os.Geteuid(), os.Getegid()
	if !has(s, specs.UserNamespace) {
		if newFlags(s) != 0 {
			return nil, bad("linux.namespaces", "user %d may make namespaces only inside a user namespace: add one with your ID mapped (bench-oci spec --rootless writes such a configuration), or run it as root", uid)
		}
		return s, nil
	}
	l := s.Linux
	if isNew(s, specs.UserNamespace) {
		for i, n := range l.Namespaces {
			if n.Path != "" {
				return nil, bad(fmt.Sprintf("linux.namespaces[%d].path", i), "a new user namespace has no power over a %s namespace that exists: join also the user namespace in which that was made", n.Type)
			}
		}
		if id, ok := hostID(l.UIDMappings); layers && ok && id != uid {
			return nil, bad("linux.uidMappings", "0 is mapped to user %d: with layers it must be you, user %d, since the writable layer is yours", id, uid)
		}
		if id, ok := hostID(l.GIDMappings); layers && ok && id != gid {
			return nil, bad("linux.gidMappings", "0 is mapped to group %d: with layers it must be yours, %d", id, gid)
		}
		if s.Process != nil && len(s.Process.User.AdditionalGids) > 0 && isOwn(l.GIDMappings, gid) && !capable(unix.CAP_SETGID) {
			return nil, bad("process.user.additionalGids", "no group but your own is mapped: %s", moreIDs)
		}
	}
	for i, m := range s.Mounts {
		if mapped, _ := rootfs.IsMapped(m); mapped {
			return nil, bad(fmt.Sprintf("mounts[%d]", i), "an ID-mapped mount takes the host's root (mount_setattr(2)): leave idmap and the mappings out")
		}
	}
	return s, nil
}

// withoutRules leaves out rules for devices, which are a BPF program that the
// host's root alone can load; in a user namespace no device can be made anyway.
// Limits need a cgroup.
func withoutRules(s *specs.Spec) (*specs.Spec, error) {
	if s.Linux == nil || s.Linux.Resources == nil {
		return s, nil
	}
	l, r := *s.Linux, *s.Linux.Resources
	r.Devices = nil
	if l.Resources = &r; noLimits(&r) {
		l.Resources = nil
	} else if l.CgroupsPath == "" {
		return nil, fmt.Errorf("config.json: linux.resources: %s: %s. Or leave the limits out", noCgroup, ownCgroup)
	}
	changed := *s
	changed.Linux = &l
	return &changed, nil
}

const (
	noCgroup  = "an ordinary user can set limits only in a cgroup (version 2) that is theirs, and there is none here"
	ownCgroup = "start it in one of your own (under systemd: systemd-run --user --scope -p Delegate=yes COMMAND), or have root make one and hand it to you with its files (cgroup-v2.rst, \"Delegation\")"
	moreIDs   = "for more IDs install newuidmap (package uidmap) and have root give you some (usermod --add-subuids 100000-165535 --add-subgids 100000-165535 NAME)"
)

func noLimits(r *specs.LinuxResources) bool {
	return r.Memory == nil && r.CPU == nil && r.Pids == nil && r.BlockIO == nil && len(r.HugepageLimits) == 0 &&
		r.Network == nil && len(r.Rdma) == 0 && len(r.Unified) == 0
}

// isOwn tells whether a mapping is of one's own ID alone: that one needs no power.
func isOwn(ids []specs.LinuxIDMapping, own int) bool {
	return len(ids) == 1 && ids[0].Size == 1 && int(ids[0].HostID) == own
}

// mapOwn writes the mappings of a process as an ordinary user: one's own ID
// alone, or with the help of newuidmap(1) and newgidmap(1), programs with the
// power to give out the IDs that /etc/subuid and /etc/subgid set aside.
func mapOwn(pid int, l *specs.Linux) error {
	// When a child of ours has taken another's ID, the kernel gives our memory,
	// and the files in /proc of all who share it, to root.
	memory.Lock()
	defer memory.Unlock()
	proc := func(file, text string) error {
		for try := 0; ; try++ {
			unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)
			err := os.WriteFile(fmt.Sprintf("/proc/%d/%s", pid, file), []byte(text), 0)
			if !errors.Is(err, unix.EACCES) || try == 10 { // another child was in between
				return err
			}
		}
	}
	for _, m := range []struct {
		field, file, program string
		ids                  []specs.LinuxIDMapping
		own                  int
	}{
		{"linux.uidMappings", "uid_map", "newuidmap", l.UIDMappings, os.Geteuid()},
		{"linux.gidMappings", "gid_map", "newgidmap", l.GIDMappings, os.Getegid()},
	} {
		if !isOwn(m.ids, m.own) {
			unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)
			if err := newIDMap(pid, m.program, m.ids); err != nil {
				return fmt.Errorf("config.json: %s: %w", m.field, err)
			}
			continue
		}
		if m.file == "gid_map" {
			// Since the kernel would else let one out of groups that forbid
			// something.
			if err := proc("setgroups", "deny"); err != nil {
				return fmt.Errorf("forbidding setgroups: %w", err)
			}
		}
		if err := proc(m.file, mapping(m.ids)); err != nil {
			return fmt.Errorf("mapping %s: %w", strings.TrimSpace(mapping(m.ids)), err)
		}
	}
	return nil
}

func newIDMap(pid int, program string, ids []specs.LinuxIDMapping) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), 10*time.Second, fmt.Errorf("%s did not end within 10s", program))
	defer cancel()
	args := []string{program, strconv.Itoa(pid)}
	for _, id := range ids {
		args = append(args, fmt.Sprint(id.ContainerID), fmt.Sprint(id.HostID), fmt.Sprint(id.Size))
	}
	err := tool{files: candidates(program, os.Environ()), args: args, env: os.Environ()}.run(ctx)
	if errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("without power one can map one's own ID alone, and there is no %s here: %s", program, moreIDs)
	}
	if err != nil {
		return fmt.Errorf("%s: %w (%s)", strings.Join(args, " "), err, moreIDs)
	}
	return nil
}

// SubordinateIDs are the widest mappings that this user can have: root inside
// is the user, and the numbers from 1 on are those that /etc/subuid and
// /etc/subgid set aside for them (subuid(5)).
func SubordinateIDs() (uids, gids []specs.LinuxIDMapping, err error) {
	who := strconv.Itoa(os.Geteuid())
	names := []string{who}
	if u, err := user.LookupId(who); err == nil {
		names = append(names, u.Username)
	}
	widest := func(file, program string, own int) ([]specs.LinuxIDMapping, error) {
		if !slices.ContainsFunc(candidates(program, os.Environ()), func(f string) bool { return unix.Access(f, unix.X_OK) == nil }) {
			return nil, fmt.Errorf("there is no %s", program)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		m := subordinate(string(b), names, own)
		if len(m) < 2 {
			return nil, fmt.Errorf("%s has no line for user %s", file, strings.Join(names, " or "))
		}
		return m, nil
	}
	if uids, err = widest("/etc/subuid", "newuidmap", os.Geteuid()); err != nil {
		return nil, nil, err
	}
	if gids, err = widest("/etc/subgid", "newgidmap", os.Getegid()); err != nil {
		return nil, nil, err
	}
	return uids, gids, nil
}

// subordinate reads lines such as "alice:100000:65536".
func subordinate(text string, names []string, own int) []specs.LinuxIDMapping {
	m := []specs.LinuxIDMapping{{HostID: uint32(own), Size: 1}}
	next := uint32(1)
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) != 3 || !slices.Contains(names, f[0]) {
			continue
		}
		start, err := strconv.ParseUint(f[1], 10, 32)
		count, err2 := strconv.ParseUint(f[2], 10, 32)
		if err != nil || err2 != nil || count == 0 || uint64(next)+count > 1<<32-1 {
			continue
		}
		m = append(m, specs.LinuxIDMapping{ContainerID: next, HostID: uint32(start), Size: uint32(count)})
		next += uint32(count)
	}
	return m
}

// removeAll removes a folder in which there may be files of IDs that are the
// user's in the container alone, or folders that its root has closed to all: as
// root of a user namespace with the same mappings, by rm(1).
func removeAll(dir string, s *specs.Spec) error {
	if rootless() {
		os.Chmod(path.Join(dir, "work/work"), 0o700) // the overlay's: 0, and not always empty
	}
	err := os.RemoveAll(dir)
	if err == nil || !rootless() || !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EPERM) || !isNew(s, specs.UserNamespace) {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), time.Minute, errors.New("rm did not end within a minute"))
	defer cancel()
	var born *step.Gate
	rm := tool{files: candidates("rm", os.Environ()), args: []string{"rm", "-rf", "--", dir}, env: os.Environ(), before: func(p *step.Program) {
		born = p.Gate(10 * time.Second)
		setUser(p, specs.User{}, true)
	}}
	rm.o.Flags = unix.CLONE_NEWUSER
	rm.o.Ready = func(pid int) error {
		if err := mapIDs(pid, s.Linux); err != nil {
			return err
		}
		born.Open()
		return nil
	}
	if rmErr := rm.run(ctx); rmErr != nil {
		return fmt.Errorf("%w; as root of a user namespace: %w", err, rmErr)
	}
	return nil
}

// members are the processes in the PID namespace of a process, for a container
// that has no cgroup to tell.
func members(pid int) ([]int, error) {
	var own unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d/ns/pid", pid), &own); err != nil {
		return nil, fmt.Errorf("the PID namespace of process %d: %w", pid, err)
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, e := range entries {
		var st unix.Stat_t
		if n, err := strconv.Atoi(e.Name()); err == nil && unix.Stat(path.Join("/proc", e.Name(), "ns/pid"), &st) == nil && st.Ino == own.Ino {
			pids = append(pids, n)
		}
	}
	return pids, nil
}

// A Limitation is something that the containers of this user on this host
// cannot have.
type Limitation struct {
	What string // "limits"
	Why  string
	Fix  string // "" where there is none but to be root
}

func (l *Limitation) Error() string {
	text := l.What + ": " + l.Why
	if l.Fix != "" {
		text += "; " + l.Fix
	}
	return text
}

// Rootless tells what containers of this process's user cannot have here, and
// what would change that; nothing for root. It finds out by trying. The error is
// a [*Limitation] if they can have no container at all.
func Rootless(ctx context.Context) ([]Limitation, error) {
	if !rootless() {
		return nil, nil
	}
	s := &specs.Spec{}
	ToRootless(s)
	ns, err := UserNamespace(ctx, s.Linux)
	if err != nil {
		return nil, forbidden(err)
	}
	ns.Close()
	var list []Limitation
	if uids, gids, err := SubordinateIDs(); err != nil {
		list = append(list, Limitation{"users and groups", "only root inside, who is you, since " + err.Error(), moreIDs})
	} else {
		s.Linux.UIDMappings, s.Linux.GIDMappings = uids, gids
		if ns, err := UserNamespace(ctx, s.Linux); err != nil {
			list = append(list, Limitation{"users and groups", "only root inside, who is you, since " + err.Error(), moreIDs})
		} else {
			ns.Close()
		}
	}
	if ours, err := cgroup.Delegated(); err != nil || ours == nil {
		list = append(list, Limitation{"limits", noCgroup, ownCgroup})
	} else {
		for _, c := range []string{"memory", "cpu", "pids"} {
			if !slices.Contains(ours.Controllers, c) {
				list = append(list, Limitation{"limits of " + c, "the cgroup that is yours, " + ours.Name + ", has no " + c + " controller", "have root hand it down (cgroup.subtree_control of the groups above; under systemd: Delegate=cpu memory pids in a drop-in of user@.service)"})
			}
		}
	}
	if release := kernel(); precedes(release, 5, 11) {
		list = append(list, Limitation{"image layers", "an ordinary user's overlay needs Linux 5.11, and this is " + release, "boot a newer kernel, or give it a root folder"})
	}
	return append(list,
		Limitation{"network", "loopback alone in a network namespace of its own, since to connect it takes power over the host's", "leave the network namespace out: the container then has the host's network"},
		Limitation{"devices", "those of the host that you may open, shown by bind mounts; none can be made, and no rules set", ""},
		Limitation{"more of what you have", "no hard limit (process.rlimits) can be raised, nor oomScoreAdj lowered, nor a real-time scheduler set", ""},
	), nil
}

// forbidden says why there can be no user namespace, by the switches that
// distributions have for that.
func forbidden(err error) error {
	if l := forbiddenBy(err, func(name string) string {
		b, _ := os.ReadFile("/proc/sys/" + name)
		return string(bytes.TrimSpace(b))
	}); l != nil {
		return l
	}
	return err
}

func forbiddenBy(err error, sysctl func(name string) string) *Limitation {
	refused := errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES)
	full := errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EUSERS)
	l := &Limitation{What: "user namespaces"}
	switch {
	case (refused || full) && sysctl("user/max_user_namespaces") == "0":
		l.Why = "the host allows none (user.max_user_namespaces is 0)"
		l.Fix = "as root: sysctl -w user.max_user_namespaces=15000"
	case full:
		l.Why = fmt.Sprintf("there are too many, or too many within each other (user.max_user_namespaces is %s): %v", sysctl("user/max_user_namespaces"), err)
		l.Fix = "end some containers, or as root: sysctl -w user.max_user_namespaces=100000"
	case refused && sysctl("kernel/unprivileged_userns_clone") == "0":
		l.Why = "the host allows ordinary users none (kernel.unprivileged_userns_clone is 0)"
		l.Fix = "as root: sysctl -w kernel.unprivileged_userns_clone=1"
	case refused && sysctl("kernel/apparmor_restrict_unprivileged_userns") == "1":
		l.Why = "AppArmor takes the power out of those of ordinary users (kernel.apparmor_restrict_unprivileged_userns is 1)"
		l.Fix = "have root give this program an AppArmor profile with the rule \"userns,\", or: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
	case errors.Is(err, unix.EPERM):
		l.Why = fmt.Sprintf("the kernel refuses one (%v): is this inside a container, whose system call filter forbids it, or a chroot?", err)
		l.Fix = "run it outside of that"
	default:
		return nil
	}
	return l
}

// explainUser says what an ordinary user could not do when a start failed.
func explainUser(err error, group bool) error {
	if !rootless() {
		return err
	}
	e, made := errors.AsType[*step.Error](err)
	switch {
	case !made && group && errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w (a process can be put into a cgroup only from one below the same group of your own: %s; or leave linux.cgroupsPath empty)", err, ownCgroup)
	case !made:
		if why := forbidden(err); why != err {
			return fmt.Errorf("%w: %w", err, why)
		}
	case e.Errno == unix.EINVAL && strings.HasPrefix(e.Call, "open_tree"):
		return fmt.Errorf("%w (in a user namespace a folder can be bound only with all that is mounted below it: option rbind)", err)
	case e.Errno == unix.EPERM && strings.HasPrefix(e.Call, "mount_setattr"):
		return fmt.Errorf("%w (an attribute that the host's mount has, such as ro, nosuid or nodev, cannot be taken away)", err)
	}
	return err
}

// explainCgroup says what to do where an ordinary user cannot have a cgroup.
func explainCgroup(err error) error {
	if powerless() && (errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EROFS)) {
		return fmt.Errorf("config.json: linux.cgroupsPath: %w (an ordinary user can make cgroups only below one that is theirs: %s. Or leave the path and the limits out)", err, ownCgroup)
	}
	return err
}

func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}

// precedes compares a kernel's version.
func precedes(release string, major, minor int) bool {
	var a, b int
	if n, _ := fmt.Sscanf(release, "%d.%d", &a, &b); n != 2 {
		return false
	}
	return a < major || a == major && b < minor
}
