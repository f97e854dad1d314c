package container

import (
	"fmt"
	"os"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/rootfs"
	"vmctr/container/step"
)

// A tree is what a container's file system is made of: the root, and the
// sources of its bind mounts, each as a detached mount. The parent makes those
// where it can, since the host's root may look where a user namespace's may not.
// An ordinary user can mount nothing on the host; the child then makes them by
// the same calls, once it is in its user namespace.
type tree struct {
	layers *rootfs.Layers // nil for a root that is a folder as it is
	dir    string         // of the writable layer
	label  string         // its SELinux context, "" for none
	at     string         // where the root is attached, and without layers that folder
	binds  map[int]string // the source of mounts[i], if that is a bind mount
	dirs   map[int]bool   // whether it is a folder; for the child, which cannot look
}

func (c *Container) tree() *tree {
	t := &tree{layers: c.cfg.Layers, dir: c.cfg.Dir, label: mountLabel(c.cfg.Spec), binds: map[int]string{}, dirs: map[int]bool{}}
	if t.at = c.path(c.cfg.Spec.Root.Path); t.layers != nil {
		t.at = t.dir + "/rootfs"
	}
	for i, m := range c.cfg.Spec.Mounts {
		if rootfs.IsBind(m) {
			t.binds[i] = c.path(m.Source)
		}
	}
	return t
}

// openBinds appends the calls that open the sources of bind mounts. They come
// before those of the root, which hide a part of the host's tree.
func (t *tree) openBinds(p *step.Program, mounts []specs.Mount) map[int]step.Result {
	opened := map[int]step.Result{}
	for i, m := range mounts {
		if source, ok := t.binds[i]; ok {
			p.Step("what will be shown at", m.Destination)
			opened[i] = rootfs.OpenMount(p, source, m)
		}
	}
	return opened
}

func (t *tree) openRoot(p *step.Program) step.Result {
	if t.layers != nil {
		return rootfs.Overlay(p, t.layers, t.dir, t.label)
	}
	p.Phase("root")
	return rootfs.OpenRoot(p, t.at)
}

// inside appends the calls by which the child makes the tree itself.
func (t *tree) inside(p *step.Program, mounts []specs.Mount) (root step.Arg, sources []rootfs.Source) {
	p.Phase("binds")
	sources = make([]rootfs.Source, len(mounts))
	for i, r := range t.openBinds(p, mounts) {
		sources[i] = rootfs.Source{Mount: r.Arg(), Dir: t.dirs[i]}
	}
	return t.openRoot(p).Arg(), sources
}

// prepareTree has the tree made, or prepares for the child to make it. It adds
// the descriptors to opened.
func (c *Container) prepareTree(fds *descriptors, opened *[]int) (*step.Program, error) {
	s := c.cfg.Spec
	t := c.tree()
	fds.at = t.at
	if s.Linux != nil && has(s, specs.UserNamespace) {
		for i, d := range s.Linux.Devices {
			if err := rootfs.CheckHostDevice(d); err != nil {
				return nil, fmt.Errorf("config.json: linux.devices[%d]: %w", i, err)
			}
		}
	}
	if t.layers != nil {
		at := now()
		if err := c.writableLayer(); err != nil {
			return nil, fmt.Errorf("making the writable layer: %w", err)
		}
		c.cfg.Trace.Add("start", "an empty layer that the container can write to", "mkdir, chmod and chown of upper, work and rootfs", at)
	}
	for _, m := range s.Mounts {
		if m.Type == "cgroup" || m.Type == "cgroup2" {
			var err error
			if fds.cgroups, err = hierarchies(); err != nil {
				return nil, err
			}
			break
		}
	}
	if fds.rootless {
		for i, source := range t.binds {
			st, err := os.Stat(source)
			if err != nil {
				return nil, fmt.Errorf("config.json: mounts[%d].source: %w", i, err)
			}
			t.dirs[i] = st.IsDir()
		}
		fds.tree = t
		return nil, nil
	}

	b, p := step.New(), step.New()
	c.cfg.Trace.trace(b)
	c.cfg.Trace.trace(p)
	b.Phase("binds")
	binds := t.openBinds(b, s.Mounts)
	err := b.Run()
	c.cfg.Trace.parents(b)
	if err != nil {
		return nil, fmt.Errorf("opening what is bound: %w", err)
	}
	fds.sources = make([]rootfs.Source, len(s.Mounts))
	for i, r := range binds {
		fd := b.Value(r)
		*opened = append(*opened, fd)
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return nil, fmt.Errorf("mounts[%d]: fstat: %w", i, err)
		}
		fds.sources[i] = rootfs.Source{Mount: step.Flag(fd, fmt.Sprintf("source of %q", s.Mounts[i].Destination)), Dir: st.Mode&unix.S_IFMT == unix.S_IFDIR}
		if err := c.mapMount(i, fd); err != nil {
			return nil, fmt.Errorf("mounts[%d]: %w", i, err)
		}
	}

	// Where layers are joined there is a mount namespace of its own.
	p.FailAt = c.cfg.failOverlayAt
	root := t.openRoot(p)
	if t.layers != nil {
		if err = rootfs.Run(p); err != nil {
			err = fmt.Errorf("joining the layers: %w", err)
		}
	} else if err = p.Run(); err != nil {
		err = fmt.Errorf("opening the root: %w", err)
	}
	c.cfg.Trace.parents(p)
	if err != nil {
		return nil, err
	}
	fds.root = p.Value(root)
	*opened = append(*opened, fds.root)
	return p, nil
}
