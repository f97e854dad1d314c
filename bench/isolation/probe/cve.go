package probe

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/bench/isolation/errno"
)

// What known holes of runtimes and kernels have relied on, in a form that breaks nothing: the
// way that an exploit takes is gone as far as the hole, and not into it.
var cve = []Probe{
	{
		Name:    "cve-2019-5736",
		Plant:   plantProgram,
		Attempt: overwriteProgram,
		Reached: func(_ *Host, canary string, _ Attempt) (bool, string) {
			_, path, _ := strings.Cut(canary, " ")
			b, err := os.ReadFile(path)
			if err != nil {
				return false, ""
			}
			if strings.HasSuffix(string(b), overwritten) {
				return true, "the host's program has been changed"
			}
			return false, "the host's program is as it was"
		},
	},
	{
		Name:    "cve-2024-21626",
		Plant:   (*Host).secret,
		Attempt: throughDescriptors,
	},
	{
		Name: "cve-2016-9962",
		Plant: func(h *Host) (string, error) {
			path, err := h.secret()
			if err != nil {
				return "", err
			}
			f, err := os.Open(path)
			if err != nil {
				return "", err
			}
			h.Later(f.Close)
			return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd()), os.Remove(path)
		},
		Attempt: canariesIn,
	},
	{
		Name:    "cve-2022-0492",
		Plant:   func(h *Host) (string, error) { return "bench-probe-" + h.hex() + " /nowhere/" + h.Word(), hasCgroup1() },
		Attempt: setReleaseAgent,
		Reached: releaseAgentSet,
	},
	{
		Name:    "cve-2020-15257",
		Plant:   plantShim,
		Attempt: askShims,
	},
	{
		Name:    "cve-2022-0185",
		Plant:   needs("user namespaces", "/proc/self/ns/user"),
		Attempt: func(string) Attempt { return asOwnRoot("cve-2022-0185") },
		Reached: byHostKernel,
	},
	{
		Name: "cve-2024-1086",
		Plant: func(*Host) (string, error) {
			if err := nftTable(unix.NFT_MSG_GETTABLE, "bench_none"); err != unix.ENOENT {
				return "", fmt.Errorf("the host's kernel has no nf_tables: looking for a table: %w", err)
			}
			return "", nil
		},
		Attempt: func(string) Attempt { return asOwnRoot("cve-2024-1086") },
		Reached: byHostKernel,
	},
	{
		Name:    "cve-2020-14386",
		Plant:   needs("user namespaces", "/proc/self/ns/user"),
		Attempt: func(string) Attempt { return asOwnRoot("cve-2020-14386") },
		Reached: byHostKernel,
	},
	{
		Name:    "cve-2023-0386",
		Plant:   func(*Host) (string, error) { return "", hasFilesystem("overlay") },
		Attempt: func(string) Attempt { return asOwnRoot("cve-2023-0386") },
		Reached: byHostKernel,
	},
	{
		Name:  "cve-2016-0728",
		Plant: needs("keyrings", "/proc/keys"),
		Attempt: func(string) Attempt {
			// Of this thread alone, which ends.
			if _, err := unix.KeyctlJoinSessionKeyring("bench-probe"); err != nil {
				return refused("keyctl(2), KEYCTL_JOIN_SESSION_KEYRING", err)
			}
			return served("keyctl(2), KEYCTL_JOIN_SESSION_KEYRING")
		},
		Reached: byHostKernel,
	},
}

// overwritten is what an attempt puts at the end of a program.
const overwritten = "overwritten"

// plantProgram starts a process of the host's from a program of its own.
func plantProgram(h *Host) (string, error) {
	b, err := os.ReadFile(h.Program)
	if err != nil {
		return "", err
	}
	path := h.file("program")
	if err := os.WriteFile(path, b, 0o755); err != nil {
		return "", err
	}
	usual := h.Program
	h.Program = path
	defer func() { h.Program = usual }()
	pid, err := h.process(h.Word())
	return fmt.Sprintf("%d %s", pid, path), err
}

// overwriteProgram gets hold of the program of a process by /proc/PID/exe, waits for its end,
// which here it brings about, and opens it again for writing. The victim of the CVE was the
// runtime, when it came in to start a second process.
func overwriteProgram(canary string) Attempt {
	pid, path, _ := strings.Cut(canary, " ")
	exe, err := unix.Open("/proc/"+pid+"/exe", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return refused("opening /proc/"+pid+"/exe", err)
	}
	defer unix.Close(exe)
	// A process of this PID that is not the canary is none of its business.
	link := fmt.Sprintf("/proc/self/fd/%d", exe)
	if to, err := os.Readlink(link); err != nil || filepath.Base(to) != filepath.Base(path) {
		return Attempt{Saw: "another program"}
	}
	n, _ := strconv.Atoi(pid)
	unix.Kill(n, unix.SIGKILL)
	for range 50 {
		var f *os.File
		if f, err = os.OpenFile(link, os.O_WRONLY|os.O_APPEND, 0); err == nil {
			defer f.Close()
			if _, err := f.WriteString(overwritten); err != nil {
				return refused("writing to the program", err)
			}
			return did("writing to the program", "")
		}
		if !errors.Is(err, unix.ETXTBSY) {
			break
		}
		time.Sleep(3 * time.Millisecond) // until it has ended
	}
	return refused("opening the program for writing", err)
}

// throughDescriptors looks for a file of the host's from each folder that this process or the
// first one here has open, or is in: a runtime may have left them one that lies outside.
func throughDescriptors(path string) Attempt {
	from := []string{"/proc/thread-self/cwd", "/proc/1/cwd"}
	for _, pid := range []string{"self", "1"} {
		open, _ := filepath.Glob("/proc/" + pid + "/fd/*")
		from = append(from, open...)
	}
	tried := 0
	for _, link := range from {
		fd, err := unix.Open(link, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		tried++
		file, err := unix.Openat(fd, strings.Repeat("../", 32)+strings.TrimPrefix(path, "/"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		unix.Close(fd)
		if err != nil {
			continue
		}
		word := canaryOf(file)
		unix.Close(file)
		if word != "" {
			return did("openat(2) from "+link, word)
		}
	}
	return Attempt{Call: fmt.Sprintf("openat(2) from %d folders that are open", tried), Errno: "ENOENT"}
}

// setReleaseAgent makes a hierarchy of control groups (cgroups(7), v1), and names the program
// that the kernel is to start, as root of the host, when a group in it becomes empty. No group
// does, since nobody was ever in one.
func setReleaseAgent(canary string) Attempt {
	name, agent, _ := strings.Cut(canary, " ")
	return fresh("cgroup", "none,name="+name, func(dir string) Attempt {
		if err := writeKnob(dir+"/release_agent", agent); err != nil {
			return refused("writing to release_agent", err)
		}
		// It keeps the hierarchy until the host has seen it.
		if err := os.Mkdir(dir+"/kept", 0o755); err != nil {
			return refused("making a control group", err)
		}
		return did("writing to release_agent", "")
	})
}

func releaseAgentSet(h *Host, canary string, _ Attempt) (bool, string) {
	name, agent, _ := strings.Cut(canary, " ")
	// This makes the hierarchy, if there is none; and then it goes again.
	dir, err := h.view("cgroup", "none", "name="+name)
	if err != nil {
		return false, ""
	}
	unix.Rmdir(dir + "/kept")
	b, _ := os.ReadFile(dir + "/release_agent")
	return found(strings.TrimSpace(string(b)) == agent, "the host has", "the program in release_agent")
}

func hasCgroup1() error { return hasFilesystem("cgroup") }

func hasFilesystem(name string) error {
	b, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 0 && f[len(f)-1] == name {
			return nil
		}
	}
	return fmt.Errorf("the host's kernel has no file system %s", name)
}

const shimPrefix = "@bench-probe-shim-"

// plantShim opens an abstract socket that answers root alone, as containerd's shim had one.
func plantShim(h *Host) (string, error) {
	l, err := net.Listen("unix", shimPrefix+h.hex())
	if err != nil {
		return "", err
	}
	h.Later(l.Close)
	word := h.Word()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if peer(c) == 0 {
				c.SetDeadline(time.Now().Add(time.Second))
				c.Write([]byte(word))
			}
			c.Close()
		}
	}()
	return "", nil
}

// peer is the user who has connected, as the host sees him.
func peer(c net.Conn) (uid int) {
	uid = -1
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return uid
	}
	raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			uid = int(cred.Uid)
		}
	})
	return uid
}

// askShims looks for such sockets in the kernel's table, and asks them.
func askShims(string) Attempt {
	b, err := os.ReadFile("/proc/thread-self/net/unix")
	if err != nil {
		return refused("reading /proc/net/unix", err)
	}
	a := did("reading /proc/net/unix", "")
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 8 || !strings.HasPrefix(f[7], shimPrefix) {
			continue
		}
		c, err := net.DialTimeout("unix", f[7], answerWithin)
		if err != nil {
			a = refused("connect(2) to a socket in /proc/net/unix", err)
			continue
		}
		c.SetDeadline(time.Now().Add(answerWithin))
		said := make([]byte, 64)
		n, _ := c.Read(said)
		c.Close()
		if n > 0 {
			return did("connect(2) to a socket in /proc/net/unix", string(said[:n]))
		}
		a = did("connect(2) to a socket in /proc/net/unix, which did not answer,", "")
	}
	return a
}

// configureFilesystem hands the kernel a parameter for a file system that is never made: the
// hole was in how the kernel counted the length of such.
func configureFilesystem(string) Attempt {
	fs, err := unix.Fsopen("cgroup2", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return refused("fsopen(2)", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigSetString(fs, "source", "none"); err != nil {
		return refused("fsconfig(2)", err)
	}
	return served("fsconfig(2) as root of a user namespace of its own")
}

// ownFirewall makes a table of a firewall in a network of its own.
func ownFirewall(string) Attempt {
	if err := nftTable(unix.NFT_MSG_NEWTABLE, "bench_probe"); err != nil {
		return refused("netlink(7), NFT_MSG_NEWTABLE", err)
	}
	return served("netlink(7), NFT_MSG_NEWTABLE as root of a user namespace of its own")
}

// packetRing makes a ring for packets, in which two holes were.
func packetRing(string) Attempt {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return refused("socket(2), AF_PACKET", err)
	}
	defer unix.Close(fd)
	size := uint32(os.Getpagesize())
	if err := unix.SetsockoptTpacketReq(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &unix.TpacketReq{Block_size: size, Block_nr: 1, Frame_size: size, Frame_nr: 1}); err != nil {
		return refused("setsockopt(2), PACKET_RX_RING", err)
	}
	return served("setsockopt(2), PACKET_RX_RING as root of a user namespace of its own")
}

// ownOverlay mounts a file system that joins two others, in a mount namespace of its own.
func ownOverlay(string) Attempt {
	dir, err := scratch()
	if err != nil {
		return Attempt{Call: "making a folder to mount on", Errno: errno.Name(err)}
	}
	defer os.Remove(dir)
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=64k"); err != nil {
		return refused("mount(2) of tmpfs", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	for _, name := range []string{"lower", "upper", "work", "joined"} {
		if err := os.Mkdir(dir+"/"+name, 0o755); err != nil {
			return refused("mkdir(2)", err)
		}
	}
	options := fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work,userxattr", dir)
	if err := unix.Mount("none", dir+"/joined", "overlay", 0, options); err != nil {
		return refused("mount(2) of overlay", err)
	}
	return served("mount(2) of overlay as root of a user namespace of its own")
}
