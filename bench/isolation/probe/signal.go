package probe

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Attempts to end or to interrupt a process of the host's.
var signalling = []Probe{
	{
		Name: "signal-kill",
		Plant: func(h *Host) (string, error) {
			pid, err := h.process(h.Word())
			return strconv.Itoa(pid), err
		},
		Attempt: at(func(t target) Attempt {
			if err := unix.Kill(t.pid, unix.SIGKILL); err != nil {
				return refused(fmt.Sprintf("kill(2) of process %d", t.pid), err)
			}
			return did(fmt.Sprintf("kill(2) of process %d", t.pid), "")
		}),
		Reached: wasKilled,
	},
	{
		Name: "signal-cgroup",
		Plant: func(h *Host) (string, error) {
			dir, err := h.group()
			if err != nil {
				return "", err
			}
			if _, err := os.Stat(dir + "/cgroup.kill"); err != nil {
				return "", fmt.Errorf("the host's kernel is older than Linux 5.14: %w", err)
			}
			pid, err := h.process(h.Word())
			if err != nil {
				return "", err
			}
			if err := writeKnob(dir+"/cgroup.procs", strconv.Itoa(pid)); err != nil {
				return "", fmt.Errorf("moving a process into a control group: %w", err)
			}
			return fmt.Sprintf("%d %s", pid, h.groupName()), nil
		},
		Attempt: func(canary string) Attempt {
			var pid int
			var name string
			fmt.Sscan(canary, &pid, &name)
			return inGroup(name, func(dir string) Attempt {
				if err := writeKnob(dir+"/cgroup.kill", "1"); err != nil {
					return refused("writing to the host's cgroup.kill", err)
				}
				return did("writing to the host's cgroup.kill", "")
			})
		},
		Reached: wasKilled,
	},
	{
		Name: "signal-pidfd", Plant: atWitness(onlyPID), Reached: gotSignal,
		Attempt: at(func(t target) Attempt {
			fd, err := unix.PidfdOpen(t.pid, 0)
			if err != nil {
				return refused("pidfd_open(2)", err)
			}
			defer unix.Close(fd)
			if err := unix.PidfdSendSignal(fd, signals["signal-pidfd"], nil, 0); err != nil {
				return refused("pidfd_send_signal(2)", err)
			}
			return did("pidfd_send_signal(2)", "")
		}),
	},
	{
		Name: "signal-thread", Reached: gotSignal,
		Plant: atWitness(func(_ *Host, w *witness) string { return strconv.Itoa(w.Thread) }),
		Attempt: at(func(t target) Attempt {
			tid, _ := t.address()
			if err := unix.Tgkill(t.pid, int(tid), signals["signal-thread"]); err != nil {
				return refused("tgkill(2)", err)
			}
			return did("tgkill(2)", "")
		}),
	},
	{
		Name: "signal-queue", Plant: atWitness(onlyPID), Reached: gotSignal,
		Attempt: at(func(t target) Attempt { return queue(t.pid, signals["signal-queue"]) }),
	},
	{
		Name: "signal-group", Plant: atWitness(onlyPID), Reached: gotSignal,
		Attempt: at(func(t target) Attempt {
			if err := unix.Kill(-t.pid, signals["signal-group"]); err != nil {
				return refused("kill(2) of a process group", err)
			}
			return did("kill(2) of a process group", "")
		}),
	},
	{
		Name: "signal-io", Plant: atWitness(onlyPID), Reached: gotSignal,
		Attempt: at(func(t target) Attempt { return signalIO(t.pid, signals["signal-io"]) }),
	},
}

// wasKilled judges by the process whose number begins the canary.
func wasKilled(_ *Host, canary string, _ Attempt) (bool, string) {
	var pid int
	fmt.Sscan(canary, &pid)
	for range 10 { // until it has died
		if !living(pid) {
			return true, fmt.Sprintf("process %d of the host has died", pid)
		}
		time.Sleep(time.Millisecond)
	}
	return false, fmt.Sprintf("process %d of the host lives on", pid)
}

// queue sends a signal with a value, as sigqueue(3) does.
func queue(pid int, s syscall.Signal) Attempt {
	// The beginning of siginfo_t (sigaction(2)) and its size on 64 bits.
	info := struct {
		Signo, Errno, Code, _ int32
		PID, UID              int32
		Value                 uint64
		_                     [96]byte
	}{Signo: int32(s), Code: -1 /* SI_QUEUE */, PID: int32(os.Getpid())}
	_, _, errno := unix.Syscall(unix.SYS_RT_SIGQUEUEINFO, uintptr(pid), uintptr(s), uintptr(unsafe.Pointer(&info)))
	if errno != 0 {
		return refused("rt_sigqueueinfo(2)", errno)
	}
	return did("rt_sigqueueinfo(2)", "")
}

// signalIO has the kernel send the signal: a process is named as the owner of a pipe of
// one's own, which is told whenever something comes.
func signalIO(pid int, s syscall.Signal) Attempt {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return refused("pipe2(2)", err)
	}
	defer unix.Close(p[0])
	defer unix.Close(p[1])
	const setSig = 10 // F_SETSIG
	if _, err := unix.FcntlInt(uintptr(p[0]), setSig, int(s)); err != nil {
		return refused("fcntl(2), F_SETSIG", err)
	}
	if _, err := unix.FcntlInt(uintptr(p[0]), unix.F_SETOWN, pid); err != nil {
		return refused("fcntl(2), F_SETOWN", err)
	}
	if _, err := unix.FcntlInt(uintptr(p[0]), unix.F_SETFL, unix.O_ASYNC); err != nil {
		return refused("fcntl(2), F_SETFL", err)
	}
	unix.Write(p[1], []byte("x"))
	return did("fcntl(2), F_SETOWN", "")
}
