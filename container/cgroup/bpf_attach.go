package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// bpf(2) takes one of many structs, by the command, as far as it is given.
// Pointers in them are 64 bits wide everywhere.

type bpfLoad struct {
	kind, count           uint32
	instructions, license uint64
	logLevel, logSize     uint32
	log                   uint64
	_, _                  uint32 // version of the kernel, and flags
	name                  [16]byte
}

type bpfAttach struct{ target, program, kind, flags uint32 }

type bpfQuery struct {
	target, kind uint32
	_, _         uint32 // flags
	ids          uint64
	count, _     uint32
}

type bpfGetByID struct{ id uint32 }

func bpf[T any](command int, arg *T) (int, error) {
	for {
		n, _, e := unix.Syscall(unix.SYS_BPF, uintptr(command), uintptr(unsafe.Pointer(arg)), unsafe.Sizeof(*arg))
		switch e {
		case 0:
			return int(n), nil
		case unix.EINTR, unix.EAGAIN:
		default:
			return -1, e
		}
	}
}

// load gives the kernel a program, which verifies it.
func load(p []instruction) (fd int, err error) {
	code, license := assemble(p), []byte("MIT\x00") // the program calls nothing of the kernel, whatever its license
	arg := bpfLoad{
		kind: unix.BPF_PROG_TYPE_CGROUP_DEVICE, count: uint32(len(p)),
		instructions: uint64(uintptr(unsafe.Pointer(&code[0]))), license: uint64(uintptr(unsafe.Pointer(&license[0]))),
	}
	copy(arg.name[:], "devices")
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&code[0])
	pin.Pin(&license[0])
	if fd, err = bpf(unix.BPF_PROG_LOAD, &arg); err == nil {
		return fd, nil
	}
	log := make([]byte, 64<<10)
	pin.Pin(&log[0])
	arg.logLevel, arg.logSize, arg.log = 1, uint32(len(log)), uint64(uintptr(unsafe.Pointer(&log[0])))
	if fd, again := bpf(unix.BPF_PROG_LOAD, &arg); again == nil {
		return fd, nil
	}
	text, _, _ := bytes.Cut(log, []byte{0})
	if errors.Is(err, unix.EPERM) {
		return -1, fmt.Errorf("loading the BPF program for devices: bpf: %w (needs CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN, outside a user namespace)", err)
	}
	return -1, fmt.Errorf("loading the BPF program for devices: bpf: %w %s", err, bytes.TrimSpace(text))
}

// attach makes a program decide on the devices of the group, in place of the one
// before, without a moment with neither. Since all programs must agree, several
// attached to one group are no danger, and it takes BPF_F_ALLOW_MULTI for groups
// below to have theirs.
func (c *Cgroup) attach(p []instruction) error {
	dir, err := open(c.unified, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	before, err := attached(dir)
	if err != nil {
		return &os.PathError{Op: "bpf: asking for the programs of", Path: c.unified, Err: err}
	}
	fd, err := load(p)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if _, err := bpf(unix.BPF_PROG_ATTACH, &bpfAttach{target: uint32(dir), program: uint32(fd), kind: unix.BPF_CGROUP_DEVICE, flags: unix.BPF_F_ALLOW_MULTI}); err != nil {
		return &os.PathError{Op: "bpf: attaching a program to", Path: c.unified, Err: err}
	}
	for _, id := range before {
		old, err := bpf(unix.BPF_PROG_GET_FD_BY_ID, &bpfGetByID{id: id})
		if errors.Is(err, unix.ENOENT) {
			continue // somebody has detached it
		}
		if err == nil {
			_, err = bpf(unix.BPF_PROG_DETACH, &bpfAttach{target: uint32(dir), program: uint32(old), kind: unix.BPF_CGROUP_DEVICE})
			unix.Close(old)
		}
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return &os.PathError{Op: "bpf: detaching the program before from", Path: c.unified, Err: err}
		}
	}
	return nil
}

// attached are the programs of a group that decide on devices.
func attached(dir int) ([]uint32, error) {
	ids := make([]uint32, 64) // BPF_CGROUP_MAX_PROGS
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&ids[0])
	q := bpfQuery{target: uint32(dir), kind: unix.BPF_CGROUP_DEVICE, ids: uint64(uintptr(unsafe.Pointer(&ids[0]))), count: uint32(len(ids))}
	if _, err := bpf(unix.BPF_PROG_QUERY, &q); err != nil {
		return nil, err
	}
	return slices.Clone(ids[:q.count]), nil
}
