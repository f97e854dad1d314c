package probe

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Attempts to bring code of one's own into the kernel, or to have it start a program.
var load = []Probe{
	{
		Name:  "load-module",
		Plant: needs("loadable modules", "/proc/modules"),
		Attempt: func(string) Attempt {
			// What is no module is read all the same, by whom may load one.
			err := unix.InitModule([]byte("this is not a module"), "")
			if err == unix.ENOEXEC {
				return served("init_module(2), which looked at the bytes (ENOEXEC),")
			}
			return refused("init_module(2)", err)
		},
		Reached: byHostKernel,
	},
	{
		Name:  "load-module-remove",
		Plant: needs("loadable modules", "/proc/modules"),
		Attempt: func(string) Attempt {
			err := unix.DeleteModule("bench_no_such_module", unix.O_NONBLOCK)
			if err == unix.ENOENT {
				return served("delete_module(2), which found no such module (ENOENT),")
			}
			return refused("delete_module(2)", err)
		},
		Reached: byHostKernel,
	},
	{
		Name:  "load-kexec",
		Plant: needs("kexec", "/sys/kernel/kexec_loaded", "/sys/kernel/kexec/loaded"),
		Attempt: func(string) Attempt {
			// The flags are not valid: who may load a kernel is told so, and none is loaded.
			_, _, errno := unix.Syscall6(unix.SYS_KEXEC_LOAD, 0, 0, 0, 0x0000f000, 0, 0)
			if errno == unix.EINVAL {
				return served("kexec_load(2), which looked at the flags (EINVAL),")
			}
			return refused("kexec_load(2)", errno)
		},
		Reached: byHostKernel,
	},
	{
		Name:    "load-bpf-map",
		Plant:   plantMap,
		Attempt: readMaps,
	},
	{
		Name: "load-bpf-program",
		Plant: func(*Host) (string, error) {
			fd, err := bpf(bpfProgLoad, kprobeProgram())
			if err != nil {
				return "", fmt.Errorf("the host's kernel takes no such program: bpf(2): %w", err)
			}
			return "", unix.Close(fd)
		},
		Attempt: func(string) Attempt {
			fd, err := bpf(bpfProgLoad, kprobeProgram())
			if err != nil {
				return refused("bpf(2), BPF_PROG_LOAD", err)
			}
			unix.Close(fd)
			return served("bpf(2), BPF_PROG_LOAD")
		},
		Reached: byHostKernel,
	},
	{
		Name:  "load-perf",
		Plant: needs("performance events", "/proc/sys/kernel/perf_event_paranoid"),
		Attempt: func(string) Attempt {
			// For the first counter of most other events the kernel changes its own code, in
			// which an emulated one (TCG, QEMU 7.2) may hang.
			attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_CPU_CLOCK, Bits: unix.PerfBitDisabled, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{}))}
			fd, err := unix.PerfEventOpen(&attr, -1, 0, -1, unix.PERF_FLAG_FD_CLOEXEC)
			if err != nil {
				return refused("perf_event_open(2) of a whole CPU", err)
			}
			unix.Close(fd)
			return served("perf_event_open(2) of a whole CPU")
		},
		Reached: byHostKernel,
	},
	{
		Name: "load-kprobe",
		Plant: func(h *Host) (string, error) {
			dir, err := h.view("tracefs")
			if err != nil {
				return "", err
			}
			if _, err := os.Stat(dir + "/kprobe_events"); err != nil {
				return "", errors.New("the host's kernel has no kprobes: its tracer has no kprobe_events")
			}
			name := "bench_" + h.hex()
			h.Later(func() error {
				if b, _ := os.ReadFile(dir + "/kprobe_events"); !strings.Contains(string(b), name) {
					return nil
				}
				return addLine(dir+"/kprobe_events", "-:"+name)
			})
			return name, nil
		},
		Attempt: func(name string) Attempt {
			return fresh("tracefs", "", func(dir string) Attempt {
				// It is defined, and not switched on.
				if err := addLine(dir+"/kprobe_events", "p:"+name+" vfs_fsync"); err != nil {
					return refused("writing to kprobe_events", err)
				}
				return did("writing to kprobe_events", "")
			})
		},
		Reached: func(h *Host, name string, _ Attempt) (bool, string) {
			dir, err := h.view("tracefs")
			if err != nil {
				return false, ""
			}
			b, _ := os.ReadFile(dir + "/kprobe_events")
			return found(strings.Contains(string(b), name), "the host has", "the kprobe")
		},
	},
	{
		Name: "load-binfmt",
		Plant: func(h *Host) (string, error) {
			dir, err := h.view("binfmt_misc")
			if err != nil {
				return "", err
			}
			name := "bench-" + h.hex()
			h.Later(func() error {
				if _, err := os.Stat(dir + "/" + name); err != nil {
					return nil
				}
				return writeKnob(dir+"/"+name, "-1")
			})
			return name, nil
		},
		Attempt: func(name string) Attempt {
			return fresh("binfmt_misc", "", func(dir string) Attempt {
				// No file begins with its name, for which the interpreter would be started.
				if err := writeKnob(dir+"/register", ":"+name+":M::"+name+"::/nowhere:"); err != nil {
					return refused("writing to binfmt_misc/register", err)
				}
				return did("writing to binfmt_misc/register", "")
			})
		},
		Reached: func(h *Host, name string, _ Attempt) (bool, string) {
			dir, err := h.view("binfmt_misc")
			if err != nil {
				return false, ""
			}
			_, err = os.Stat(dir + "/" + name)
			return found(err == nil, "the host has", "the format")
		},
	},
	{
		Name:    "load-core-pattern",
		Plant:   knob(wordAsValue, "/proc/sys/kernel/core_pattern"),
		Attempt: turn,
		Reached: turned,
	},
	{
		Name:    "load-modprobe-path",
		Plant:   knob(pathAsValue, "/proc/sys/kernel/modprobe"),
		Attempt: turn,
		Reached: turned,
	},
	{
		Name:    "load-firmware-path",
		Plant:   knob(pathAsValue, "/sys/module/firmware_class/parameters/path"),
		Attempt: turn,
		Reached: turned,
	},
	{
		Name: "load-ports",
		Plant: func(*Host) (string, error) {
			if err := ioperm(0); err == unix.ENOSYS {
				return "", errors.New("the host's kernel has no ioperm(2)")
			}
			return "", nil
		},
		Attempt: func(string) Attempt {
			if err := ioperm(1); err != nil {
				return refused("ioperm(2)", err)
			}
			ioperm(0)
			return served("ioperm(2)")
		},
		Reached: byHostKernel,
	},
}

// wordAsValue and pathAsValue are what a knob is turned to. There is no such program.
func wordAsValue(h *Host, _ string) string { return h.Word() }

func pathAsValue(h *Host, _ string) string { return "/nowhere/" + h.Word() }

// turn writes to a knob.
func turn(canary string) Attempt {
	path, value, _ := strings.Cut(canary, " ")
	if err := writeKnob(path, value); err != nil {
		return refused("writing to "+path, err)
	}
	return did("writing to "+path, "")
}

// addLine adds to a file of the tracer's. To open it for writing alone would empty it.
func addLine(path, line string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(line + "\n")
	return err
}

// ioperm asks for the port 0x80 of an x86 processor, which shows what a firmware does, or
// gives it back.
func ioperm(on uintptr) error {
	if runtime.GOARCH != "amd64" {
		return unix.ENOSYS
	}
	const sysIoperm = 173
	if _, _, errno := unix.Syscall(sysIoperm, 0x80, 1, on); errno != 0 {
		return errno
	}
	return nil
}

// Commands of bpf(2), and what they are given: parts of union bpf_attr.
const (
	bpfMapCreate    = 0
	bpfMapLookup    = 1
	bpfMapUpdate    = 2
	bpfProgLoad     = 5
	bpfMapNextID    = 12
	bpfMapFDByID    = 14
	bpfTypeArray    = 2
	bpfTypeKprobe   = 2
	bpfTypeFilter   = 1
	mapsLookedAtMax = 256
)

type mapAttr struct {
	Type, KeySize, ValueSize, MaxEntries, Flags uint32
}

type elementAttr struct {
	FD         uint32
	_          uint32
	Key, Value uint64
	Flags      uint64
}

type idAttr struct {
	ID, Next, Flags uint32
}

type programAttr struct {
	Type, Count    uint32
	Code, License  uint64
	LogLevel, Size uint32
	Log            uint64
	Version        uint32
}

func bpf[T any](command uintptr, attr *T) (int, error) {
	n, _, errno := unix.Syscall(unix.SYS_BPF, command, uintptr(unsafe.Pointer(attr)), unsafe.Sizeof(*attr))
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

// The kernel is given addresses as numbers, which does not keep what is there alive.
var (
	returnZero = [2]uint64{0xb7, 0x95} // r0 = 0; exit
	license    = [4]byte{'G', 'P', 'L'}
)

// kprobeProgram is a program for a probe of the kernel's functions. It is loaded, and not
// attached to any.
func kprobeProgram() *programAttr {
	return &programAttr{
		Type: bpfTypeKprobe, Count: uint32(len(returnZero)),
		Code: address(&returnZero), License: address(&license),
	}
}

func address[T any](p *T) uint64 { return uint64(uintptr(unsafe.Pointer(p))) }

// plantMap makes a map of the kernel's that holds the word, and no name.
func plantMap(h *Host) (string, error) {
	fd, err := bpf(bpfMapCreate, &mapAttr{Type: bpfTypeArray, KeySize: 4, ValueSize: 32, MaxEntries: 1})
	if err != nil {
		return "", fmt.Errorf("making a map of the kernel's: bpf(2): %w", err)
	}
	h.Later(func() error { return unix.Close(fd) })
	key, value := new(uint32), new([32]byte)
	copy(value[:], h.Word())
	_, err = bpf(bpfMapUpdate, &elementAttr{FD: uint32(fd), Key: address(key), Value: address(value)})
	runtime.KeepAlive(key)
	runtime.KeepAlive(value)
	return "", err
}

// readMaps looks into all maps that the kernel has, by their numbers.
func readMaps(string) Attempt {
	id := idAttr{}
	for range mapsLookedAtMax {
		if _, err := bpf(bpfMapNextID, &id); err == unix.ENOENT {
			return did("bpf(2), BPF_MAP_GET_NEXT_ID", "")
		} else if err != nil {
			return refused("bpf(2), BPF_MAP_GET_NEXT_ID", err)
		}
		id.ID = id.Next
		fd, err := bpf(bpfMapFDByID, &idAttr{ID: id.ID})
		if err != nil {
			return refused("bpf(2), BPF_MAP_GET_FD_BY_ID", err)
		}
		info, value := mapInfo{}, new([32]byte)
		if !info.read(fd) || info.Type != bpfTypeArray || info.KeySize != 4 || info.ValueSize != uint32(len(value)) {
			unix.Close(fd) // what is larger would not fit
			continue
		}
		key := new(uint32)
		_, err = bpf(bpfMapLookup, &elementAttr{FD: uint32(fd), Key: address(key), Value: address(value)})
		unix.Close(fd)
		runtime.KeepAlive(key)
		if found := strings.TrimRight(string(value[:]), "\x00"); err == nil && strings.HasPrefix(found, "canary-") {
			return did("bpf(2), BPF_MAP_LOOKUP_ELEM", found)
		}
	}
	return did("bpf(2), BPF_MAP_GET_NEXT_ID", "")
}

// mapInfo is the beginning of struct bpf_map_info.
type mapInfo struct {
	Type, ID, KeySize, ValueSize, MaxEntries, Flags uint32
}

func (m *mapInfo) read(fd int) bool {
	const infoByFD = 15
	attr := struct {
		FD, Len uint32
		Info    uint64
	}{uint32(fd), uint32(unsafe.Sizeof(*m)), address(m)}
	_, err := bpf(infoByFD, &attr)
	return err == nil
}
