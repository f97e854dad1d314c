package container

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/opencontainers/runtime-spec/specs-go"

	"vmctr/container/network"
)

// validInterface is a name that the kernel takes (net/core/dev.c,
// dev_valid_name), perhaps with one "%d" in it.
var validInterface = regexp.MustCompile(`^[^/:%\s\x00]*(%d)?[^/:%\s\x00]*$`)

// checkNetDevices checks the names of interfaces that the container borrows.
func checkNetDevices(s *specs.Spec) error {
	names := map[string]string{"lo": "lo"} // inside
	for _, name := range sortedKeys(s.Linux.NetDevices) {
		inside := insideName(s, name)
		for _, n := range []string{name, inside} {
			if n == "" || n == "." || n == ".." || len(n) > 15 || !validInterface.MatchString(n) {
				return fmt.Errorf("linux.netDevices: %q is no name of an interface", n)
			}
		}
		if other, ok := names[inside]; ok {
			return fmt.Errorf("linux.netDevices.%s.name: %q is the name of %s", name, inside, other)
		}
		names[inside] = name
	}
	if len(s.Linux.NetDevices) > 0 && !has(s, specs.NetworkNamespace) {
		return errors.New("linux.netDevices: needs a network namespace")
	}
	return nil
}

func insideName(s *specs.Spec, name string) string {
	if n := s.Linux.NetDevices[name].Name; n != "" {
		return n
	}
	return name
}

// moveDevices moves them to the network namespace of process pid. If the start
// fails later, returnDevices brings them back: in a namespace that goes, a virtual
// one would go, too.
func (c *Container) moveDevices(ctx context.Context, b *network.Borrower, pid int) error {
	if err := b.Await(ctx); err != nil {
		return err
	}
	s := c.cfg.Spec
	for _, name := range sortedKeys(s.Linux.NetDevices) {
		d, err := b.Move(name, insideName(s, name), pid)
		if err != nil {
			return fmt.Errorf("config.json: linux.netDevices.%s: %w", name, err)
		}
		c.devices = append(c.devices, d)
	}
	b.Open()
	return nil
}

func (c *Container) returnDevices() error {
	var errs []error
	for _, d := range c.devices {
		if err := d.Return(); err != nil {
			errs = append(errs, fmt.Errorf("linux.netDevices: bringing it back: %w", err))
		}
	}
	c.devices = nil
	return errors.Join(errs...)
}

func (c *Container) keepDevices() {
	for _, d := range c.devices {
		d.Release()
	}
	c.devices = nil
}
