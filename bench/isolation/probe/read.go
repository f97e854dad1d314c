package probe

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Attempts to read what the host has in its files and in its memory.
var reading = []Probe{
	{Name: "read-file", Plant: (*Host).secret, Attempt: readWords},
	{
		Name: "read-file-root",
		Plant: func(h *Host) (string, error) {
			path, err := h.secret()
			return fmt.Sprintf("/proc/%d/root%s", os.Getpid(), path), err
		},
		Attempt: readWords,
	},
	{
		Name: "read-file-handle",
		Plant: func(h *Host) (string, error) {
			path, err := h.secret()
			if err != nil {
				return "", err
			}
			handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, path, 0)
			if err != nil {
				return "", fmt.Errorf("the host's file system has no handles: name_to_handle_at(2): %w", err)
			}
			return fmt.Sprintf("%d %x", handle.Type(), handle.Bytes()), nil
		},
		Attempt: openHandle,
	},
	{
		Name: "read-shm-file",
		Plant: func(h *Host) (string, error) {
			path := filepath.Join(shmDir, h.groupName())
			if err := os.WriteFile(path, []byte(h.Word()), 0o644); err != nil {
				return "", err
			}
			h.Later(func() error { return os.Remove(path) })
			return path, nil
		},
		Attempt: readWords,
	},
	{
		Name:  "read-disk",
		Plant: plantDisk,
		Attempt: func(canary string) Attempt {
			major, minor := twoNumbers(canary)
			return device(unix.S_IFBLK, major, minor, func(path string) Attempt {
				f, err := os.Open(path)
				if err != nil {
					return refused("opening the disk", err)
				}
				defer f.Close()
				b := make([]byte, 512)
				if _, err := f.ReadAt(b, 0); err != nil {
					return refused("reading the disk", err)
				}
				return did("reading the disk", wordsOf(b))
			})
		},
	},
	{
		Name:  "read-device",
		Plant: plantLog,
		Attempt: func(string) Attempt {
			return device(unix.S_IFCHR, 1, 11, logDevice) // /dev/kmsg
		},
	},
	{Name: "read-environ", Plant: atWitness(onlyPID), Attempt: at(func(t target) Attempt {
		return wordsIn(fmt.Sprintf("/proc/%d/environ", t.pid))
	})},
	{Name: "read-memory", Plant: atWitness(slot), Attempt: at(func(t target) Attempt {
		address, _ := t.address()
		f, err := os.Open(fmt.Sprintf("/proc/%d/mem", t.pid))
		if err != nil {
			return refused("opening /proc/PID/mem", err)
		}
		defer f.Close()
		b := make([]byte, slotSize)
		if _, err := f.ReadAt(b, int64(address)); err != nil {
			return refused("reading /proc/PID/mem", err)
		}
		return did("reading /proc/PID/mem", wordsOf(b))
	})},
	{Name: "read-memory-vm", Plant: atWitness(slot), Attempt: at(func(t target) Attempt {
		address, _ := t.address()
		b := make([]byte, slotSize)
		if _, err := unix.ProcessVMReadv(t.pid, iovec(b), []unix.RemoteIovec{{Base: uintptr(address), Len: len(b)}}, 0); err != nil {
			return refused("process_vm_readv(2)", err)
		}
		return did("process_vm_readv(2)", wordsOf(b))
	})},
	{Name: "read-descriptor", Plant: atWitness(descriptor), Attempt: at(func(t target) Attempt {
		return readWords(fmt.Sprintf("/proc/%d/fd/%s", t.pid, t.rest))
	})},
	{Name: "read-descriptor-taken", Plant: atWitness(descriptor), Attempt: at(func(t target) Attempt {
		n, _ := t.address()
		fd, err := unix.PidfdOpen(t.pid, 0)
		if err != nil {
			return refused("pidfd_open(2)", err)
		}
		defer unix.Close(fd)
		taken, err := unix.PidfdGetfd(fd, int(n), 0)
		if err != nil {
			return refused("pidfd_getfd(2)", err)
		}
		defer unix.Close(taken)
		b := make([]byte, slotSize)
		if _, err := unix.Pread(taken, b, 0); err != nil {
			return refused("reading the descriptor", err)
		}
		return did("pidfd_getfd(2)", wordsOf(b))
	})},
	{
		Name:  "read-shared-memory",
		Plant: func(h *Host) (string, error) { return plantSegment(h, 0o644) },
		Attempt: func(canary string) Attempt {
			id, _ := twoNumbers(canary)
			b, err := unix.SysvShmAttach(id, 0, unix.SHM_RDONLY)
			if err != nil {
				return refused("shmat(2)", err)
			}
			defer unix.SysvShmDetach(b)
			return did("shmat(2)", wordsOf(b[:min(slotSize, len(b))]))
		},
	},
	{
		Name: "read-queue",
		Plant: func(h *Host) (string, error) {
			q, err := h.queue(0o644)
			if err != nil {
				return "", err
			}
			return h.groupName(), q.send(h.Word())
		},
		Attempt: func(name string) Attempt {
			q, err := openQueue(name, unix.O_RDONLY)
			if err != nil {
				return refused("mq_open(3)", err)
			}
			defer unix.Close(int(q))
			word, err := q.receive()
			if err != nil {
				return refused("mq_receive(3)", err)
			}
			return did("mq_receive(3)", word)
		},
	},
	likeHost("read-kernel", "reading /proc/kcore", kernelCore),
}

// readWords are the canaries' words in a file.
func readWords(path string) Attempt {
	b, err := os.ReadFile(path)
	if err != nil {
		return refused("reading "+path, err)
	}
	return did("reading "+path, wordsOf(b))
}

// slot is where in the memory of a witness the word of the probe at hand is.
func slot(h *Host, w *witness) string { return strconv.FormatUint(w.testimony.Memory[h.now], 10) }

func descriptor(_ *Host, w *witness) string { return strconv.Itoa(w.testimony.File) }

func iovec(b []byte) []unix.Iovec {
	v := unix.Iovec{Base: &b[0]}
	v.SetLen(len(b))
	return []unix.Iovec{v}
}

// openHandle opens a file by what the file system calls it, which names and mounts do not
// stand in the way of: all that is needed is a descriptor of anything on that file system.
func openHandle(canary string) Attempt {
	kind, text, _ := strings.Cut(canary, " ")
	n, err := strconv.Atoi(kind)
	b, err2 := hex.DecodeString(text)
	if err := errors.Join(err, err2); err != nil {
		return Attempt{Lacks: fmt.Sprintf("there is no handle in %.100q", canary)}
	}
	table, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return refused("reading /proc/self/mountinfo", err)
	}
	last := Attempt{Call: "open_by_handle_at(2)"}
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if len(f) < 5 {
			continue
		}
		// A device or a pipe is left alone: to open one may do something, or wait.
		if i, err := os.Stat(f[4]); err != nil || !i.IsDir() && !i.Mode().IsRegular() {
			continue
		}
		on, err := unix.Open(f[4], unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			continue
		}
		fd, err := unix.OpenByHandleAt(on, unix.NewFileHandle(int32(n), b), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK)
		unix.Close(on)
		if err != nil {
			last = refused("open_by_handle_at(2)", err)
			continue
		}
		content := make([]byte, slotSize)
		unix.Pread(fd, content, 0)
		unix.Close(fd)
		if found := wordsOf(content); found != "" {
			return did("open_by_handle_at(2)", found)
		}
	}
	return last
}

// device makes the file of a device somewhere, has it looked at, and removes it.
func device(kind uint32, major, minor int, look func(path string) Attempt) Attempt {
	last := Attempt{Call: "making a folder for a device"}
	// A mount can forbid devices (MS_NODEV).
	for _, in := range []string{"/dev", "/tmp", "/run", "/dev/shm", "/"} {
		dir, err := os.MkdirTemp(in, "probe-")
		if err != nil {
			last = refused("making a folder for a device", err)
			continue
		}
		path := filepath.Join(dir, "device")
		err = unix.Mknod(path, kind|0o600, int(unix.Mkdev(uint32(major), uint32(minor))))
		if err != nil {
			last = refused("mknod(2)", err)
		} else {
			last = look(path)
		}
		os.RemoveAll(dir)
		if last.Did {
			break
		}
	}
	return last
}

// plantDisk makes a disk of a file that has the word in it (loop(4)). It goes with this
// process. The canary is its numbers.
func plantDisk(h *Host) (string, error) {
	const size = 4096
	if err := os.WriteFile(h.file("disk"), append([]byte(h.Word()), make([]byte, size-len(h.Word()))...), 0o600); err != nil {
		return "", err
	}
	f, err := os.Open(h.file("disk"))
	if err != nil {
		return "", err
	}
	defer f.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return "", fmt.Errorf("the host can make no disk of a file: %w", err)
	}
	defer control.Close()
	for range 3 { // somebody else may take it first
		var n int
		if n, err = unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE); err != nil {
			return "", fmt.Errorf("making a disk of a file: ioctl(2), LOOP_CTL_GET_FREE: %w", err)
		}
		var disk *os.File
		if disk, err = os.Open(fmt.Sprintf("/dev/loop%d", n)); err != nil {
			return "", fmt.Errorf("making a disk of a file: %w", err)
		}
		config := unix.LoopConfig{Fd: uint32(f.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_READ_ONLY | unix.LO_FLAGS_AUTOCLEAR}}
		if err = unix.IoctlLoopConfigure(int(disk.Fd()), &config); err != nil {
			disk.Close()
			err = fmt.Errorf("making a disk of a file: ioctl(2), LOOP_CONFIGURE: %w", err)
			continue
		}
		h.Later(disk.Close)
		return fmt.Sprintf("7 %d", n), nil
	}
	return "", err
}

// kernelCore is where the kernel lies, as its own image of its memory says it: a line
// "KERNELOFFSET=2c800000" at its beginning, for programs that read it (proc_kcore(5)).
func kernelCore() (string, error) {
	f, err := os.Open("/proc/kcore")
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("the kernel has no /proc/kcore: %w", err)
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	b := make([]byte, 64<<10)
	n, err := f.ReadAt(b, 0)
	if n == 0 { // empty: something lies on it
		return "", nil
	}
	_, at, ok := strings.Cut(string(b[:n]), "KERNELOFFSET=")
	if !ok {
		return "", fmt.Errorf("there is no KERNELOFFSET in its first %d bytes: %w", n, errors.Join(err, unix.ENODATA))
	}
	at, _, _ = strings.Cut(at, "\n")
	return at, nil
}

// queue is a POSIX message queue (mq_overview(7)).
type queueFD int

func openQueue(name string, flags int) (queueFD, error) {
	b, err := unix.BytePtrFromString(name)
	if err != nil {
		return -1, err
	}
	attr := struct {
		_, MaxMessages, Size, _ int64
		_                       [4]int64
	}{MaxMessages: 2, Size: slotSize}
	fd, _, errno := unix.Syscall6(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(b)), uintptr(flags|unix.O_NONBLOCK|unix.O_CLOEXEC), 0o600, uintptr(unsafe.Pointer(&attr)), 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return queueFD(fd), nil
}

func (q queueFD) send(s string) error {
	b := []byte(s)
	if _, _, errno := unix.Syscall6(unix.SYS_MQ_TIMEDSEND, uintptr(q), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

func (q queueFD) receive() (string, error) {
	b := make([]byte, slotSize)
	n, _, errno := unix.Syscall6(unix.SYS_MQ_TIMEDRECEIVE, uintptr(q), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0, 0, 0)
	if errno != 0 {
		return "", errno
	}
	return string(b[:n]), nil
}

func removeQueue(name string) error {
	b, err := unix.BytePtrFromString(name)
	if err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(unix.SYS_MQ_UNLINK, uintptr(unsafe.Pointer(b)), 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// queue makes a queue of the host's.
func (h *Host) queue(mode uint32) (queueFD, error) {
	name := h.groupName()
	q, err := openQueue(name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		return q, fmt.Errorf("mq_open(3): %w", err)
	}
	h.Later(func() error { return errors.Join(removeQueue(name), unix.Close(int(q))) })
	return q, unix.Fchmod(int(q), mode)
}
