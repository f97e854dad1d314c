package probe

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Attempts to watch a process of the host's at work, as a debugger does.
var tracing = []Probe{
	{
		Name: "trace-seize", Plant: atWitness(func(h *Host, w *witness) string {
			return strconv.FormatUint(w.testimony.Memory[h.now], 10)
		}),
		Attempt: at(seize),
	},
	{
		Name: "trace-maps", Plant: atWitness(onlyPID),
		Attempt: at(func(t target) Attempt { return wordsIn(fmt.Sprintf("/proc/%d/maps", t.pid)) }),
	},
	{
		Name:  "trace-syscall",
		Plant: atWitness(func(_ *Host, w *witness) string { return strconv.Itoa(w.Thread) }),
		Attempt: at(func(t target) Attempt {
			path := fmt.Sprintf("/proc/%d/task/%s/syscall", t.pid, t.rest)
			b, err := os.ReadFile(path)
			if err != nil {
				return refused("reading "+path, err)
			}
			// Its number, and the arguments: the third is how many bytes.
			if f := strings.Fields(string(b)); len(f) > 3 {
				return did("reading "+path, f[3])
			}
			return did("reading "+path, "")
		}),
		Reached: func(h *Host, _ string, a Attempt) (bool, string) {
			w, err := h.witness()
			if err != nil {
				return false, err.Error()
			}
			if a.Saw != fmt.Sprintf("0x%x", w.Count) {
				return false, ""
			}
			return true, "it knows for how many bytes a process of the host waits: " + a.Saw
		},
	},
	{
		Name:  "trace-robust-list",
		Plant: atWitness(func(_ *Host, w *witness) string { return strconv.Itoa(w.Thread) }),
		Attempt: at(func(t target) Attempt {
			tid, _ := t.address()
			var head, size uint64
			if _, _, errno := unix.Syscall(unix.SYS_GET_ROBUST_LIST, uintptr(tid), uintptr(unsafe.Pointer(&head)), uintptr(unsafe.Pointer(&size))); errno != 0 {
				return refused("get_robust_list(2)", errno)
			}
			return did("get_robust_list(2)", strconv.FormatUint(head, 10))
		}),
		Reached: func(h *Host, _ string, a Attempt) (bool, string) {
			w, err := h.witness()
			if err != nil {
				return false, err.Error()
			}
			return a.Saw == strconv.FormatUint(w.Robust, 10), "an address in a process of the host was asked for"
		},
	},
	{
		Name:    "trace-kcmp",
		Plant:   atWitness(func(_ *Host, w *witness) string { return strings.Trim(fmt.Sprint(w.Descriptors), "[]") }),
		Attempt: at(compareFiles),
		Reached: patternOf("which descriptors lead to the same file", func(w *witness) uint32 { return w.Files }),
	},
	{
		Name: "trace-pagemap", Plant: atWitness(pagesOf), Attempt: at(pagemap),
		Reached: patternOf("which pages are in use", func(w *witness) uint32 { return w.secrets.Pages }),
	},
	{
		Name: "trace-move-pages", Plant: atWitness(pagesOf), Attempt: at(movePages),
		Reached: patternOf("which pages are in use", func(w *witness) uint32 { return w.secrets.Pages }),
	},
}

func pagesOf(_ *Host, w *witness) string { return strconv.FormatUint(w.testimony.Pages, 10) }

// seize stops a process as a debugger does, reads its memory, and lets it go on. Should
// this one end before that, the kernel lets it go on.
func seize(t target) Attempt {
	address, _ := t.address()
	if err := unix.PtraceSeize(t.pid); err != nil {
		return refused("ptrace(2), PTRACE_SEIZE", err)
	}
	if err := unix.PtraceInterrupt(t.pid); err != nil {
		return refused("ptrace(2), PTRACE_INTERRUPT", err)
	}
	for begin := time.Now(); ; time.Sleep(time.Millisecond) {
		pid, err := unix.Wait4(t.pid, nil, unix.WNOHANG|unix.WALL, nil)
		if err != nil {
			return refused("wait4(2)", err)
		}
		if pid == t.pid {
			break
		}
		if time.Since(begin) > time.Second {
			return Attempt{Call: "ptrace(2)", Broke: "the process did not stop within a second"}
		}
	}
	defer unix.PtraceDetach(t.pid)
	b := make([]byte, slotSize)
	if _, err := unix.PtracePeekData(t.pid, uintptr(address), b); err != nil {
		return refused("ptrace(2), PTRACE_PEEKDATA", err)
	}
	return did("ptrace(2), PTRACE_PEEKDATA", text(b))
}

// compareFiles asks of each descriptor whether it leads to the same open file as the first.
func compareFiles(t target) Attempt {
	var first uint64
	var pattern uint32
	for i, s := range strings.Fields(t.rest) {
		fd, err := strconv.ParseUint(s, 10, 32)
		if err != nil || i > bits {
			return Attempt{Lacks: fmt.Sprintf("no descriptors are to be found in %.100q", t.rest)}
		}
		if i == 0 {
			first = fd
			continue
		}
		const kcmpFile = 0
		r, _, errno := unix.Syscall6(unix.SYS_KCMP, uintptr(t.pid), uintptr(t.pid), kcmpFile, uintptr(first), uintptr(fd), 0)
		if errno != 0 {
			return refused("kcmp(2)", errno)
		}
		if r == 0 {
			pattern |= 1 << (i - 1)
		}
	}
	return did("kcmp(2)", fmt.Sprintf("%032b", pattern))
}

// pagemap reads which pages of a range are in memory (proc_pid_pagemap(5)).
func pagemap(t target) Attempt {
	start, _ := t.address()
	f, err := os.Open(fmt.Sprintf("/proc/%d/pagemap", t.pid))
	if err != nil {
		return refused("opening /proc/PID/pagemap", err)
	}
	defer f.Close()
	b := make([]byte, 8*bits)
	if _, err := f.ReadAt(b, int64(start)/int64(os.Getpagesize())*8); err != nil {
		return refused("reading /proc/PID/pagemap", err)
	}
	var pattern uint32
	for i := range bits {
		const present, swapped = 1 << 63, 1 << 62
		if binary.NativeEndian.Uint64(b[8*i:])&(present|swapped) != 0 {
			pattern |= 1 << i
		}
	}
	return did("reading /proc/PID/pagemap", fmt.Sprintf("%032b", pattern))
}

// movePages asks on which node each page of a range is, and moves none.
func movePages(t target) Attempt {
	start, _ := t.address()
	var pages [bits]uint64
	var status [bits]int32
	for i := range pages {
		pages[i] = start + uint64(i*os.Getpagesize())
	}
	_, _, errno := unix.Syscall6(unix.SYS_MOVE_PAGES, uintptr(t.pid), bits, uintptr(unsafe.Pointer(&pages)), 0, uintptr(unsafe.Pointer(&status)), 0)
	if errno != 0 {
		return refused("move_pages(2)", errno)
	}
	var pattern uint32
	for i, s := range status {
		if s >= 0 {
			pattern |= 1 << i
		}
	}
	return did("move_pages(2)", fmt.Sprintf("%032b", pattern))
}
