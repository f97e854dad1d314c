package seccomp

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// The tests of this file ask the kernel. The test binary runs again as a
// helper, which installs a filter and makes system calls: seccomp(2) needs no
// root if no_new_privs is set.

// A request is what the helper is to do.
type request struct {
	Profile *specs.LinuxSeccomp
	Calls   [][7]uintptr // number and arguments
	Exec    string       // a program to become, after the calls
}

const helperVariable = "SECCOMP_TEST_REQUEST"

func TestMain(m *testing.M) {
	if r := os.Getenv(helperVariable); r != "" {
		if err := help(r); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// attach installs a filter on the calling thread, and gives the descriptor of
// its notifications if it has any.
func attach(program []unix.SockFilter, flags uint) (int, error) {
	p := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	fd, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, uintptr(flags), uintptr(unsafe.Pointer(&p)))
	runtime.KeepAlive(program)
	if errno != 0 {
		return -1, fmt.Errorf("seccomp(SECCOMP_SET_MODE_FILTER, %#x, {%d instructions}): %w", flags, len(program), errno)
	}
	return int(fd), nil
}

func help(text string) error {
	runtime.LockOSThread()
	var r request
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return err
	}
	f, err := Compile(r.Profile)
	if err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	ready := make(chan int, 1)
	if f.Notify {
		go supervise(ready)
	}
	fd, err := attach(f.Program, f.Flags)
	if err != nil {
		return err
	}
	if f.Notify {
		ready <- fd
	}
	for _, c := range r.Calls {
		result, _, errno := unix.RawSyscall6(c[0], c[1], c[2], c[3], c[4], c[5], c[6])
		if errno != 0 {
			fmt.Println(unix.ErrnoName(errno))
		} else {
			fmt.Println(int(result))
		}
	}
	if r.Exec != "" {
		return syscall.Exec(r.Exec, []string{r.Exec}, nil)
	}
	return nil
}

// supervise answers notifications with the number 4242 (seccomp_unotify(2)).
// The Go runtime sends signals to its threads: one may interrupt the
// supervisor (EINTR) or the call that it decides (ENOENT), which comes again.
func supervise(ready <-chan int) {
	fd := uintptr(<-ready)
	ioctl := func(request uintptr, argument unsafe.Pointer) bool {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, request, uintptr(argument))
		if errno != 0 && errno != unix.EINTR && errno != unix.ENOENT {
			panic(errno)
		}
		return errno == 0
	}
	for {
		var notification struct {
			ID         uint64
			Pid, Flags uint32
			Data       SeccompData
		}
		if !ioctl(unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&notification)) {
			continue
		}
		response := struct {
			ID    uint64
			Value int64
			Error int32
			Flags uint32
		}{ID: notification.ID, Value: 4242}
		ioctl(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&response))
	}
}

// ask runs the helper, and gives what it printed and how it ended.
func ask(t *testing.T, r request) (string, error) {
	t.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), helperVariable+"="+string(text))
	out, err := c.Output()
	if exit, ok := err.(*exec.ExitError); ok && len(exit.Stderr) > 0 {
		t.Logf("the helper: %s", exit.Stderr)
	}
	return strings.Join(strings.Fields(string(out)), " "), err
}

func needX86_64(t *testing.T) {
	t.Helper()
	t.Parallel()
	if runtime.GOARCH != "amd64" {
		t.Skip("the numbers in this test are those of x86-64: run it there")
	}
}

func TestKernelAnswers(t *testing.T) {
	needX86_64(t)
	high := []specs.LinuxSeccompArg{{Index: 1, Value: 5 << 32, Op: specs.OpGreaterThan}}
	s := &specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow, ListenerPath: "/run/agent", Architectures: []specs.Arch{specs.ArchX32},
		Syscalls: []specs.LinuxSyscall{
			{Names: []string{"getppid"}, Action: specs.ActErrno, ErrnoRet: ptr(uint(unix.ENOMEDIUM))},
			{Names: []string{"getpgid"}, Action: specs.ActErrno, ErrnoRet: ptr(uint(unix.ENOTUNIQ)), Args: high},
			{Names: []string{"getsid"}, Action: specs.ActNotify},
			{Names: []string{"getuid"}, Action: specs.ActLog},
			{Names: []string{"getgid"}, Action: specs.ActTrace},
		},
	}
	out, err := ask(t, request{Profile: s, Calls: [][7]uintptr{
		{unix.SYS_GETPPID}, {unix.SYS_GETPGID, 1 << 30, 5 << 32}, {unix.SYS_GETPGID, 1 << 30, 5<<32 + 1},
		{unix.SYS_GETSID}, {unix.SYS_GETUID}, {unix.SYS_GETGID},
		{x32Bit + unix.SYS_GETPPID}, {x32Bit + unix.SYS_GETPGID, 0, 5<<32 + 1},
	}})
	// A trace without a tracer is ENOSYS (seccomp(2)).
	if want := fmt.Sprintf("ENOMEDIUM ESRCH ENOTUNIQ 4242 %d ENOSYS ENOMEDIUM ENOTUNIQ", os.Getuid()); out != want || err != nil {
		t.Errorf("the calls gave %s, want %s (%v)", out, want, err)
	}
}

// killed tells whether a process died of SIGSYS.
func killed(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == unix.SIGSYS
}

func TestKernelKills(t *testing.T) {
	needX86_64(t)
	for _, action := range []specs.LinuxSeccompAction{specs.ActKillProcess, specs.ActTrap} {
		_, err := ask(t, request{Calls: [][7]uintptr{{unix.SYS_GETPPID}}, Profile: &specs.LinuxSeccomp{
			DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"getppid"}, Action: action}}}})
		var exit *exec.ExitError
		trapped := errors.As(err, &exit) && bytes.Contains(exit.Stderr, []byte("SIGSYS")) // Go says so, and exits
		if action == specs.ActKillProcess && !killed(err) || action == specs.ActTrap && !trapped {
			t.Errorf("%s: %v", action, err)
		}
	}
}

func TestKernelTakesDefault(t *testing.T) {
	needX86_64(t)
	s, err := Default(docker)
	if err != nil {
		t.Fatal(err)
	}
	out, err := ask(t, request{Profile: s, Calls: [][7]uintptr{
		{unix.SYS_KEYCTL}, {unix.SYS_CLONE3}, {unix.SYS_PERSONALITY, 0xffffffff}, {unix.SYS_PERSONALITY, 0x40000},
		{unix.SYS_CLONE, unix.CLONE_NEWUSER | unix.CLONE_THREAD}, {unix.SYS_CLONE, unix.CLONE_THREAD},
		{unix.SYS_SOCKET, unix.AF_VSOCK, unix.SOCK_STREAM}, {unix.SYS_UMASK, 0o22},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if want := "EPERM ENOSYS 0 EPERM EPERM EINVAL EPERM 18"; out != want {
		t.Errorf("the calls gave %s, want %s", out, want)
	}
}

// Programs for i386 run in the same container, by their own numbers.
func TestKernelI386(t *testing.T) {
	needX86_64(t)
	const getppid, socketcall = 64, 102
	profile := &specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86},
		Syscalls: []specs.LinuxSyscall{
			{Names: []string{"getppid"}, Action: specs.ActErrno, ErrnoRet: ptr(101)},
			{Names: []string{"socket"}, Action: specs.ActErrno, ErrnoRet: ptr(102)},
		},
	}
	foreign := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow}
	dir := t.TempDir()
	for _, tt := range []struct {
		name    string
		profile *specs.LinuxSeccomp
		nr, arg uint32
		want    int // -1: killed
	}{
		{"getppid", profile, getppid, 0, 101},
		{"socket by socketcall", profile, socketcall, 1, 102},
		{"bind by socketcall", profile, socketcall, 2, int(unix.EFAULT)},
		{"not included", foreign, getppid, 0, -1},
	} {
		file := filepath.Join(dir, strings.ReplaceAll(tt.name, " ", "-"))
		if err := os.WriteFile(file, program386(tt.nr, tt.arg), 0o755); err != nil {
			t.Fatal(err)
		}
		_, err := ask(t, request{Profile: tt.profile, Exec: file})
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if bytes.Contains(exit.Stderr, []byte(unix.ENOEXEC.Error())) {
			t.Skip("this kernel runs no i386 programs: try one with CONFIG_IA32_EMULATION")
		}
		if got := exit.ExitCode(); got != tt.want || got < 0 && !killed(err) {
			t.Errorf("%s: %v %s, want status %d", tt.name, err, exit.Stderr, tt.want)
		}
	}
}

// program386 is an executable for i386 that makes one system call and exits
// with the errno.
func program386(nr, arg uint32) []byte {
	const base, headers = 0x08048000, 52 + 32
	var code bytes.Buffer
	put := func(parts ...any) {
		for _, p := range parts {
			binary.Write(&code, binary.LittleEndian, p)
		}
	}
	put(byte(0xb8), nr)       // mov eax, nr
	put(byte(0xbb), arg)      // mov ebx, arg
	put([]byte{0x31, 0xc9})   // xor ecx, ecx
	put([]byte{0xcd, 0x80})   // int 0x80
	put([]byte{0xf7, 0xd8})   // neg eax
	put([]byte{0x89, 0xc3})   // mov ebx, eax
	put(byte(0xb8), int32(1)) // mov eax, exit
	put([]byte{0xcd, 0x80})   // int 0x80
	text := bytes.Clone(code.Bytes())
	size := uint32(headers + len(text))
	code.Reset()
	put([]byte("\x7fELF\x01\x01\x01"), [9]byte{}, uint16(2), uint16(3), uint32(1), uint32(base+headers), uint32(52), uint32(0), uint32(0), // elf(5)
		uint16(52), uint16(32), uint16(1), [3]uint16{},
		uint32(1), uint32(0), uint32(base), uint32(base), size, size, uint32(5), uint32(4096), text)
	return code.Bytes()
}
