package seccomp

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A reference says what a profile means, in the most direct way: for each
// packet it reads the profile again. It shares with the compiler only the
// tables and the reading of single actions and conditions.
type reference struct {
	host     []abi
	profile  *specs.LinuxSeccomp
	ordinary uint32            // the default action's answer
	rules    []referenceRule   // apart, without those of the default action
	last     map[int]int       // by column
	names    map[[2]int]string // by column and number
}

type referenceRule struct {
	names      []string
	answer     uint32
	conditions []condition
}

func newReference(t testing.TB, s *specs.LinuxSeccomp, host []abi) *reference {
	r := &reference{profile: s, last: map[int]int{}, names: map[[2]int]string{}}
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	var err error
	r.host, err = included(s, host)
	must(err)
	r.ordinary, err = answer(s.DefaultAction, s.DefaultErrnoRet, "", "")
	must(err)
	for _, x := range s.Syscalls {
		ret, err := answer(x.Action, x.ErrnoRet, "", "")
		must(err)
		all, apart, err := conditions(x.Args)
		must(err)
		if ret == r.ordinary {
			continue
		}
		if !apart {
			r.rules = append(r.rules, referenceRule{x.Names, ret, all})
			continue
		}
		for _, c := range all {
			r.rules = append(r.rules, referenceRule{x.Names, ret, []condition{c}})
		}
	}
	for _, a := range r.host {
		r.last[a.column] = -1
		for _, row := range syscalls {
			nr := int(row.nr[a.column])
			if nr < 0 {
				continue
			}
			r.names[[2]int{a.column, nr}] += row.name + " "
			for _, x := range s.Syscalls {
				if slices.Contains(x.Names, row.name) {
					r.last[a.column] = max(r.last[a.column], nr)
				}
			}
		}
		for _, m := range muxes {
			if _, ok := r.through(m.name); ok && a.multiplexed {
				_, row := lookup(m.through)
				r.last[a.column] = max(r.last[a.column], int(row.nr[a.column]))
			}
		}
	}
	return r
}

// through is what the rules say of a call by way of another.
func (r *reference) through(name string) (uint32, bool) {
	for _, x := range r.rules {
		if len(x.conditions) == 0 && slices.Contains(x.names, name) {
			return x.answer, true
		}
	}
	for _, x := range r.rules {
		if slices.Contains(x.names, name) && !permissive(x.answer) {
			return x.answer, true
		}
	}
	return 0, false
}

func (r *reference) answer(d SeccompData) uint32 {
	nr := uint32(d.Nr)
	var at *abi
	for i, a := range r.host {
		if a.audit == d.Arch && a.base <= nr {
			at = &r.host[i]
		}
	}
	if at == nil {
		return unix.SECCOMP_RET_KILL_THREAD
	}
	if at.arch == specs.ArchX86_64 && nr >= x32Bit && nr < 1<<31 {
		return unix.SECCOMP_RET_KILL_THREAD
	}
	if last := r.last[at.column]; int(nr-at.base) > last {
		if last >= 0 && !permissive(r.ordinary) && r.ordinary != unix.SECCOMP_RET_USER_NOTIF {
			return unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
		}
		return r.ordinary
	}
	if at.narrow {
		for i := range d.Args {
			d.Args[i] &= 0xffffffff
		}
	}
	names := r.names[[2]int{at.column, int(nr - at.base)}]
	applies := func(x referenceRule) bool {
		return slices.ContainsFunc(x.names, func(n string) bool { return n != "" && containsWord(names, n) })
	}
	for _, x := range r.rules {
		if len(x.conditions) == 0 && applies(x) {
			return x.answer
		}
	}
	for _, x := range r.rules {
		hold := true
		for _, c := range x.conditions {
			if at.narrow {
				c.mask, c.value = c.mask&0xffffffff, c.value&0xffffffff
			}
			hold = hold && c.holds(d.Args[c.arg]&c.mask)
		}
		if hold && applies(x) {
			return x.answer
		}
	}
	if at.multiplexed {
		for _, m := range muxes {
			if containsWord(names, m.through) && (d.Args[0] == m.nr || m.through == "ipc" && d.Args[0]&0xffff == m.nr) {
				if answer, ok := r.through(m.name); ok {
					return answer
				}
			}
		}
	}
	return r.ordinary
}

// containsWord: words end in a space each.
func containsWord(words, word string) bool {
	for len(words) > 0 {
		if len(words) > len(word) && words[:len(word)] == word && words[len(word)] == ' ' {
			return true
		}
		for words[0] != ' ' {
			words = words[1:]
		}
		words = words[1:]
	}
	return false
}

// Values where halves and comparisons meet.
var edges = []uint64{0, 1, 2, 7, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff, 1 << 32, 1<<32 + 1, 2 << 32, 1<<33 - 1, 1 << 63, 1<<64 - 1<<32, 1<<64 - 2, 1<<64 - 1}

func randomValue(r *rand.Rand) uint64 {
	switch r.IntN(4) {
	case 0:
		return r.Uint64()
	case 1:
		return uint64(r.IntN(24))
	}
	return edges[r.IntN(len(edges))]
}

func randomProfile(r *rand.Rand) *specs.LinuxSeccomp {
	allActions := []specs.LinuxSeccompAction{specs.ActKill, specs.ActKillProcess, specs.ActKillThread, specs.ActTrap, specs.ActErrno, specs.ActTrace, specs.ActAllow, specs.ActLog, specs.ActNotify}
	allOps := []specs.LinuxSeccompOperator{specs.OpEqualTo, specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpGreaterEqual, specs.OpGreaterThan, specs.OpMaskedEqual}
	allArchs := []specs.Arch{specs.ArchX86, specs.ArchX32, specs.ArchX86_64, specs.ArchARM, specs.ArchAARCH64, specs.ArchS390X, specs.ArchMIPS}
	action := func() (specs.LinuxSeccompAction, *uint) {
		a := allActions[r.IntN(len(allActions))]
		if r.IntN(2) == 0 {
			a = []specs.LinuxSeccompAction{specs.ActAllow, specs.ActErrno}[r.IntN(2)]
		}
		if (a == specs.ActErrno || a == specs.ActTrace) && r.IntN(2) == 0 {
			n := uint(r.IntN(4))
			return a, &n
		}
		return a, nil
	}
	s := &specs.LinuxSeccomp{ListenerPath: "/run/agent"}
	s.DefaultAction, s.DefaultErrnoRet = action()
	for _, a := range allArchs {
		if r.IntN(2) == 0 {
			s.Architectures = append(s.Architectures, a)
		}
	}
	rules, most := r.IntN(25), 40
	if r.IntN(6) == 0 {
		rules, most = 300, 2 // large: jumps of more than 255
	}
	limit := 1 + r.IntN(len(syscalls))
	for range rules {
		var x specs.LinuxSyscall
		x.Action, x.ErrnoRet = action()
		for range 1 + r.IntN(most) {
			x.Names = append(x.Names, syscalls[r.IntN(limit)].name)
		}
		if r.IntN(3) == 0 {
			x.Names = append(x.Names, []string{"socketcall", "ipc", "socket", "send", "semop", "shmat", "unheard_of"}[r.IntN(7)], muxes[r.IntN(len(muxes))].name)
		}
		if r.IntN(2) == 0 {
			for range 1 + r.IntN(3) {
				x.Args = append(x.Args, specs.LinuxSeccompArg{Index: uint(r.IntN(3)), Op: allOps[r.IntN(len(allOps))], Value: randomValue(r), ValueTwo: randomValue(r)})
			}
		}
		s.Syscalls = append(s.Syscalls, x)
	}
	return s
}

// agree compares a filter with the reference on all numbers of all
// architectures, with arguments around the values that the profile names.
func agree(t *testing.T, s *specs.LinuxSeccomp, host []abi, r *rand.Rand) {
	t.Helper()
	f, err := compile(s, host)
	if err != nil {
		t.Fatal(err)
	}
	checkProgram(t, f)
	ref := newReference(t, s, host)
	pool := slices.Clone(edges)
	for _, x := range s.Syscalls {
		for _, a := range x.Args {
			pool = append(pool, a.Value-1, a.Value, a.Value+1, a.Value^1<<32, a.Value^1<<63, a.Value&0xffffffff, a.ValueTwo, a.ValueTwo|^a.Value, a.ValueTwo&a.Value)
		}
	}
	check := func(arch, nr uint32) {
		tries := 3
		if arch == unix.AUDIT_ARCH_I386 && (nr == 102 || nr == 117) {
			tries = 200 // socketcall and ipc
		}
		for range tries {
			d := SeccompData{Nr: int32(nr), Arch: arch}
			for i := range d.Args {
				d.Args[i] = pool[r.IntN(len(pool))]
			}
			if r.IntN(4) == 0 {
				d.Args[0] = uint64(r.IntN(26)) // a multiplexed call
			}
			if got, want := f.Run(d), ref.answer(d); got != want {
				t.Fatalf("%+v: %s, want %s\n%s", d, answerText(got), answerText(want), f)
			}
		}
	}
	for _, arch := range []uint32{unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_I386, unix.AUDIT_ARCH_AARCH64, unix.AUDIT_ARCH_ARM, unix.AUDIT_ARCH_S390X} {
		for _, base := range []uint32{0, x32Bit, 0xf0000, 1 << 31, 3 << 30, 1<<32 - 40} {
			most := uint32(600)
			if base != 0 && base != x32Bit {
				most = 40
			}
			for nr := range most {
				check(arch, base+nr)
			}
		}
	}
}

// checkProgram checks what the kernel does (net/core/filter.c,
// bpf_check_classic), less what the assembler cannot do.
func checkProgram(t *testing.T, f *Filter) {
	t.Helper()
	for pc, in := range f.Program {
		rest := len(f.Program) - pc - 1
		switch {
		case in.Code == opRet:
		case in.Code == opJa && int(in.K) < rest:
		case (in.Code == opLoad || in.Code == opAnd) && rest > 0:
		case in.Code&7 == unix.BPF_JMP && in.Code != opJa && max(int(in.Jt), int(in.Jf)) < rest:
		default:
			t.Fatalf("instruction %d leads out of the program\n%s", pc, f)
		}
	}
}

// Random profiles mean the same to the compiler and to the reference.
func TestRandomProfiles(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		for _, arch := range []string{"amd64", "arm64"} {
			t.Run(fmt.Sprint(arch, seed), func(t *testing.T) {
				t.Parallel()
				r := rand.New(rand.NewPCG(seed, uint64(len(arch)+int(arch[1]))))
				agree(t, randomProfile(r), hosts[arch], r)
			})
		}
	}
}

func FuzzCompile(f *testing.F) {
	f.Add(uint64(1000))
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 1))
		agree(t, randomProfile(r), hosts[[]string{"amd64", "arm64"}[seed%2]], r)
	})
}

// Docker's profile, too.
func TestDefaultAgrees(t *testing.T) {
	t.Parallel()
	for _, capabilities := range [][]string{nil, {"CAP_SYS_ADMIN", "CAP_SYS_PTRACE"}} {
		s, err := Default(capabilities)
		if err != nil {
			t.Fatal(err)
		}
		agree(t, s, host, rand.New(rand.NewPCG(1, 2)))
	}
}
