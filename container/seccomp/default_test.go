package seccomp

import (
	"testing"

	"golang.org/x/sys/unix"
)

// docker are the capabilities of a container by default, as far as the profile
// asks for them.
var docker = []string{"CAP_CHOWN", "CAP_SYS_CHROOT", "CAP_AUDIT_WRITE"}

// compileDefault compiles Docker's profile for x86-64, whose numbers the tests
// hold.
func compileDefault(t testing.TB, capabilities ...string) *Filter {
	t.Helper()
	if host == nil || host[0].audit != unix.AUDIT_ARCH_X86_64 {
		t.Skip("the profile is resolved for the machine that the test runs on: run it on x86-64")
	}
	s, err := Default(capabilities)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Compile(s)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// What Docker's profile is known for.
func TestDefault(t *testing.T) {
	ordinary, powerful := compileDefault(t, docker...), compileDefault(t, "CAP_SYS_ADMIN")
	const native, i386 = unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_I386
	for _, tt := range []struct {
		name           string
		arch           uint32
		nr             uint32
		args           [6]uint64
		want, powerful string
	}{
		{"read", native, unix.SYS_READ, [6]uint64{}, "ALLOW", "ALLOW"},
		{"mount", native, unix.SYS_MOUNT, [6]uint64{}, "ERRNO(EPERM)", "ALLOW"},
		{"i386 mount", i386, 21, [6]uint64{}, "ERRNO(EPERM)", "ALLOW"},
		{"x32 mount", native, x32Bit + unix.SYS_MOUNT, [6]uint64{}, "ERRNO(EPERM)", "ALLOW"},
		{"chroot", native, unix.SYS_CHROOT, [6]uint64{}, "ALLOW", "ERRNO(EPERM)"},
		{"clone, a thread", native, unix.SYS_CLONE, [6]uint64{0x3d0f00}, "ALLOW", "ALLOW"},
		{"clone, a user namespace", native, unix.SYS_CLONE, [6]uint64{unix.CLONE_NEWUSER | 17}, "ERRNO(EPERM)", "ALLOW"},
		{"clone3", native, unix.SYS_CLONE3, [6]uint64{}, "ERRNO(ENOSYS)", "ALLOW"},
		{"personality(PER_LINUX)", native, unix.SYS_PERSONALITY, [6]uint64{0}, "ALLOW", "ALLOW"},
		{"personality(query)", native, unix.SYS_PERSONALITY, [6]uint64{0xffffffff}, "ALLOW", "ALLOW"},
		{"personality(ADDR_NO_RANDOMIZE)", native, unix.SYS_PERSONALITY, [6]uint64{0x40000}, "ERRNO(EPERM)", "ERRNO(EPERM)"},
		{"personality(1<<32)", native, unix.SYS_PERSONALITY, [6]uint64{1 << 32}, "ERRNO(EPERM)", "ERRNO(EPERM)"},
		{"i386 personality, with rubbish above", i386, 136, [6]uint64{1<<32 | 8}, "ALLOW", "ALLOW"},
		{"socket(AF_INET6)", native, unix.SYS_SOCKET, [6]uint64{unix.AF_INET6}, "ALLOW", "ALLOW"},
		{"socket(AF_VSOCK)", native, unix.SYS_SOCKET, [6]uint64{unix.AF_VSOCK}, "ERRNO(EPERM)", "ERRNO(EPERM)"},
		{"socket(AF_ALG)", i386, 359, [6]uint64{unix.AF_ALG}, "ERRNO(EPERM)", "ERRNO(EPERM)"},
		{"keyctl", native, unix.SYS_KEYCTL, [6]uint64{}, "ERRNO(EPERM)", "ERRNO(EPERM)"},
		{"a system call of the future", native, 900, [6]uint64{}, "ERRNO(ENOSYS)", "ERRNO(ENOSYS)"},
		{"-1, as a tracer sets it", native, 1<<32 - 1, [6]uint64{}, "ERRNO(ENOSYS)", "ERRNO(ENOSYS)"},
		{"an i386 one of the future", i386, 900, [6]uint64{}, "ERRNO(ENOSYS)", "ERRNO(ENOSYS)"},
		{"arm64", unix.AUDIT_ARCH_AARCH64, 63, [6]uint64{}, "KILL_THREAD", "KILL_THREAD"},
	} {
		d := SeccompData{Nr: int32(tt.nr), Arch: tt.arch, Args: tt.args}
		if got := answerText(ordinary.Run(d)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
		if got := answerText(powerful.Run(d)); got != tt.powerful {
			t.Errorf("%s with CAP_SYS_ADMIN: %s, want %s", tt.name, got, tt.powerful)
		}
	}
}

// The program stays small and its paths short: that is what attaching it costs.
func TestSize(t *testing.T) {
	f := compileDefault(t, docker...)
	longest, sum, n := 0, 0, 0
	for _, arch := range []uint32{unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_I386} {
		for nr := range int32(470) {
			_, steps := f.run(SeccompData{Nr: nr, Arch: arch})
			longest, sum, n = max(longest, steps), sum+steps, n+1
		}
	}
	t.Logf("%d instructions, paths of %d at most, %.1f on average", len(f.Program), longest, float64(sum)/float64(n))
	if len(f.Program) > 300 || longest > 20 {
		t.Errorf("%d instructions and a path of %d, want at most 300 and 20\n%s", len(f.Program), longest, f)
	}
}
