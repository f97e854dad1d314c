package probe

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Attempts to change what the host has in its files, in its memory and in its kernel.
var writing = []Probe{
	{
		Name:    "write-file",
		Plant:   func(h *Host) (string, error) { return h.empty("") },
		Attempt: addWord, Reached: hasWord,
	},
	{
		Name:    "write-file-root",
		Plant:   func(h *Host) (string, error) { return h.empty(fmt.Sprintf("/proc/%d/root", os.Getpid())) },
		Attempt: addWord, Reached: hasWord,
	},
	{
		Name: "write-memory", Plant: atWitness(atWord), Reached: wroteMemory,
		Attempt: at(func(t target) Attempt {
			address, word := t.address()
			f, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", t.pid), os.O_WRONLY, 0)
			if err != nil {
				return refused("opening /proc/PID/mem", err)
			}
			defer f.Close()
			if _, err := f.WriteAt([]byte(word), int64(address)); err != nil {
				return refused("writing to /proc/PID/mem", err)
			}
			return did("writing to /proc/PID/mem", "")
		}),
	},
	{
		Name: "write-memory-vm", Plant: atWitness(atWord), Reached: wroteMemory,
		Attempt: at(func(t target) Attempt {
			address, word := t.address()
			if word == "" {
				return Attempt{Lacks: "there is no word to write"}
			}
			if _, err := unix.ProcessVMWritev(t.pid, iovec([]byte(word)), []unix.RemoteIovec{{Base: uintptr(address), Len: len(word)}}, 0); err != nil {
				return refused("process_vm_writev(2)", err)
			}
			return did("process_vm_writev(2)", "")
		}),
	},
	{
		Name: "write-shared-memory",
		Plant: func(h *Host) (string, error) {
			canary, err := plantSegment(h, 0o600)
			return canary + " " + strings.ToUpper(h.Word()), err
		},
		Attempt: func(canary string) Attempt {
			f := strings.Fields(canary)
			if len(f) != 3 {
				return Attempt{Lacks: fmt.Sprintf("there is no segment in %.100q", canary)}
			}
			id, _ := strconv.Atoi(f[0])
			b, err := unix.SysvShmAttach(id, 0, 0)
			if err != nil {
				return refused("shmat(2)", err)
			}
			copy(b, f[2])
			return refusedOr("shmdt(2)", unix.SysvShmDetach(b), "shmat(2)")
		},
		Reached: func(h *Host, canary string, _ Attempt) (bool, string) {
			id, _ := twoNumbers(canary)
			b, err := unix.SysvShmAttach(id, 0, unix.SHM_RDONLY)
			if err != nil {
				return false, "the host's shared memory: " + err.Error()
			}
			defer unix.SysvShmDetach(b)
			return text(b[:slotSize]) == strings.ToUpper(h.Word()), "the host's shared memory was looked at"
		},
	},
	{
		Name: "write-queue",
		Plant: func(h *Host) (string, error) {
			_, err := h.queue(0o600)
			return h.groupName() + " " + h.Word(), err
		},
		Attempt: func(canary string) Attempt {
			name, word, _ := strings.Cut(canary, " ")
			q, err := openQueue(name, unix.O_WRONLY)
			if err != nil {
				return refused("mq_open(3)", err)
			}
			defer unix.Close(int(q))
			return refusedOr("mq_send(3)", q.send(word), "mq_send(3)")
		},
		Reached: func(h *Host, _ string, _ Attempt) (bool, string) {
			q, err := openQueue(h.groupName(), unix.O_RDONLY)
			if err != nil {
				return false, "the host's queue: " + err.Error()
			}
			defer unix.Close(int(q))
			word, err := q.receive()
			return err == nil && word == h.Word(), "the host's queue was looked into"
		},
	},
	{
		Name: "write-hostname",
		Plant: func(h *Host) (string, error) {
			old, err := hostname()
			if err != nil {
				return "", err
			}
			word := h.Word()
			h.Later(func() error {
				if now, _ := hostname(); now != word {
					return nil
				}
				return unix.Sethostname([]byte(old))
			})
			return word, nil
		},
		Attempt: func(word string) Attempt {
			return refusedOr("sethostname(2)", unix.Sethostname([]byte(word)), "sethostname(2)")
		},
		Reached: func(h *Host, word string, _ Attempt) (bool, string) {
			now, err := hostname()
			if err != nil || now != word {
				return false, "the host's name is as it was"
			}
			return true, "the host has the new name"
		},
	},
	{
		Name:    "write-sysctl",
		Plant:   knob(another, "/proc/sys/vm/stat_interval"),
		Attempt: turn, Reached: turned,
	},
	{
		Name:    "write-sysfs",
		Plant:   knob(another, "/sys/kernel/mm/ksm/stable_node_chains_prune_millisecs"),
		Attempt: turn, Reached: turned,
	},
	{
		Name: "write-log",
		Plant: func(h *Host) (string, error) {
			// It has to have a log that can be written to.
			defer func(now string) { h.now = now }(h.now)
			word := h.Word()
			h.now += " of the host"
			_, err := plantLog(h)
			return word, err
		},
		Attempt: func(word string) Attempt {
			f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
			if err != nil {
				return refused("opening /dev/kmsg", err)
			}
			_, err = f.WriteString("<7>bench: a probe has written " + word + "\n")
			return refusedOr("writing to /dev/kmsg", errors.Join(err, f.Close()), "writing to /dev/kmsg")
		},
		Reached: func(h *Host, word string, _ Attempt) (bool, string) {
			return strings.Contains(kernelLog().Saw, word), "the host's log was looked through"
		},
	},
	{
		Name:  "write-sysrq",
		Plant: plantSysRq,
		Attempt: func(string) Attempt {
			// It prints which keys there are.
			return refusedOr("writing to /proc/sysrq-trigger", writeKnob("/proc/sysrq-trigger", "h"), "writing to /proc/sysrq-trigger")
		},
		Reached: func(h *Host, _ string, _ Attempt) (bool, string) {
			before, _ := os.ReadFile(h.file("help"))
			now, err := lastHelp()
			return err == nil && now != "" && now != string(before), "the host's log was looked through for the list of keys"
		},
	},
	{
		Name:  "write-priority",
		Plant: atWitness(func(*Host, *witness) string { return strconv.Itoa(1 + rand.IntN(19)) }),
		Attempt: at(func(t target) Attempt {
			nice, _ := strconv.Atoi(t.rest)
			return refusedOr("setpriority(2)", unix.Setpriority(unix.PRIO_PROCESS, t.pid, nice), "setpriority(2)")
		}),
		Reached: func(_ *Host, canary string, _ Attempt) (bool, string) {
			pid, nice := twoNumbers(canary)
			is, err := unix.Getpriority(unix.PRIO_PROCESS, pid)
			is = 20 - is // as the system call gives it
			return err == nil && is == nice, fmt.Sprintf("the niceness of the host's process is %d", is)
		},
	},
	{
		Name: "write-affinity",
		Plant: func(h *Host) (string, error) {
			var set unix.CPUSet
			if err := unix.SchedGetaffinity(0, &set); err != nil {
				return "", fmt.Errorf("sched_getaffinity(2): %w", err)
			}
			var cpus []int
			for n := range len(set) * 64 {
				if set.IsSet(n) {
					cpus = append(cpus, n)
				}
			}
			if len(cpus) < 2 {
				return "", errors.New("the host has one CPU: there is no choice")
			}
			return atWitness(func(*Host, *witness) string { return strconv.Itoa(cpus[rand.IntN(len(cpus))]) })(h)
		},
		Attempt: at(func(t target) Attempt {
			cpu, _ := strconv.Atoi(t.rest)
			var set unix.CPUSet
			set.Set(cpu)
			return refusedOr("sched_setaffinity(2)", unix.SchedSetaffinity(t.pid, &set), "sched_setaffinity(2)")
		}),
		Reached: func(_ *Host, canary string, _ Attempt) (bool, string) {
			pid, cpu := twoNumbers(canary)
			var set unix.CPUSet
			err := unix.SchedGetaffinity(pid, &set)
			return err == nil && set.Count() == 1 && set.IsSet(cpu), fmt.Sprintf("the host's process may run on %d CPUs", set.Count())
		},
	},
}

// refusedOr is an attempt whose last call has succeeded, or not.
func refusedOr(call string, err error, what string) Attempt {
	if err != nil {
		return refused(call, err)
	}
	return did(what, "")
}

// empty makes an empty file of the host's. The canary is its path, below root, and the word.
func (h *Host) empty(root string) (string, error) {
	path := h.file("empty")
	return root + path + " " + h.Word(), os.WriteFile(path, nil, 0o644)
}

func addWord(canary string) Attempt {
	path, word, _ := strings.Cut(canary, " ")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return refused("opening "+path, err)
	}
	_, err = f.WriteString(word)
	return refusedOr("writing to "+path, errors.Join(err, f.Close()), "writing to "+path)
}

func hasWord(h *Host, _ string, _ Attempt) (bool, string) {
	b, _ := os.ReadFile(h.file("empty"))
	if string(b) != h.Word() {
		return false, "the host's file is as it was"
	}
	return true, "the host's file has the word in it"
}

// plantSysRq notes when the list of keys for emergencies was printed last.
func plantSysRq(h *Host) (string, error) {
	if _, err := os.Stat("/proc/sysrq-trigger"); err != nil {
		return "", fmt.Errorf("the host's kernel has no keys for emergencies: %w", err)
	}
	last, err := lastHelp()
	if err != nil {
		return "", err
	}
	return "", os.WriteFile(h.file("help"), []byte(last), 0o600)
}

// lastHelp is the line of the kernel's log that has the list, with its time.
func lastHelp() (line string, err error) {
	b := make([]byte, 1<<20)
	n, err := unix.Klogctl(readAll, b)
	if err != nil {
		return "", fmt.Errorf("syslog(2): %w", err)
	}
	for l := range strings.Lines(string(b[:n])) {
		if strings.Contains(l, "sysrq: HELP") {
			line = l
		}
	}
	return line, nil
}
