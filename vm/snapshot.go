package vm

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/vm/guest/wire"
)

// A Snapshot is a machine at rest, which can go on any number of times, also several
// times at once: to boot is then done once, ahead of all.
//
// A machine is two things. One is its RAM: here a file in memory that QEMU maps, and
// the file is still there when QEMU has ended. The other is the state of its devices,
// some 100 KB: the registers of the CPUs, of the clock, of the interrupt controller,
// what the virtio devices have in hand. QEMU can write it to a stream and read it from
// one (docs/devel/migration.rst), which is how a machine moves to another host; since
// the RAM stays where it is, it is left out of the stream (the capability
// x-ignore-shared; qapi/migration.json).
//
// A restored machine maps the file privately (mmap(2), MAP_PRIVATE): it reads the
// pages of the snapshot, which it shares with all others, and has a copy of its own of
// each page that it writes. So its PSS and USS count what it has touched since, and
// what nobody has touched belongs to no process: it is the snapshot's, whose size
// [Snapshot.Size] tells; its cgroup is charged for its copies alone.
//
// The copies are alike down to the last random number, as no two computers are. What
// must not be shared is renewed as they go on (wire.Renewal): the seed of the kernel's
// random numbers, the wall clock, the host name, the addresses of the network card.
// The monotonic clocks, CLOCK_BOOTTIME too, count on from the save, as if no time had
// passed: so the uptime of a restored machine is what it took to boot once, and what
// it has run since. /proc/sys/kernel/random/boot_id cannot be written, but the kernel
// draws it when it is first read, which no template does: so each has its own. What the
// kernel has drawn by chance while it booted stays the same in all: where it lies in
// memory (KASLR), the keys of its hash tables. Guests that are to be walls against each
// other are not to be restored from one snapshot.
type Snapshot struct {
	cfg   Config
	ram   *os.File
	state []byte
}

// A Clone is what a machine that is restored has for itself.
type Clone struct {
	Name, Dir, Cgroup string   // as in [Config]
	Hostname          string   // "" for that of the template
	Network           *Network // its own card, if the template has one, and nil otherwise
}

// snapshotPatience is the deadline of a save, and of a restore up to the point at which
// the CPUs run, if their context has none.
const snapshotPatience = time.Minute

// maxState bounds the state of the devices. If it is larger, QEMU has not left out the
// RAM.
const maxState = 64 << 20

// Save waits until the guest has done all but start its workload, and saves the
// machine, which has to be a [Config.Template]. It does not run after that: whatever
// comes of it, only Stop is left to be called.
func (m *Machine) Save(ctx context.Context) (*Snapshot, error) {
	ctx, cancel := limited(ctx)
	defer cancel()
	if m.ram == nil {
		return nil, errors.New("saving a machine: it is not a template, or was saved before")
	}
	held := func(r wire.Report) bool { return r.Event == wire.EventHeld }
	if !m.control.await(0, held, ctx.Done()) {
		err := fmt.Errorf("saving a machine: its guest does not say that it is ready (does its initramfs have Template?): %w", m.Err())
		return nil, errors.Join(err, context.Cause(ctx))
	}
	// PID 1 takes a command once, so that what it does the first time only (Go's package
	// json then learns of the type) is not done in each machine again.
	if _, err := m.Ping(ctx); err != nil {
		return nil, fmt.Errorf("saving a machine: %w", err)
	}
	state, err := m.writeState(ctx)
	if err != nil {
		return nil, m.explain(fmt.Errorf("saving a machine: %w", err))
	}
	s := &Snapshot{cfg: m.cfg, ram: m.ram, state: state}
	m.ram = nil
	return s, nil
}

func limited(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, snapshotPatience, fmt.Errorf("it took more than %v", snapshotPatience))
}

// writeState stops the CPUs and has QEMU write its state to a socket.
func (m *Machine) writeState(ctx context.Context) ([]byte, error) {
	path := filepath.Join(m.cfg.Dir, "state")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
	if err != nil {
		return nil, err
	}
	defer l.Close()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	if err := m.ignoreShared(ctx); err != nil {
		return nil, err
	}
	if _, err := m.monitor.Run(ctx, "stop", nil); err != nil {
		return nil, err
	}
	if _, err := m.monitor.Run(ctx, "migrate", map[string]string{"uri": "unix:" + path}); err != nil {
		return nil, err
	}
	conn, err := l.Accept()
	if err != nil {
		return nil, fmt.Errorf("waiting for QEMU at %s: %w", path, cause(ctx, err))
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	state, err := io.ReadAll(io.LimitReader(conn, maxState+1))
	if err != nil {
		return nil, fmt.Errorf("reading the state of the devices: %w", cause(ctx, err))
	}
	if len(state) > maxState {
		return nil, fmt.Errorf("the state of the devices is more than %d MiB: QEMU does not leave the RAM out", maxState>>20)
	}
	return state, m.migrated(ctx)
}

// cause is why an operation was aborted, if that is why it has failed.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// ignoreShared has QEMU leave out the RAM that is in a file, of what it writes or reads.
func (m *Machine) ignoreShared(ctx context.Context) error {
	_, err := m.monitor.Run(ctx, "migrate-set-capabilities", map[string]any{
		"capabilities": []map[string]any{{"capability": "x-ignore-shared", "state": true}},
	})
	return err
}

// migrated waits until QEMU says that it has written or read its state, whose end the
// other side of the stream has seen already.
func (m *Machine) migrated(ctx context.Context) error {
	for {
		reply, err := m.monitor.Run(ctx, "query-migrate", nil)
		if err != nil {
			return err
		}
		done, err := migrationStatus(reply)
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the end of QEMU's migration: %w", context.Cause(ctx))
		case <-time.After(time.Millisecond):
		}
	}
}

// migrationStatus reads the reply to query-migrate (MigrationInfo of
// qapi/migration.json).
func migrationStatus(reply []byte) (done bool, err error) {
	var info struct {
		Status string `json:"status"`
		Error  string `json:"error-desc"`
	}
	if err := json.Unmarshal(reply, &info); err != nil {
		return false, fmt.Errorf("the reply to query-migrate, %.200q: %w", reply, err)
	}
	switch info.Status {
	case "completed":
		return true, nil
	case "failed", "cancelled", "cancelling":
		if info.Error == "" {
			info.Error = "QEMU gives no reason"
		}
		return false, fmt.Errorf("QEMU's migration is %q: %s", info.Status, info.Error)
	}
	return false, nil
}

// Restore lets the saved machine go on as another one, and returns once it has been
// told who it is, which is a moment before it starts its workload. When it fails,
// nothing is left.
func (s *Snapshot) Restore(ctx context.Context, c Clone) (*Machine, error) {
	cfg := s.cfg
	cfg.Name, cfg.Dir, cfg.Cgroup, cfg.Network, cfg.restored = c.Name, c.Dir, c.Cgroup, c.Network, s
	if (c.Network == nil) != (s.cfg.Network == nil) {
		return nil, errors.New("restoring a machine: it has to have a network card if its template has one, and none otherwise")
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	ctx, cancel := limited(ctx)
	defer cancel()
	return launched(ctx, cfg, func(m *Machine) error { return m.resume(ctx, c) })
}

// resume reads the state of the devices and lets the CPUs run.
func (m *Machine) resume(ctx context.Context, c Clone) error {
	m.mark(PhaseRestore)
	if err := m.readState(ctx); err != nil {
		return fmt.Errorf("restoring a machine: %w", err)
	}
	m.mark(PhaseResume)
	if _, err := m.monitor.Run(ctx, "cont", nil); err != nil {
		return fmt.Errorf("letting the machine run: %w", err)
	}
	r := wire.Renewal{Seed: make([]byte, wire.SeedBytes), Hostname: c.Hostname}
	rand.Read(r.Seed)
	if n := c.Network; n != nil && n.Address.IsValid() {
		r.Network = n.setting()
	}
	r.Time = time.Now().UnixNano()
	if err := m.control.send(wire.Command{Command: wire.CommandResume, Renewal: &r}); err != nil {
		return fmt.Errorf("telling the guest who it is: %w", err)
	}
	return nil
}

func (m *Machine) readState(ctx context.Context) error {
	defer m.state.Close()
	defer context.AfterFunc(ctx, func() { m.state.Close() })()
	if err := m.ignoreShared(ctx); err != nil {
		return err
	}
	if _, err := m.monitor.Run(ctx, "migrate-incoming", map[string]string{"uri": "fd:" + m.cfg.fd(roleState)}); err != nil {
		return err
	}
	_, err := m.state.Write(m.cfg.restored.state)
	if err == nil {
		err = closeWrite(m.state)
	}
	if err != nil {
		return fmt.Errorf("writing the state of the devices to QEMU: %w", cause(ctx, err))
	}
	// QEMU closes its end when it has read all, and when it has failed.
	if _, err := m.state.Read(make([]byte, 1)); err != io.EOF {
		return fmt.Errorf("waiting until QEMU has read the state of the devices: %w", cause(ctx, err))
	}
	return m.migrated(ctx)
}

// Size is what a snapshot occupies, in bytes: the pages of RAM that were ever touched,
// and the state of the devices.
func (s *Snapshot) Size() (ram, state int64, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(s.ram.Fd()), &st); err != nil {
		return 0, 0, fmt.Errorf("the size of a snapshot's RAM: %w", err)
	}
	return st.Blocks * 512, int64(len(s.state)), nil
}

// Close gives the snapshot's memory back, as far as no machine that was restored from
// it has it mapped.
func (s *Snapshot) Close() error { return s.ram.Close() }
