package main

import (
	"bufio"
	"bytes"
	"context"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vmctr/report/result/identity"
)

var temp string // of the program that all tests share

func TestMain(m *testing.M) {
	var err error
	if temp, err = os.MkdirTemp("", "workload-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(temp)
	os.Exit(code)
}

// built are the programs as scripts/build makes them, by architecture: each is
// tested as a whole, entry point and all.
var built = map[string]func() (string, error){"amd64": build("amd64"), "arm64": build("arm64")}

func build(arch string) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		file := filepath.Join(temp, "workload-"+arch)
		cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -E _bench_entry", "-o", file, ".")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+arch)
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("go build: %w\n%s", err, out)
		}
		return file, nil
	})
}

func program(t *testing.T) string {
	t.Helper()
	return programFor(t, runtime.GOARCH)
}

func programFor(t *testing.T, arch string) string {
	t.Helper()
	if built[arch] == nil {
		t.Skipf("the entry point is not written for %s yet", arch)
	}
	file, err := built[arch]()
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// command is the program, which is killed if the test hangs.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return exec.CommandContext(ctx, program(t), args...)
}

// running is a workload that runs.
type running struct {
	cmd    *exec.Cmd
	out    *bufio.Reader
	stderr bytes.Buffer
	id     identity.Identity
}

// start runs the program in a folder and reads what it says first.
func start(t *testing.T, dir string, args ...string) *running {
	t.Helper()
	r := &running{cmd: command(t, args...)}
	r.cmd.Dir, r.cmd.Stderr = dir, &r.stderr
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.out = bufio.NewReader(out)
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.cmd.Process.Kill(); r.cmd.Wait() })
	if got := r.line(t); got != "first-instruction" {
		t.Fatalf("its first line is %q", got)
	}
	d := json.NewDecoder(strings.NewReader(r.line(t)))
	d.DisallowUnknownFields()
	if err := d.Decode(&r.id); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *running) line(t *testing.T) string {
	t.Helper()
	line, err := r.out.ReadString('\n')
	if err != nil {
		t.Fatalf("after %q: %v", line, err)
	}
	return strings.TrimSuffix(line, "\n")
}

// end waits for the end of the program. It must have printed no more.
func (r *running) end(t *testing.T) *os.ProcessState {
	t.Helper()
	rest, err := io.ReadAll(r.out)
	if err != nil || len(rest) > 0 {
		t.Errorf("it printed %q more, %v", rest, err)
	}
	r.cmd.Wait()
	return r.cmd.ProcessState
}

func TestExit(t *testing.T) {
	r := start(t, t.TempDir(), "exit")
	if s := r.end(t); s.ExitCode() != 0 || r.stderr.Len() > 0 {
		t.Errorf("%v, %q", s, &r.stderr)
	}
}

func TestIdleEnds(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			r := start(t, t.TempDir(), "idle")
			// It has said all by now, and only waits.
			time.Sleep(20 * time.Millisecond)
			if err := r.cmd.Process.Signal(syscall.Signal(0)); err != nil {
				t.Fatalf("it does not idle: %v", err)
			}
			if err := r.cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			if s := r.end(t); s.ExitCode() != 0 || r.stderr.Len() > 0 {
				t.Errorf("%v, %q", s, &r.stderr)
			}
		})
	}
}

// TestRefused: it says what is wrong, after the signal of its first
// instruction, which comes before all else.
func TestRefused(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	const usage = "usage: workload exit | idle | serve ADDRESS\n"
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, "workload: " + usage},
		{[]string{"dance"}, `workload: unknown arguments ["dance"]; ` + usage},
		{[]string{""}, `workload: unknown arguments [""]; ` + usage},
		{[]string{"exit", "1"}, `workload: unknown arguments ["exit" "1"]; ` + usage},
		{[]string{"idle", "long"}, `workload: unknown arguments ["idle" "long"]; ` + usage},
		{[]string{"serve"}, `workload: unknown arguments ["serve"]; ` + usage},
		{[]string{"serve", "no address"}, "workload: listen tcp: address no address: missing port in address\n"},
		{[]string{"serve", taken.Addr().String()}, "workload: listen tcp " + taken.Addr().String() + ": bind: address already in use\n"},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			cmd := command(t, tt.args...)
			out, err := cmd.Output()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 {
				t.Fatalf("it ended with %v", err)
			}
			if got := string(exit.Stderr); got != tt.want {
				t.Errorf("it says %q, want %q", got, tt.want)
			}
			if !bytes.HasPrefix(out, []byte("first-instruction\n")) {
				t.Errorf("it printed %q", out)
			}
		})
	}
}

// TestIdentity holds what the program sees against what this process, on the
// same kernel and in the same namespaces, sees by other means.
func TestIdentity(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "data"), []byte("abc"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, dir, "exit")
	r.end(t)
	got := r.id

	run := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.Command(name, args...).Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	kernel := identity.Kernel{Sysname: run("uname", "-s"), Release: run("uname", "-r"), Version: run("uname", "-v"), Machine: run("uname", "-m")}
	if diff := cmp.Diff(kernel, got.Kernel); diff != "" {
		t.Error(diff)
	}
	bootID, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []struct {
		name      string
		got, want any
	}{
		{"boot ID", got.BootID, strings.TrimSpace(string(bootID))},
		{"hostname", got.Hostname, run("uname", "-n")},
		{"PID", got.PID, r.cmd.Process.Pid},
		{"UID", got.UID, os.Getuid()},
		{"GID", got.GID, os.Getgid()},
		{"CPUs", got.CPUs, runtime.NumCPU()},
		{"arguments", got.Args, []string{program(t), "exit"}},
		{"digest of the data", got.DataSHA256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}, // FIPS 180-2, B.1
		{"root file system", got.RootFS, run("findmnt", "-n", "-o", "FSTYPE", "/")},
	} {
		if diff := cmp.Diff(f.want, f.got); diff != "" {
			t.Errorf("%s: %s", f.name, diff)
		}
	}
	for _, ns := range []string{"pid", "mnt", "net", "uts", "ipc", "user", "cgroup"} {
		link, err := os.Readlink("/proc/self/ns/" + ns)
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("%s:[%d]", ns, got.Namespaces[ns]); link != want {
			t.Errorf("its namespace is %s, this one's is %s", want, link)
		}
	}
	var info syscall.Sysinfo_t
	if err := syscall.Sysinfo(&info); err != nil {
		t.Fatal(err)
	}
	if want := info.Totalram * uint64(info.Unit); got.MemTotal != want {
		t.Errorf("%d bytes of memory, sysinfo(2) says %d", got.MemTotal, want)
	}
	if d := float64(info.Uptime) - got.Uptime; d < -2 || d > 5 {
		t.Errorf("an uptime of %v s, sysinfo(2) says %d", got.Uptime, info.Uptime)
	}
	sameInterfaces(t, dir)
	if got.Processes < 1 || got.Mounts < 1 || got.UIDMap == "" || len(got.Capability) != 16 {
		t.Errorf("processes, mounts, uid_map, CapEff: %d, %d, %q, %q", got.Processes, got.Mounts, got.UIDMap, got.Capability)
	}
	cpuinfo, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Contains(string(cpuinfo), " hypervisor"); got.Hypervisor != want || want == (got.HyperName == "") {
		t.Errorf("hypervisor %v (%q), /proc/cpuinfo says %v", got.Hypervisor, got.HyperName, want)
	}
}

// sameInterfaces: what the program lists is what netlink has. While tests of containers
// run on the same host theirs come and go, so it may look again: a program that lists
// something else does so each time.
func sameInterfaces(t *testing.T, dir string) {
	t.Helper()
	var diff string
	for range 100 {
		interfaces, err := net.Interfaces()
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, i := range interfaces {
			names = append(names, i.Name)
		}
		r := start(t, dir, "exit")
		r.end(t)
		slices.Sort(names)
		slices.Sort(r.id.Interfaces)
		if diff = cmp.Diff(names, r.id.Interfaces); diff == "" {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("interfaces: netlink has -, the program lists +:\n%s", diff)
}

// TestNoData: what is not there stays empty.
func TestNoData(t *testing.T) {
	r := start(t, t.TempDir(), "exit")
	r.end(t)
	if r.id.DataSHA256 != "" {
		t.Errorf("a digest of nothing: %s", r.id.DataSHA256)
	}
}

// TestStatic: the same file runs where there is no other, and starts at our
// entry point, whatever processor it is for.
func TestStatic(t *testing.T) {
	for _, tt := range []struct {
		arch    string
		machine elf.Machine
		code    []byte // the write(2) is the very first
	}{
		{"amd64", elf.EM_X86_64, []byte{0xb8, 1, 0, 0, 0, 0xbf, 1, 0, 0, 0}}, // MOVL $1, AX; MOVL $1, DI
		{"arm64", elf.EM_AARCH64, []byte{0xe8, 0x03, 0x7a, 0xb2}},            // MOVD $64, R8, as ORR
	} {
		t.Run(tt.arch, func(t *testing.T) {
			f, err := elf.Open(programFor(t, tt.arch))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if f.Type != elf.ET_EXEC || f.Machine != tt.machine {
				t.Errorf("its type is %v, its machine %v", f.Type, f.Machine)
			}
			for _, p := range f.Progs {
				if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
					t.Errorf("it has a segment %v", p.Type)
				}
			}
			if libs, err := f.ImportedLibraries(); len(libs) > 0 {
				t.Errorf("it needs %v, %v", libs, err)
			}
			code := make([]byte, len(tt.code))
			text := f.Section(".text")
			if text == nil {
				t.Fatal("it has no .text")
			}
			if _, err := text.ReadAt(code, int64(f.Entry-text.Addr)); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(code, tt.code) {
				t.Errorf("it starts with % x, want % x", code, tt.code)
			}
		})
	}
}

// TestEmulated runs the program for the other architecture under an emulator
// of its processor: the first line is there, and Go's runtime starts after it.
func TestEmulated(t *testing.T) {
	emulator := ""
	for _, name := range []string{"qemu-aarch64-static", "qemu-aarch64"} {
		if path, err := exec.LookPath(name); err == nil {
			emulator = path
		}
	}
	if emulator == "" {
		if slices.Contains(strings.Split(os.Getenv("BENCH_REQUIRE"), ","), "qemu-user") {
			t.Fatal("BENCH_REQUIRE has qemu-user, and there is no qemu-aarch64-static")
		}
		t.Skip("no emulator for arm64 programs; try: apt-get install qemu-user-static")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, emulator, programFor(t, "arm64"), "exit")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	first, rest, _ := strings.Cut(string(out), "\n")
	var id identity.Identity
	if err := json.Unmarshal([]byte(rest), &id); first != "first-instruction" || err != nil || id.Kernel.Machine != "aarch64" {
		t.Errorf("it printed %q (%v)", out, err)
	}
}

// TestNoOutput: a workload that cannot say who it is ends, and says why.
func TestNoOutput(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0) // full(4)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	var stderr bytes.Buffer
	cmd := command(t, "idle")
	cmd.Stdout, cmd.Stderr = full, &stderr
	err = cmd.Run()
	if cmd.ProcessState.ExitCode() != 1 || stderr.String() != "workload: write /dev/stdout: no space left on device\n" {
		t.Errorf("%v: %s", err, &stderr)
	}
}
