// Probe runs inside the containers of the tests. Each of its arguments is an
// operation; it prints what came of it as a line of JSON.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// result is what the tests read.
type result struct {
	Op  string
	Out string
	Err string // the errno's name, if there is one
}

func main() {
	for _, op := range os.Args[1:] {
		f := strings.Fields(op)
		r := result{Op: op}
		out, err := do(f[0], f[1:])
		r.Out = out
		if err != nil {
			r.Err = err.Error()
			var e syscall.Errno
			if errors.As(err, &e) {
				r.Err = unix.ErrnoName(e)
			}
		}
		if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
			os.Exit(3)
		}
	}
}

func do(verb string, args []string) (string, error) {
	number := func(i int) int {
		n, err := strconv.Atoi(args[i])
		if err != nil {
			panic(err)
		}
		return n
	}
	switch verb {
	case "who":
		host, _ := os.Hostname()
		cwd, err := os.Getwd()
		groups, _ := os.Getgroups()
		mask := syscall.Umask(0)
		return fmt.Sprintf("pid=%d uid=%d gid=%d groups=%v host=%s cwd=%s umask=%#o sid=%d", os.Getpid(), os.Getuid(), os.Getgid(), groups, host, cwd, mask, sid()), err
	case "env":
		return strings.Join(os.Environ(), "\n"), nil
	case "cat":
		b, err := os.ReadFile(args[0])
		return string(b), err
	case "ls":
		entries, err := os.ReadDir(args[0])
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		slices.Sort(names)
		return strings.Join(names, " "), err
	case "stat":
		var st unix.Stat_t
		err := unix.Lstat(args[0], &st)
		return fmt.Sprintf("%o %d:%d owner %d:%d", st.Mode, unix.Major(st.Rdev), unix.Minor(st.Rdev), st.Uid, st.Gid), err
	case "readlink":
		return os.Readlink(args[0])
	case "write": // into a file that may be there
		f, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE, 0o644)
		if err != nil {
			return "", err
		}
		defer f.Close()
		_, err = f.WriteString(args[1])
		return "", err
	case "rm":
		return "", os.Remove(args[0])
	case "mkdir":
		return "", os.Mkdir(args[0], 0o777)
	case "chmod":
		mode, err := strconv.ParseUint(args[1], 8, 32)
		if err != nil {
			return "", err
		}
		return "", os.Chmod(args[0], os.FileMode(mode))
	case "chown":
		return "", os.Lchown(args[0], number(1), number(1))
	case "mknod":
		return "", unix.Mknod(args[0], unix.S_IFCHR|0o600, int(unix.Mkdev(uint32(number(1)), uint32(number(2)))))
	case "open":
		f, err := os.OpenFile(args[0], os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
		if err == nil {
			err = f.Close()
		}
		return "", err
	case "read": // n bytes
		f, err := os.Open(args[0])
		if err != nil {
			return "", err
		}
		defer f.Close()
		b := make([]byte, number(1))
		n, err := io.ReadFull(f, b)
		return fmt.Sprintf("%x", b[:n]), err
	case "mount":
		return "", unix.Mount("tmpfs", args[0], "tmpfs", 0, "")
	case "settime":
		return "", unix.Settimeofday(&unix.Timeval{Sec: 1})
	case "fds":
		return descriptors()
	case "loopback":
		return loopback()
	case "interfaces":
		return interfaces()
	case "serve": // tells one client who it is
		return "", serve(args[0])
	case "dial": // and read all
		c, err := net.Dial("tcp", args[0])
		if err != nil {
			return "", err
		}
		b, err := io.ReadAll(c)
		return string(b), err
	case "allocate": // MiB, and touch them
		b := make([]byte, number(0)<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		return strconv.Itoa(int(b[len(b)/2])), nil
	case "fork": // up to n children that wait
		return fork(number(0))
	case "copyto": // standard input, into a file
		f, err := os.Create(args[0])
		if err != nil {
			return "", err
		}
		_, err = io.Copy(f, os.Stdin)
		return "", err
	case "copyfile":
		b, err := os.ReadFile(args[0])
		if err != nil {
			return "", err
		}
		return "", os.WriteFile(args[1], b, 0o644)
	case "orphans": // n processes whose parent has ended before them
		for range number(0) {
			cmd := exec.Command("/probe", "orphan")
			if err := cmd.Run(); err != nil {
				return "", err
			}
		}
		return "", nil
	case "orphan": // leaves a child behind, which ends soon after
		return "", exec.Command("/probe", "sleep 20").Start()
	case "sleep": // milliseconds
		time.Sleep(time.Duration(number(0)) * time.Millisecond)
		return "", nil
	case "children": // of that process, once there are no more than one
		return children(number(0))
	case "pause":
		fmt.Println("ready")
		unix.Pause()
	case "spy": // says what the other processes execute, each once
		fmt.Println("ready")
		for seen := map[string]bool{"": true}; ; {
			entries, _ := os.ReadDir("/proc")
			for _, e := range entries {
				if exe, _ := os.Readlink("/proc/" + e.Name() + "/exe"); !seen[exe] && e.Name() != "1" && e.Name() != "self" && e.Name() != "thread-self" {
					seen[exe] = true
					fmt.Println(exe)
				}
			}
		}
	case "term": // ends with a status of its own on SIGTERM
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGTERM)
		fmt.Println("ready")
		<-c
		os.Exit(7)
	case "exit":
		os.Exit(number(0))
	case "raise": // as if it came from the kernel: PID 1 cannot send it to itself
		unix.Kill(os.Getpid(), syscall.Signal(number(0)))
		*(*int)(nil) = 0
	case "window": // waits until the terminal has so many rows and columns
		return window(fmt.Sprint(number(0), " ", number(1)))
	case "copy":
		fmt.Fprintln(os.Stderr, "to standard error")
		_, err := io.Copy(os.Stdout, os.Stdin)
		return "", err
	}
	return "", errors.New("unknown operation")
}

func window(want string) (string, error) {
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		ws, err := unix.IoctlGetWinsize(0, unix.TIOCGWINSZ)
		if err != nil {
			return "", err
		}
		if is := fmt.Sprint(ws.Row, " ", ws.Col); is == want || time.Now().After(end) {
			return is, nil
		}
	}
}

func sid() int {
	id, _ := unix.Getsid(0)
	return id
}

// descriptors are the open ones but those of Go's runtime, which polls, and
// watches its CPU limit.
func descriptors() (string, error) {
	entries, err := os.ReadDir("/proc/self/fd")
	var fds []string
	for _, e := range entries {
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil || strings.HasPrefix(to, "anon_inode:[event") || strings.HasPrefix(to, "/sys/fs/cgroup/") || strings.HasSuffix(to, "/fd") { // epoll, and the folder itself
			continue
		}
		fds = append(fds, e.Name())
	}
	return strings.Join(fds, " "), err
}

func loopback() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	go func() {
		if c, err := l.Accept(); err == nil {
			io.WriteString(c, "hello")
			c.Close()
		}
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(c)
	return string(b), err
}

func interfaces() (string, error) {
	list, err := net.Interfaces()
	var all []string
	for _, i := range list {
		addresses, _ := i.Addrs()
		all = append(all, fmt.Sprint(i.Name, " ", i.Flags&net.FlagUp != 0, " ", i.HardwareAddr, addresses))
	}
	return strings.Join(all, "; "), err
}

func serve(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	defer l.Close()
	fmt.Println("ready")
	c, err := l.Accept()
	if err != nil {
		return err
	}
	io.WriteString(c, c.RemoteAddr().String())
	return c.Close()
}

func children(pid int) (string, error) {
	n := 0
	for range 500 {
		n = 0
		stats, err := filepath.Glob("/proc/[0-9]*/stat")
		if err != nil {
			return "", err
		}
		for _, name := range stats {
			b, _ := os.ReadFile(name) // it may have ended
			if _, after, ok := strings.Cut(string(b), ") "); ok && strings.Fields(after)[1] == strconv.Itoa(pid) {
				n++
			}
		}
		if n <= 1 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return strconv.Itoa(n), nil
}

func fork(n int) (string, error) {
	var last error
	started := 0
	for range n {
		cmd := exec.Command("/probe", "pause")
		if last = cmd.Start(); last != nil {
			break
		}
		started++
		defer cmd.Process.Kill()
	}
	return strconv.Itoa(started), last
}
