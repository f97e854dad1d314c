package seccomp

import (
	"flag"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "write golden files")

func ptr(n uint) *uint { return &n }

// small is a profile with one of each: ranges, an exception, arguments.
func small() *specs.LinuxSeccomp {
	return &specs.LinuxSeccomp{
		DefaultAction: specs.ActErrno,
		Syscalls: []specs.LinuxSyscall{
			{Names: []string{"read", "write", "close", "fstat", "brk", "exit_group"}, Action: specs.ActAllow},
			{Names: []string{"personality"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Index: 0, Value: 0xffffffff, Op: specs.OpEqualTo}}},
			{Names: []string{"clone"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Index: 0, Value: unix.CLONE_NEWUSER, ValueTwo: 0, Op: specs.OpMaskedEqual}}},
			{Names: []string{"ptrace"}, Action: specs.ActKillProcess},
		},
	}
}

// The program of a small profile, as people read it.
func TestGolden(t *testing.T) {
	f, err := compile(small(), hosts["amd64"])
	if err != nil {
		t.Fatal(err)
	}
	const file = "testdata/small.golden"
	if *update {
		if err := os.WriteFile(file, []byte(f.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), f.String()); diff != "" {
		t.Errorf("go test -update writes the file (-want +got):\n%s", diff)
	}
}

// How rules for one system call meet.
func TestPrecedence(t *testing.T) {
	getpid := func(args ...specs.LinuxSeccompArg) func(specs.LinuxSeccompAction, *uint) specs.LinuxSyscall {
		return func(a specs.LinuxSeccompAction, errno *uint) specs.LinuxSyscall {
			return specs.LinuxSyscall{Names: []string{"getpid"}, Action: a, ErrnoRet: errno, Args: args}
		}
	}
	arg := func(index uint, op specs.LinuxSeccompOperator, value uint64) specs.LinuxSeccompArg {
		return specs.LinuxSeccompArg{Index: index, Op: op, Value: value}
	}
	always, one := getpid(), getpid(arg(0, specs.OpEqualTo, 1))
	tests := []struct {
		name  string
		rules []specs.LinuxSyscall
		want  map[[2]uint64]string // by the first two arguments
	}{
		{"the first without conditions decides", []specs.LinuxSyscall{always(specs.ActLog, nil), always(specs.ActTrap, nil)},
			map[[2]uint64]string{{1, 0}: "LOG"}},
		{"one without conditions decides wherever it stands", []specs.LinuxSyscall{one(specs.ActTrap, nil), always(specs.ActLog, nil)},
			map[[2]uint64]string{{1, 0}: "LOG", {2, 0}: "LOG"}},
		{"of those with conditions the first that holds", []specs.LinuxSyscall{one(specs.ActTrap, nil), getpid(arg(0, specs.OpLessThan, 3))(specs.ActErrno, ptr(7))},
			map[[2]uint64]string{{0, 0}: "ERRNO(E2BIG)", {1, 0}: "TRAP", {2, 0}: "ERRNO(E2BIG)", {3, 0}: "ALLOW", {1 << 32, 0}: "ALLOW"}},
		{"the default action is no rule", []specs.LinuxSyscall{always(specs.ActAllow, nil), always(specs.ActTrap, nil)},
			map[[2]uint64]string{{0, 0}: "TRAP"}},
		{"all conditions", []specs.LinuxSyscall{getpid(arg(0, specs.OpEqualTo, 1), arg(1, specs.OpGreaterThan, 1<<32))(specs.ActTrap, nil)},
			map[[2]uint64]string{{1, 1 << 32}: "ALLOW", {1, 1<<32 + 1}: "TRAP", {2, 1 << 33}: "ALLOW", {1, 2}: "ALLOW"}},
		{"masks", []specs.LinuxSyscall{
			getpid(specs.LinuxSeccompArg{Op: specs.OpMaskedEqual, Value: 7, ValueTwo: 8})(specs.ActTrap, nil), // 8 is not in the mask
			getpid(specs.LinuxSeccompArg{Op: specs.OpMaskedEqual, Value: 7, ValueTwo: 1})(specs.ActTrap, nil)},
			map[[2]uint64]string{{0, 0}: "TRAP", {9, 0}: "TRAP", {2, 0}: "ALLOW", {3, 0}: "ALLOW", {1<<32 | 8, 0}: "TRAP"}},
		{"two conditions on one argument are two rules", []specs.LinuxSyscall{getpid(arg(0, specs.OpEqualTo, 1), arg(0, specs.OpEqualTo, 2), arg(1, specs.OpEqualTo, 9))(specs.ActTrap, nil)},
			map[[2]uint64]string{{1, 0}: "TRAP", {2, 0}: "TRAP", {3, 9}: "TRAP", {3, 0}: "ALLOW"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := compile(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: tt.rules}, hosts["amd64"])
			if err != nil {
				t.Fatal(err)
			}
			for args, want := range tt.want {
				d := SeccompData{Nr: 39, Arch: unix.AUDIT_ARCH_X86_64, Args: [6]uint64{args[0], args[1]}}
				if got := answerText(f.Run(d)); got != want {
					t.Errorf("getpid(%d, %d): %s, want %s\n%s", args[0], args[1], got, want, f)
				}
			}
		})
	}
}

// What i386 programs reach through socketcall(2) and ipc(2).
func TestMultiplexed(t *testing.T) {
	const socketcall, ipc = 102, 117
	socket := specs.LinuxSyscall{Names: []string{"socket", "semop"}, Action: specs.ActErrno, ErrnoRet: ptr(7)}
	s := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86}, Syscalls: []specs.LinuxSyscall{socket}}
	f, err := compile(s, hosts["amd64"])
	if err != nil {
		t.Fatal(err)
	}
	run := func(nr int32, arg uint64) string {
		return answerText(f.Run(SeccompData{Nr: nr, Arch: unix.AUDIT_ARCH_I386, Args: [6]uint64{arg}}))
	}
	for _, tt := range []struct {
		nr   int32
		arg  uint64
		want string
	}{{socketcall, 1, "ERRNO(E2BIG)"}, {socketcall, 2, "ALLOW"}, {socketcall, 1<<40 | 1, "ERRNO(E2BIG)"}, {ipc, 1, "ERRNO(E2BIG)"}, {ipc, 1<<16 | 1, "ERRNO(E2BIG)"}, {ipc, 4, "ALLOW"}} {
		if got := run(tt.nr, tt.arg); got != tt.want {
			t.Errorf("%d(%#x): %s, want %s", tt.nr, tt.arg, got, tt.want)
		}
	}

	// Who knows send(2) knows socketcall(2), though it has a smaller number than
	// all others of the profile: it is not a call of the future.
	f, err = compile(&specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Architectures: s.Architectures, Syscalls: []specs.LinuxSyscall{
		{Names: []string{"send", "read"}, Action: specs.ActAllow}}}, hosts["amd64"])
	if err != nil {
		t.Fatal(err)
	}
	if got := run(socketcall, 9); got != "ALLOW" {
		t.Errorf("socketcall(SYS_SEND): %s, want ALLOW", got)
	}
	if got := run(socketcall, 10); got != "ERRNO(EPERM)" {
		t.Errorf("socketcall(SYS_RECV): %s, want ERRNO(EPERM)", got)
	}

	// A rule on what the filter cannot see does not allow.
	s.DefaultAction = specs.ActErrno
	s.Syscalls[0] = specs.LinuxSyscall{Names: []string{"socket"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Index: 0, Value: unix.AF_UNIX, Op: specs.OpEqualTo}}}
	if f, err = compile(s, hosts["amd64"]); err != nil {
		t.Fatal(err)
	}
	if got := run(socketcall, 1); got != "ERRNO(EPERM)" {
		t.Errorf("socketcall(SYS_SOCKET): %s, want ERRNO(EPERM)", got)
	}
}

// A system call that the profile's author did not know.
func TestFuture(t *testing.T) {
	for action, want := range map[specs.LinuxSeccompAction]string{
		specs.ActErrno: "ERRNO(ENOSYS)", specs.ActTrap: "ERRNO(ENOSYS)", specs.ActKill: "ERRNO(ENOSYS)", specs.ActKillProcess: "ERRNO(ENOSYS)",
		specs.ActAllow: "ALLOW", specs.ActLog: "LOG", specs.ActTrace: "TRACE(1)", specs.ActNotify: "NOTIFY",
	} {
		s := &specs.LinuxSeccomp{DefaultAction: action, ListenerPath: "/run/agent", Syscalls: []specs.LinuxSyscall{{Names: []string{"futex_waitv"}, Action: action}}}
		f, err := compile(s, hosts["amd64"])
		if err != nil {
			t.Fatal(err)
		}
		d := SeccompData{Nr: 449, Arch: unix.AUDIT_ARCH_X86_64}
		known := answerText(f.Run(d))
		d.Nr++
		if got := answerText(f.Run(d)); got != want || known == "ERRNO(ENOSYS)" {
			t.Errorf("default %s: %s, and %s for one above, want %s", action, known, got, want)
		}
	}
}

func TestFlags(t *testing.T) {
	const tsync, log, spec, wait = "SECCOMP_FILTER_FLAG_TSYNC", specs.LinuxSeccompFlagLog, specs.LinuxSeccompFlagSpecAllow, specs.LinuxSeccompFlagWaitKillableRecv
	for _, tt := range []struct {
		flags  []specs.LinuxSeccompFlag
		notify bool
		want   uint
	}{
		{nil, false, 0},
		{[]specs.LinuxSeccompFlag{tsync}, false, unix.SECCOMP_FILTER_FLAG_TSYNC},
		{[]specs.LinuxSeccompFlag{log, spec}, false, unix.SECCOMP_FILTER_FLAG_LOG | unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW},
		{[]specs.LinuxSeccompFlag{wait}, false, 0},
		{[]specs.LinuxSeccompFlag{wait}, true, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV},
		{[]specs.LinuxSeccompFlag{tsync}, true, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_TSYNC | unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH},
	} {
		s := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: tt.flags}
		if tt.notify {
			s.ListenerPath = "/run/agent"
			s.Syscalls = []specs.LinuxSyscall{{Names: []string{"mount"}, Action: specs.ActNotify}}
		}
		f, err := compile(s, hosts["amd64"])
		if err != nil {
			t.Fatal(err)
		}
		if f.Flags != tt.want || f.Notify != tt.notify {
			t.Errorf("%v: flags %#x, notify %v, want %#x, %v", tt.flags, f.Flags, f.Notify, tt.want, tt.notify)
		}
	}
}

func TestUnknownNames(t *testing.T) {
	f, err := compile(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{
		{Names: []string{"mount", "set_tls", "swapcontext", "reed"}, Action: specs.ActTrap}}}, hosts["amd64"])
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"swapcontext", "reed"}; !slices.Equal(f.Unknown, want) {
		t.Errorf("unknown names are %v, want %v", f.Unknown, want)
	}
}

func TestErrors(t *testing.T) {
	tests := []struct {
		change func(*specs.LinuxSeccomp)
		want   string
	}{
		{func(s *specs.LinuxSeccomp) { s.DefaultAction = "" }, `linux.seccomp.defaultAction is missing`},
		{func(s *specs.LinuxSeccomp) { s.DefaultAction = "SCMP_ACT_XX" }, `linux.seccomp.defaultAction: "SCMP_ACT_XX" is unknown`},
		{func(s *specs.LinuxSeccomp) { s.DefaultErrnoRet = ptr(1) }, `linux.seccomp.defaultErrnoRet: SCMP_ACT_ALLOW takes no errno`},
		{func(s *specs.LinuxSeccomp) { s.DefaultAction, s.DefaultErrnoRet = specs.ActErrno, ptr(4096) }, `linux.seccomp.defaultErrnoRet: 4096 is above 4095`},
		{func(s *specs.LinuxSeccomp) { s.Architectures = []specs.Arch{"SCMP_ARCH_X86", "X86"} }, `linux.seccomp.architectures[1]: "X86" is unknown`},
		{func(s *specs.LinuxSeccomp) { s.Flags = []specs.LinuxSeccompFlag{"FAST"} }, `linux.seccomp.flags[0]: "FAST" is unknown`},
		{func(s *specs.LinuxSeccomp) { s.ListenerMetadata = "x" }, `linux.seccomp.listenerMetadata is set and listenerPath is not`},
		{func(s *specs.LinuxSeccomp) { s.Syscalls[1].Action = specs.ActNotify }, `linux.seccomp.listenerPath is missing: SCMP_ACT_NOTIFY needs a socket to send the descriptor to`},
		{func(s *specs.LinuxSeccomp) {
			s.Syscalls[1].Action, s.ListenerPath = specs.ActNotify, strings.Repeat("x", 108)
		}, `linux.seccomp.listenerPath: longer than the 107 bytes of a socket's address (unix(7))`},
		{func(s *specs.LinuxSeccomp) { s.Syscalls[1].Action, s.ListenerPath = specs.ActNotify, "a\x00" }, `linux.seccomp.listenerPath: "a\x00" holds a NUL`},
		{func(s *specs.LinuxSeccomp) { s.Syscalls[1].Names = nil }, `linux.seccomp.syscalls[1].names is empty`},
		{func(s *specs.LinuxSeccomp) { s.Syscalls[1].Names[0] = "" }, `linux.seccomp.syscalls[1].names[0] is empty`},
		{func(s *specs.LinuxSeccomp) { s.Syscalls[1].Action = "" }, `linux.seccomp.syscalls[1].action is missing`},
		{func(s *specs.LinuxSeccomp) { s.Syscalls[1].Action = "KILL" }, `linux.seccomp.syscalls[1].action: "KILL" is unknown`},
		{func(s *specs.LinuxSeccomp) { s.Syscalls[0].ErrnoRet = ptr(1) }, `linux.seccomp.syscalls[0].errnoRet: SCMP_ACT_TRAP takes no errno`},
		{func(s *specs.LinuxSeccomp) { s.Syscalls[1].ErrnoRet = ptr(65536) }, `linux.seccomp.syscalls[1].errnoRet: 65536 is above 65535`},
		{func(s *specs.LinuxSeccomp) { s.Syscalls[1].Args[0].Index = 6 }, `linux.seccomp.syscalls[1].args[0].index: 6 is above 5`},
		{func(s *specs.LinuxSeccomp) { s.Syscalls[1].Args[0].Op = "" }, `linux.seccomp.syscalls[1].args[0].op is missing`},
		{func(s *specs.LinuxSeccomp) { s.Syscalls[1].Args[0].Op = "SCMP_CMP_XX" }, `linux.seccomp.syscalls[1].args[0].op: "SCMP_CMP_XX" is unknown`},
		{func(s *specs.LinuxSeccomp) {
			r := rand.New(rand.NewPCG(1, 1))
			for i := range 2500 {
				s.Syscalls = append(s.Syscalls, specs.LinuxSyscall{Names: []string{syscalls[i%len(syscalls)].name}, Action: specs.ActTrap,
					Args: []specs.LinuxSeccompArg{{Index: uint(i % 6), Op: specs.OpEqualTo, Value: r.Uint64()}}})
			}
		}, `linux.seccomp: the filter has N instructions, and the kernel takes 4096 (bpf_common.h, BPF_MAXINSNS)`},
	}
	for _, tt := range tests {
		s := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{
			{Names: []string{"mount"}, Action: specs.ActTrap},
			{Names: []string{"getpid"}, Action: specs.ActTrace, Args: []specs.LinuxSeccompArg{{Op: specs.OpEqualTo}}},
		}}
		tt.change(s)
		f, err := compile(s, hosts["amd64"])
		if err == nil {
			t.Errorf("no error (%d instructions), want %s", len(f.Program), tt.want)
			continue
		}
		before, after, _ := strings.Cut(tt.want, "N instructions")
		if got := err.Error(); !strings.HasPrefix(got, before) || !strings.HasSuffix(got, after) || after == "" && got != before {
			t.Errorf("%v\nwant %s", err, tt.want)
		}
	}
	if _, err := Compile(nil); err == nil {
		t.Error("no error for no profile")
	}
}

// What the code takes for granted of its tables.
func TestTables(t *testing.T) {
	if !slices.IsSortedFunc(syscalls[:], func(a, b systemCall) int { return strings.Compare(a.name, b.name) }) {
		t.Error("syscalls are not sorted")
	}
	if !slices.IsSortedFunc(muxes[:], func(a, b mux) int { return strings.Compare(a.name, b.name) }) {
		t.Error("muxes are not sorted")
	}
	for _, row := range syscalls {
		for _, nr := range row.nr {
			if int(nr) >= len(numbers{}.outcomes) {
				t.Errorf("%s has number %d, above the largest of an ABI", row.name, nr)
			}
		}
		if i, found := lookup(row.name); found == nil || syscalls[i].name != row.name {
			t.Errorf("lookup does not find %s", row.name)
		}
	}
	for name, want := range map[string][6]int16{
		"read":        {0, 3, 63, 3, 0, -1},
		"execve":      {59, 11, 221, 11, 520, -1},
		"futex_waitv": {449, 449, 449, 449, 449, -1},
		"uretprobe":   {335, -1, -1, -1, -1, -1},
		"set_tls":     {-1, -1, -1, -1, -1, 5},
	} {
		if _, row := lookup(name); row == nil || row.nr != want {
			t.Errorf("%s: %v, want %v", name, row, want)
		}
	}
}
