package probe

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Attempts to learn what there is on the host, and what it does.
var see = []Probe{
	{
		Name: "see-process",
		Plant: func(h *Host) (string, error) {
			_, err := h.process(h.Word())
			return "", err
		},
		Attempt: func(string) Attempt {
			names, _ := filepath.Glob("/proc/[0-9]*/cmdline")
			var all bytes.Buffer
			for _, n := range names {
				b, _ := os.ReadFile(n)
				if bytes.Contains(b, []byte("canary-")) {
					all.Write(b)
				}
			}
			return did("reading /proc/*/cmdline", all.String())
		},
	},
	likeHost("see-hostname", "uname(2)", hostname),
	likeHost("see-boot", "reading /proc/sys/kernel/random/boot_id", func() (string, error) { return BootID(), nil }),
	likeHost("see-start", "reading btime in /proc/stat", bootTime),
	likeHost("see-command-line", "reading /proc/cmdline", fileSum("/proc/cmdline")),
	{
		Name:    "see-mounts",
		Plant:   func(*Host) (string, error) { _, err := os.Stat("/proc/self/mountinfo"); return "", err },
		Attempt: func(string) Attempt { return mountIDs() },
		Reached: func(_ *Host, _ string, a Attempt) (bool, string) {
			boot, ids, _ := strings.Cut(a.Saw, " ")
			host := map[string]bool{}
			for _, id := range strings.Fields(mountIDs().Saw) {
				host[id] = true
			}
			n := 0
			for _, id := range strings.Fields(ids) {
				if host[id] {
					n++
				}
			}
			if boot != BootID() {
				return false, ""
			}
			return n > 0, fmt.Sprintf("%d of the host's mounts are in its table", n)
		},
	},
	{
		Name: "see-sockets",
		Plant: func(h *Host) (string, error) {
			_, err := h.listen("unix", "@"+h.Word())
			return "", err
		},
		Attempt: func(string) Attempt { return wordsIn("/proc/thread-self/net/unix") },
	},
	{
		Name:    "see-shared-memory",
		Plant:   func(h *Host) (string, error) { return plantSegment(h, 0o600) },
		Attempt: func(string) Attempt { return segmentSizes() },
		Reached: func(h *Host, canary string, a Attempt) (bool, string) {
			_, size, _ := strings.Cut(canary, " ")
			for _, s := range strings.Fields(a.Saw) {
				if s == size {
					return true, "a segment of the host's, of " + size + " bytes, is in its table"
				}
			}
			return false, ""
		},
	},
	{
		Name:    "see-keys",
		Plant:   plantKey,
		Attempt: func(string) Attempt { return wordsIn("/proc/keys") },
	},
	{
		Name:    "see-log",
		Plant:   plantLog,
		Attempt: func(string) Attempt { return kernelLog() },
	},
	{
		Name:    "see-log-device",
		Plant:   plantLog,
		Attempt: func(string) Attempt { return logDevice("/dev/kmsg") },
	},
	{
		Name:    "see-locks",
		Plant:   plantLock,
		Attempt: func(string) Attempt { return listLocks() },
		Reached: func(_ *Host, canary string, a Attempt) (bool, string) {
			for _, s := range strings.Fields(a.Saw) {
				if s == canary {
					return true, "a lock of the host's, from byte " + canary + " on, is in its table"
				}
			}
			return false, ""
		},
	},
	{
		Name:    "see-timers",
		Plant:   plantTimer,
		Attempt: func(string) Attempt { return listTimers() },
		Reached: func(_ *Host, canary string, a Attempt) (bool, string) {
			for _, s := range strings.Fields(a.Saw) {
				if s == canary {
					return true, "a timer of the host's is in its table"
				}
			}
			return false, ""
		},
	},
	{
		Name: "see-cgroup",
		Plant: func(h *Host) (string, error) {
			_, err := h.view("cgroup2")
			return "", err
		},
		Attempt: func(string) Attempt {
			b, err := os.ReadFile("/proc/self/cgroup")
			if err != nil {
				return refused("reading /proc/self/cgroup", err)
			}
			return did("reading /proc/self/cgroup", BootID()+"\n"+string(b))
		},
		Reached: func(h *Host, _ string, a Attempt) (bool, string) {
			boot, table, _ := strings.Cut(a.Saw, "\n")
			if boot != BootID() {
				return false, ""
			}
			root, err := h.view("cgroup2")
			if err != nil {
				return false, err.Error()
			}
			for line := range strings.Lines(table) {
				_, line, _ = strings.Cut(line, ":")
				controller, path, _ := strings.Cut(strings.TrimSpace(line), ":")
				if path = filepath.Clean("/" + path); path == "/" {
					continue
				}
				top := root
				if controller != "" {
					top = "/sys/fs/cgroup/" + controller
				}
				// It may have ended: then the group that was its own is gone, and that above is there.
				for _, p := range []string{path, filepath.Dir(path)} {
					if _, err := os.Stat(top + p); err == nil && p != "/" {
						return true, "it knows the way to its control group on the host"
					}
				}
			}
			return false, "for what it sees, its control group is the root of all"
		},
	},
}

// words are the canaries' words.
var words = regexp.MustCompile(`canary-[0-9a-f]{16}`)

// wordsOf are those in a text, the last ones.
func wordsOf(b []byte) string {
	const most = 500
	all := words.FindAllString(string(b), -1)
	return strings.Join(all[max(0, len(all)-most):], " ")
}

// wordsIn are those in a file that tells of the system. An empty one was laid over it.
func wordsIn(path string) Attempt {
	b, err := os.ReadFile(path)
	if err != nil {
		return refused("reading "+path, err)
	}
	if len(b) == 0 {
		return Attempt{Call: "reading " + path}
	}
	return did("reading "+path, wordsOf(b))
}

func hostname() (string, error) {
	var u unix.Utsname
	err := unix.Uname(&u)
	return unix.ByteSliceToString(u.Nodename[:]), err
}

// bootTime is when the kernel was started, in seconds since 1970.
func bootTime() (string, error) {
	b, err := os.ReadFile("/proc/stat")
	for line := range strings.Lines(string(b)) {
		if s, ok := strings.CutPrefix(line, "btime "); ok {
			return strings.TrimSpace(s), nil
		}
	}
	return "", err
}

// mountIDs are the numbers by which the kernel knows the mounts: no two have the same one.
func mountIDs() Attempt {
	var ids []string
	for _, path := range []string{"/proc/thread-self/mountinfo", "/proc/1/mountinfo"} {
		b, err := os.ReadFile(path)
		if err != nil && ids == nil {
			return refused("reading "+path, err)
		}
		for line := range strings.Lines(string(b)) {
			id, _, _ := strings.Cut(line, " ")
			ids = append(ids, id)
		}
	}
	return did("reading /proc/1/mountinfo", BootID()+" "+strings.Join(ids, " "))
}

// plantSegment makes shared memory with the word in it. It has been removed already, so that
// it goes with this process, but can be attached by its number until then (shmctl(2)). How
// large it is is random. The canary is both numbers.
func plantSegment(h *Host, mode int) (string, error) {
	size := 4096 + rand.IntN(16<<20)
	id, err := unix.SysvShmGet(unix.IPC_PRIVATE, size, unix.IPC_CREAT|mode)
	if err != nil {
		return "", fmt.Errorf("shmget(2): %w", err)
	}
	b, err := unix.SysvShmAttach(id, 0, 0)
	_, err2 := unix.SysvShmCtl(id, unix.IPC_RMID, nil)
	if err := errors.Join(err, err2); err != nil {
		return "", fmt.Errorf("shmat(2): %w", err)
	}
	h.Later(func() error { return unix.SysvShmDetach(b) })
	copy(b, h.Word())
	return fmt.Sprintf("%d %d", id, size), nil
}

func segmentSizes() Attempt {
	b, err := os.ReadFile("/proc/sysvipc/shm")
	if err != nil {
		return refused("reading /proc/sysvipc/shm", err)
	}
	var sizes []string
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 3 {
			sizes = append(sizes, f[3])
		}
	}
	return did("reading /proc/sysvipc/shm", strings.Join(sizes, " "))
}

// plantLog has the kernel note the word in its log, as a message that no console prints.
func plantLog(h *Host) (string, error) {
	f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		return "", fmt.Errorf("writing into the host's log: %w", err)
	}
	_, err = f.WriteString("<7>bench: a probe is to find " + h.Word() + "\n")
	if err := errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	if a := kernelLog(); !strings.Contains(a.Saw, h.Word()) {
		return "", errors.New("what is written to the host's /dev/kmsg is not in its log")
	}
	return "", nil
}

const readAll = 3 // SYSLOG_ACTION_READ_ALL

// kernelLog reads it as dmesg(1) does.
func kernelLog() Attempt {
	b := make([]byte, 1<<20)
	n, err := unix.Klogctl(readAll, b)
	if err != nil {
		return refused("syslog(2), SYSLOG_ACTION_READ_ALL", err)
	}
	return did("syslog(2), SYSLOG_ACTION_READ_ALL", wordsOf(b[:n]))
}

// logDevice reads it from a device, one message a read(2).
func logDevice(path string) Attempt {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return refused("opening "+path, err)
	}
	defer unix.Close(fd)
	var found []byte
	b := make([]byte, 8<<10)
	for range 50_000 {
		n, err := unix.Read(fd, b)
		if err == unix.EPIPE { // it was written over meanwhile
			continue
		}
		if err != nil || n == 0 { // EAGAIN: this was all
			break
		}
		if bytes.Contains(b[:n], []byte("canary-")) {
			found = append(found, b[:n]...)
		}
	}
	return did("reading "+path, wordsOf(found))
}

// plantLock locks a byte of a file, and picks which one at random.
func plantLock(h *Host) (string, error) {
	f, err := os.Create(h.file("lock"))
	if err != nil {
		return "", err
	}
	h.Later(f.Close)
	start := rand.Int64N(1 << 50)
	if err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Start: start, Len: 1}); err != nil {
		return "", fmt.Errorf("fcntl(2), F_SETLK: %w", err)
	}
	return strconv.FormatInt(start, 10), nil
}

// listLocks gives where locks begin (proc_locks(5)).
func listLocks() Attempt {
	b, err := os.ReadFile("/proc/locks")
	if err != nil {
		return refused("reading /proc/locks", err)
	}
	var starts []string
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) >= 2 {
			starts = append(starts, f[len(f)-2])
		}
	}
	return did("reading /proc/locks", strings.Join(starts, " "))
}

// longAhead is after when the timers of plantTimer expire.
const longAhead = 3 * 365 * 24 * time.Hour

// plantTimer sets a timer for a random time some years ahead. The canary is when it
// expires, in nanoseconds of CLOCK_MONOTONIC.
func plantTimer(h *Host) (string, error) {
	if b, err := os.ReadFile("/proc/timer_list"); err != nil {
		return "", fmt.Errorf("the host's kernel does not list its timers: %w", err)
	} else if len(b) == 0 {
		return "", errors.New("/proc/timer_list shows nothing on the host either")
	}
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC)
	if err != nil {
		return "", fmt.Errorf("timerfd_create(2): %w", err)
	}
	h.Later(func() error { return unix.Close(fd) })
	at := 2*int64(longAhead) + rand.Int64N(int64(longAhead))
	if err := unix.TimerfdSettime(fd, unix.TFD_TIMER_ABSTIME, &unix.ItimerSpec{Value: unix.NsecToTimespec(at)}, nil); err != nil {
		return "", fmt.Errorf("timerfd_settime(2): %w", err)
	}
	return strconv.FormatInt(at, 10), nil
}

// listTimers gives when the timers expire that are set for long ahead. A line of them is
// " # expires at 5000000000-5000050000 nsecs [in ... nsecs]".
func listTimers() Attempt {
	b, err := os.ReadFile("/proc/timer_list")
	if err != nil {
		return refused("reading /proc/timer_list", err)
	}
	if len(b) == 0 {
		return Attempt{Call: "reading /proc/timer_list"}
	}
	var found []string
	for line := range strings.Lines(string(b)) {
		_, at, ok := strings.Cut(line, "# expires at ")
		at, _, _ = strings.Cut(at, "-")
		if n, err := strconv.ParseInt(at, 10, 64); ok && err == nil && n > int64(longAhead) {
			found = append(found, at)
		}
	}
	return did("reading /proc/timer_list", strings.Join(found, " "))
}
