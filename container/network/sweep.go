package network

import (
	"context"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Sweep removes the interfaces and the rules of networks whose ID dead is true
// of, and says what it removed. An interface counts as a network's if both its
// name and its group say so.
func Sweep(ctx context.Context, dead func(id string) bool) ([]string, error) {
	links, err := listLinks(ctx)
	if err != nil {
		return nil, err
	}
	var swept []string
	names := map[string][]string{}
	for _, l := range links {
		a := l.Attrs()
		if id, ok := parseName(a.Name); ok && a.Group == group(id) && dead(id) {
			names[id] = append(names[id], "interface "+a.Name)
		}
	}
	var errs []error
	if len(names) > 0 {
		s, err := dial()
		if err != nil {
			return nil, err
		}
		defer s.close()
		for id, list := range names {
			if err := s.do(removal(group(id))); err != nil && !errors.Is(err, unix.ENODEV) { // which went meanwhile
				errs = append(errs, fmt.Errorf("network %s: %w", id, err))
				continue
			}
			swept = append(swept, list...)
		}
	}
	tables, err := removeTables(dead)
	return append(swept, tables...), errors.Join(append(errs, err)...)
}

// listLinks lists the interfaces. While it does, others come and go: the kernel
// then says that the list may not be whole.
func listLinks(ctx context.Context) ([]netlink.Link, error) {
	for {
		links, err := netlink.LinkList()
		if err == nil {
			return links, nil
		}
		if !errors.Is(err, netlink.ErrDumpInterrupted) || ctx.Err() != nil {
			return nil, fmt.Errorf("listing interfaces: %w", err)
		}
	}
}
