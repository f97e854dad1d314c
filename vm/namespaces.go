package vm

import (
	"context"
	"errors"

	"vmctr/vm/guest/wire"
)

// Namespaces are the numbers of those that PID 1 of the guest is in, by type
// (namespaces(7)): what a container in the guest is to be held against. It waits
// until a guest with a container has reported them, as each does right after the start.
func (m *Machine) Namespaces(ctx context.Context) (map[string]uint64, error) {
	report := func(r wire.Report) bool { return r.Event == wire.EventNamespaces }
	if !m.control.await(0, report, ctx.Done()) {
		return nil, errors.New("the guest has not reported its namespaces")
	}
	r, _ := m.control.find(report)
	return r.Namespaces, nil
}
