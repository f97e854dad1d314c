package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// state is what the processes that use a network share: a file that each of
// them maps, under a lock.
type state struct {
	*shared
	mu     sync.Mutex // among goroutines: flock(2) is for processes
	file   *os.File
	memory []byte
}

// shared is the content of the file. A new file is all zero.
type shared struct {
	made    bool // subnet and bits are set, and the first bridge is there
	nat     bool // the table of NAT is there
	bits    uint8
	subnet  [4]byte
	last    uint32            // the address that was given last, counted from the subnet's
	bridges [64]bool          // which bridges are there
	used    [1 << 16 / 8]byte // a bit for each address
}

func openState(dir string) (_ *state, err error) {
	f, err := os.OpenFile(filepath.Join(dir, "network"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the state of the network: %w", err)
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	size := int64(unsafe.Sizeof(shared{}))
	if err := f.Truncate(size); err != nil {
		return nil, fmt.Errorf("opening the state of the network: %w", err)
	}
	b, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("mapping the state of the network, %s: %w", f.Name(), err)
	}
	return &state{shared: (*shared)(unsafe.Pointer(&b[0])), file: f, memory: b}, nil
}

func (s *state) close() error { return errors.Join(unix.Munmap(s.memory), s.file.Close()) }

// lock makes this goroutine the only one, in all processes, that reads or
// changes the state.
func (s *state) lock() error {
	s.mu.Lock()
	if err := flock(context.Background(), s.file); err != nil {
		s.mu.Unlock()
		return err
	}
	return nil
}

func (s *state) unlock() {
	unix.Flock(int(s.file.Fd()), unix.LOCK_UN)
	s.mu.Unlock()
}

// flock waits for the lock on a file until ctx ends.
func flock(ctx context.Context, f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EWOULDBLOCK) {
			return &os.PathError{Op: "flock", Path: f.Name(), Err: err}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the lock on %s: %w", f.Name(), context.Cause(ctx))
		case <-time.After(200 * time.Microsecond):
		}
	}
}

var errFull = errors.New("every address of the subnet is taken")

// take gives a free address of the subnet: the next one after that which was
// given last, so that one that was just given back rests for a while, but on
// the same bridge, as long as that has one. Then the first bridge is tried that
// has.
func (sh *shared) take(subnet netip.Prefix, bits int) (netip.Addr, error) {
	base, size := number32(subnet.Addr()), uint32(1)<<(32-bits)
	at := sh.last // an offset in the subnet
	if a, ok := sh.takeFrom(at&^(size-1), at&(size-1), size); ok {
		return addr(base + a), nil
	}
	for block := uint32(0); block < 1<<(32-subnet.Bits()); block += size {
		if a, ok := sh.takeFrom(block, 0, size); ok {
			return addr(base + a), nil
		}
	}
	return netip.Addr{}, errFull
}

func (sh *shared) takeFrom(block, after, size uint32) (uint32, bool) {
	for i := range size {
		// The first address names the subnet, the second is the bridge's,
		// the last is for broadcasts.
		in := (after + 1 + i) & (size - 1)
		if a := block + in; in > 1 && in < size-1 && sh.used[a/8]&(1<<(a%8)) == 0 {
			sh.used[a/8] |= 1 << (a % 8)
			sh.last = a
			return a, true
		}
	}
	return 0, false
}

func (sh *shared) give(subnet netip.Prefix, a netip.Addr) {
	i := number32(a) - number32(subnet.Addr())
	sh.used[i/8] &^= 1 << (i % 8)
}

func (sh *shared) taken(subnet netip.Prefix, a netip.Addr) bool {
	i := number32(a) - number32(subnet.Addr())
	return sh.used[i/8]&(1<<(i%8)) != 0
}

// lockNamespace holds a lock on this network namespace itself (a file of nsfs,
// namespaces(7)), so that two networks that are made at once do not choose the
// same subnet.
func lockNamespace(ctx context.Context) (unlock func(), err error) {
	f, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	if err := flock(ctx, f); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}
