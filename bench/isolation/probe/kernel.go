package probe

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Attempts at interfaces of the kernel that it has only once, or that are seldom used and
// have had many of its holes.
var kernel = []Probe{
	{
		Name: "kernel-reboot",
		Plant: func(h *Host) (string, error) {
			const path = "/proc/sys/kernel/ctrl-alt-del"
			return knob(func(_ *Host, old string) string {
				if old == "0" {
					return "1"
				}
				return "0"
			}, path)(h)
		},
		Attempt: func(canary string) Attempt {
			// It only says what is to happen when somebody presses Ctrl+Alt+Del.
			command := unix.LINUX_REBOOT_CMD_CAD_OFF
			if strings.HasSuffix(canary, " 1") {
				command = unix.LINUX_REBOOT_CMD_CAD_ON
			}
			if err := unix.Reboot(command); err != nil {
				return refused("reboot(2), LINUX_REBOOT_CMD_CAD_ON or _OFF", err)
			}
			return did("reboot(2), LINUX_REBOOT_CMD_CAD_ON or _OFF", "")
		},
		Reached: turned,
	},
	{
		Name: "kernel-console",
		Plant: func(h *Host) (string, error) {
			old, err := consoleLevel()
			if err != nil {
				return "", err
			}
			level := old - 1
			if level < 1 {
				level = old + 1
			}
			h.Later(func() error {
				if now, _ := consoleLevel(); now != level {
					return nil
				}
				return setConsoleLevel(old)
			})
			return strconv.Itoa(level), nil
		},
		Attempt: func(canary string) Attempt {
			level, _ := strconv.Atoi(canary)
			if err := setConsoleLevel(level); err != nil {
				return refused("syslog(2), SYSLOG_ACTION_CONSOLE_LEVEL", err)
			}
			return did("syslog(2), SYSLOG_ACTION_CONSOLE_LEVEL", "")
		},
		Reached: func(_ *Host, canary string, _ Attempt) (bool, string) {
			level, err := consoleLevel()
			return err == nil && strconv.Itoa(level) == canary, fmt.Sprintf("the host's kernel prints what is more urgent than level %d", level)
		},
	},
	{
		Name:    "kernel-memory",
		Plant:   needs("/dev/mem", "/dev/mem"),
		Attempt: readMemory,
		Reached: byHostKernel,
	},
	{
		Name:  "kernel-addresses",
		Plant: plantAddress,
		Attempt: func(string) Attempt {
			at := textAddress()
			if at == "" {
				return Attempt{Saw: "/proc/kallsyms shows no address but 0"}
			}
			a := served("reading /proc/kallsyms")
			a.Saw += " has its code at " + at
			return a
		},
		// A kernel that does not pick it at random is where another one is, too.
		Reached: func(h *Host, canary string, a Attempt) (bool, string) {
			yes, why := byHostKernel(h, canary, a)
			return yes && strings.HasSuffix(a.Saw, " "+textAddress()), why
		},
	},
	{
		Name:    "kernel-pagemap",
		Plant:   needs("page map", "/proc/self/pagemap"),
		Attempt: physicalAddress,
		Reached: byHostKernel,
	},
	{
		Name: "kernel-keyring",
		Plant: func(h *Host) (string, error) {
			name := fmt.Sprintf("bench-probe-%d", rand.Int64())
			_, err := h.key(name, h.Word())
			return name, err
		},
		Attempt: func(name string) Attempt {
			id, err := unix.KeyctlSearch(unix.KEY_SPEC_USER_KEYRING, "user", name, 0)
			if err != nil {
				return refused("keyctl(2), KEYCTL_SEARCH", err)
			}
			b := make([]byte, 64)
			n, err := unix.KeyctlBuffer(unix.KEYCTL_READ, id, b, 0)
			if err != nil {
				return refused("keyctl(2), KEYCTL_READ", err)
			}
			return did("keyctl(2), KEYCTL_READ", string(b[:min(n, len(b))]))
		},
	},
	{
		Name:    "kernel-fanotify",
		Plant:   (*Host).leaf,
		Attempt: watchFiles,
	},
	{
		Name:    "kernel-terminal",
		Plant:   plantTerminal,
		Attempt: typeInto,
		Reached: hearsWord,
	},
	{
		Name: "kernel-io-uring",
		Plant: func(*Host) (string, error) {
			fd, err := ioUring()
			if err != nil {
				return "", fmt.Errorf("the host's kernel has no io_uring: %w", err)
			}
			return "", unix.Close(fd)
		},
		Attempt: func(string) Attempt {
			fd, err := ioUring()
			if err != nil {
				return refused("io_uring_setup(2)", err)
			}
			unix.Close(fd)
			return served("io_uring_setup(2)")
		},
		Reached: byHostKernel,
	},
	{
		Name: "kernel-userfaultfd",
		Plant: func(*Host) (string, error) {
			fd, err := userfaultfd()
			if err != nil {
				return "", fmt.Errorf("the host's kernel has no userfaultfd(2): %w", err)
			}
			return "", unix.Close(fd)
		},
		Attempt: func(string) Attempt {
			fd, err := userfaultfd()
			if err != nil {
				return refused("userfaultfd(2)", err)
			}
			unix.Close(fd)
			return served("userfaultfd(2)")
		},
		Reached: byHostKernel,
	},
}

// consoleLevel is below which level messages of the kernel go to its console
// (proc_sys_kernel(5), printk).
func consoleLevel() (int, error) {
	b, err := os.ReadFile("/proc/sys/kernel/printk")
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\t")
	return strconv.Atoi(first)
}

func setConsoleLevel(level int) error {
	const actionConsoleLevel = 8
	if _, _, errno := unix.Syscall(unix.SYS_SYSLOG, actionConsoleLevel, 0, uintptr(level)); errno != 0 {
		return errno
	}
	return nil
}

// readMemory reads some bytes of where a PC's firmware lies (mem(4)). Where there is no
// /dev/mem, it makes one.
func readMemory(string) Attempt {
	f, err := os.Open("/dev/mem")
	call := "opening /dev/mem"
	if errors.Is(err, os.ErrNotExist) {
		dir, errDir := scratch()
		if errDir != nil {
			return refused(call, err)
		}
		defer os.RemoveAll(dir)
		call = "mknod(2) of /dev/mem"
		if err = unix.Mknod(dir+"/mem", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 1))); err == nil {
			call = "opening a /dev/mem of its own"
			f, err = os.Open(dir + "/mem")
		}
	}
	if err != nil {
		return refused(call, err)
	}
	defer f.Close()
	if _, err := f.ReadAt(make([]byte, 16), 0xf0000); err != nil {
		return refused("reading /dev/mem", err)
	}
	return served("reading physical memory")
}

func plantAddress(*Host) (string, error) {
	if textAddress() == "" {
		return "", errors.New("the host shows the addresses of its kernel to nobody (kernel.kptr_restrict)")
	}
	return "", nil
}

// textAddress is where the kernel's code begins, which as a rule is picked at random at each boot so
// that nobody knows; "" if it is not told. It stands near the top of the list.
func textAddress() string {
	f, err := os.Open("/proc/kallsyms")
	if err != nil {
		return ""
	}
	defer f.Close()
	return addressOf(bufio.NewScanner(io.LimitReader(f, 256<<10)), "_stext", "_text")
}

// addressOf looks for a symbol in a list of them, and gives its address if it is shown. It
// reads no further.
func addressOf(symbols *bufio.Scanner, names ...string) string {
	for symbols.Scan() {
		if f := strings.Fields(symbols.Text()); len(f) == 3 && slices.Contains(names, f[2]) {
			if strings.Trim(f[0], "0") == "" {
				return ""
			}
			return f[0]
		}
	}
	return ""
}

// physicalAddress looks where in the machine's memory a page of its own lies (Rowhammer needs
// that): proc_pid_pagemap(5).
func physicalAddress(string) Attempt {
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return refused("opening /proc/self/pagemap", err)
	}
	defer f.Close()
	here := make([]byte, 8)
	at := int64(uintptr(unsafe.Pointer(&here[0]))) / int64(os.Getpagesize()) * 8
	if _, err := f.ReadAt(here, at); err != nil {
		return refused("reading /proc/self/pagemap", err)
	}
	if binary.NativeEndian.Uint64(here)&(1<<55-1) == 0 {
		return Attempt{Saw: "/proc/self/pagemap shows 0 instead of an address"}
	}
	return served("reading /proc/self/pagemap")
}

// leaf makes a file of the host's, in which the host leafs again and again.
func (h *Host) leaf() (path string, err error) {
	if path, err = h.secret(); err != nil {
		return "", err
	}
	end := make(chan struct{})
	h.Later(func() error { close(end); return nil })
	go func() {
		for {
			os.ReadFile(path)
			select {
			case <-end:
				return
			case <-time.After(rhythm):
			}
		}
	}()
	return path, nil
}

// watchFiles has the kernel tell of each file that is opened on the file system of the canary,
// or of its own root: it is given a descriptor of it each time (fanotify(7)).
func watchFiles(path string) Attempt {
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_NOTIF|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK, unix.O_RDONLY|unix.O_LARGEFILE|unix.O_CLOEXEC)
	if err != nil {
		return refused("fanotify_init(2)", err)
	}
	defer unix.Close(fd)
	at := filepath.Dir(path)
	if _, err := os.Stat(at); err != nil {
		at = "/"
	}
	if err := unix.FanotifyMark(fd, unix.FAN_MARK_ADD|unix.FAN_MARK_FILESYSTEM, unix.FAN_OPEN, unix.AT_FDCWD, at); err != nil {
		return refused("fanotify_mark(2)", err)
	}
	events, saw := make([]byte, 4096), ""
	for turn := 0; saw == "" && turn < pieces; turn++ {
		n, err := unix.Read(fd, events)
		if err != nil {
			time.Sleep(piece)
			continue
		}
		for _, opened := range descriptors(events[:n]) {
			if saw == "" {
				saw = canaryOf(opened)
			}
			unix.Close(opened)
		}
	}
	return did("fanotify_mark(2)", saw)
}

// descriptors are those in a list of struct fanotify_event_metadata.
func descriptors(events []byte) (all []int) {
	const size = 24
	for len(events) >= size {
		length := int(binary.NativeEndian.Uint32(events))
		if fd := int32(binary.NativeEndian.Uint32(events[16:])); fd >= 0 {
			all = append(all, int(fd))
		}
		if length < size || length > len(events) {
			break
		}
		events = events[length:]
	}
	return all
}

// canaryOf reads the word from an open file, if that is what it is.
func canaryOf(fd int) string {
	var s unix.Stat_t
	if unix.Fstat(fd, &s) != nil || s.Mode&unix.S_IFMT != unix.S_IFREG {
		return ""
	}
	b := make([]byte, 64)
	if n, _ := unix.Pread(fd, b, 0); n > 0 && strings.HasPrefix(string(b[:n]), "canary-") {
		return string(b[:n])
	}
	return ""
}

// plantTerminal opens a terminal, and reads what is typed into it.
func plantTerminal(h *Host) (string, error) {
	master, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("opening a terminal: /dev/ptmx: %w", err)
	}
	h.Later(func() error { return unix.Close(master) })
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return "", fmt.Errorf("unlocking a terminal: %w", err)
	}
	n, err := unix.IoctlGetInt(master, unix.TIOCGPTN)
	if err != nil {
		return "", fmt.Errorf("asking for a terminal's number: %w", err)
	}
	name := fmt.Sprintf("/dev/pts/%d", n)
	fd, err := unix.Open(name, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("opening a terminal: %w", err)
	}
	terminal := os.NewFile(uintptr(fd), name)
	h.Later(terminal.Close)
	heard := h.note()
	go func() {
		b := make([]byte, 128)
		for {
			n, err := terminal.Read(b)
			if err != nil {
				return
			}
			heard(string(b[:n]))
		}
	}()
	return name + " " + h.Word(), nil
}

// typeInto puts characters into a terminal as if they had been typed there (ioctl_tty(2)).
func typeInto(canary string) Attempt {
	name, word, _ := strings.Cut(canary, " ")
	fd, err := unix.Open(name, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return refused("opening "+name, err)
	}
	defer unix.Close(fd)
	for _, c := range []byte(word + "\n") {
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCSTI, uintptr(unsafe.Pointer(&c))); errno != 0 {
			return refused("ioctl(2), TIOCSTI", errno)
		}
	}
	return did("ioctl(2), TIOCSTI", "")
}

// ioUring makes a ring of one entry.
func ioUring() (fd int, err error) {
	var params [120]byte // struct io_uring_params
	n, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params)), 0)
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

// userfaultfd asks for one that can hold up the kernel itself, in the middle of its work.
func userfaultfd() (fd int, err error) {
	n, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC|unix.O_NONBLOCK, 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}
