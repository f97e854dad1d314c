package cgroup

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "write the golden files anew")

func dev(allow bool, kind string, major, minor int64, access string) specs.LinuxDeviceCgroup {
	return specs.LinuxDeviceCgroup{Allow: allow, Type: kind, Major: &major, Minor: &minor, Access: access}
}

// TestCompileDevices holds the program of the list that runc and Docker give a
// container that asks for nothing, and for one device more.
func TestCompileDevices(t *testing.T) {
	list, err := rules([]specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}, dev(true, "b", 8, -1, "r"), dev(false, "b", 8, 1, "")})
	if err != nil {
		t.Fatal(err)
	}
	got := disassemble(compileDevices(list))
	const golden = "testdata/devices.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if os.IsNotExist(err) && os.Getenv(inGuest) != "" {
		t.Skip("the golden file is not in the guest")
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%v; go test -update writes it\n%s", err, diff)
	}
	// Eight bytes for an instruction, as struct bpf_insn has them.
	b := assemble([]instruction{{op: load32, dst: 2, src: 1, off: -2, imm: 0x01020304}})
	if want := binary.NativeEndian.AppendUint32([]byte{0x61, 0x12, 0xfe, 0xff}, 0x01020304); !slices.Equal(b, want) {
		t.Errorf("% x, want % x", b, want)
	}
}

// run interprets a program as the kernel does, and fails where its verifier
// would.
func run(p []instruction, kind, access, major, minor uint32) (uint32, error) {
	var regs [11]uint64
	valid := map[byte]bool{argument: true}
	context := map[int16]uint32{0: access<<16 | kind, 4: major, 8: minor}
	for at, steps := 0, 0; ; at++ {
		if at >= len(p) || steps > 1000 {
			return 0, fmt.Errorf("ran off the end")
		}
		steps++
		i := p[at]
		if i.op != moveImm && i.op != moveReg && i.op != load32 && i.op != exit && !valid[i.dst] {
			return 0, fmt.Errorf("%d: r%d holds nothing", at, i.dst)
		}
		switch i.op {
		case load32:
			if i.src != argument {
				return 0, fmt.Errorf("%d: a load that is not from the argument", at)
			}
			regs[i.dst], valid[i.dst] = uint64(context[i.off]), true
		case moveReg:
			if !valid[i.src] {
				return 0, fmt.Errorf("%d: r%d holds nothing", at, i.src)
			}
			regs[i.dst], valid[i.dst] = uint64(uint32(regs[i.src])), true
		case moveImm:
			regs[i.dst], valid[i.dst] = uint64(int64(i.imm)), true
		case andImm:
			regs[i.dst] = uint64(uint32(regs[i.dst]) & uint32(i.imm))
		case shiftImm:
			regs[i.dst] = uint64(uint32(regs[i.dst]) >> i.imm)
		case jumpNe, jumpEq:
			if i.off < 0 {
				return 0, fmt.Errorf("%d: a loop", at)
			}
			if (regs[i.dst] == uint64(int64(i.imm))) == (i.op == jumpEq) {
				at += int(i.off)
			}
		case exit:
			if !valid[result] || regs[result] > 1 {
				return 0, fmt.Errorf("%d: returns %d", at, regs[result])
			}
			return uint32(regs[result]), nil
		default:
			return 0, fmt.Errorf("%d: unknown operation %#x", at, i.op)
		}
	}
}

// allowed says it without a program: for each kind of access the last rule that
// speaks of it decides.
func allowed(list []rule, kind, access, major, minor uint32) bool {
	for bit := uint32(1); bit < anyAccess; bit <<= 1 {
		if access&bit == 0 {
			continue
		}
		ok := false
		for _, r := range list {
			if (r.kind == anyType || r.kind == int(kind)) && (r.major == anyNumber || r.major == int64(major)) && (r.minor == anyNumber || r.minor == int64(minor)) && r.access&int(bit) != 0 {
				ok = r.allow
			}
		}
		if !ok {
			return false
		}
	}
	return true
}

func TestDefaultDevices(t *testing.T) {
	list, err := rules([]specs.LinuxDeviceCgroup{{Allow: false}})
	if err != nil {
		t.Fatal(err)
	}
	p := compileDevices(list)
	for _, tt := range []struct {
		kind, access, major, minor uint32
		want                       bool
	}{
		{char, readDevice | writeDevice, 1, 3, true},
		{char, readDevice | writeDevice | mknod, 5, 2, true},
		{char, writeDevice, 136, 7, true},
		{char, mknod, 10, 200, true},
		{block, mknod, 8, 0, true},
		{char, readDevice, 1, 1, false}, // /dev/mem
		{char, readDevice | mknod, 1, 1, false},
		{block, readDevice, 8, 0, false},
		{block, readDevice, 1, 3, false},
		{char, readDevice, 5, 1, false}, // /dev/console
	} {
		got, err := run(p, tt.kind, tt.access, tt.major, tt.minor)
		if err != nil || (got == 1) != tt.want || allowed(list, tt.kind, tt.access, tt.major, tt.minor) != tt.want {
			t.Errorf("%+v: %d, %v", tt, got, err)
		}
	}
}

// randomRules are over so few devices that they overlap.
func randomRules(r *rand.Rand) []specs.LinuxDeviceCgroup {
	var list []specs.LinuxDeviceCgroup
	for range r.IntN(6) {
		d := dev(r.IntN(2) == 0, []string{"", "a", "b", "c", "c"}[r.IntN(5)], int64(r.IntN(4)-1), int64(r.IntN(4)-1), []string{"", "r", "w", "m", "rw", "rwm"}[r.IntN(6)])
		list = append(list, d)
	}
	return list
}

// TestDevicesMean: the program says of every device what the rules mean, and so
// does the list of version 1, or it is refused.
func TestDevicesMean(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	said, lists := 0, 3000
	if os.Getenv(inGuest) != "" {
		lists = 300 // it needs no kernel, and the guest's CPU may be emulated
	}
	for range lists {
		list := randomRules(r)
		var parsed []rule
		for _, d := range list {
			p, err := parseRule(d)
			if err != nil {
				t.Fatal(err)
			}
			parsed = append(parsed, p)
		}
		program := compileDevices(parsed)
		s, errV1 := listV1(parsed)
		if errV1 == nil {
			said++
		}
		for kind := uint32(block); kind <= char; kind++ {
			for access := uint32(1); access <= anyAccess; access++ {
				for n := range uint32(16) {
					major, minor := n/4, n%4
					want := allowed(parsed, kind, access, major, minor)
					if got, err := run(program, kind, access, major, minor); err != nil || (got == 1) != want {
						t.Fatalf("%v: %d %d:%d %03b: %d, %v, want %v\n%s", parsed, kind, major, minor, access, got, err, want, disassemble(program))
					}
					// Two kinds of access at once are not granted by two
					// entries together on version 1: it is stricter there.
					if single := access&(access-1) == 0; errV1 == nil && single {
						if got := kernelV1(t, s, kind, access, major, minor); got != want {
							t.Fatalf("%v: %d %d:%d %03b: v1 gives %v, want %v:\n%v", parsed, kind, major, minor, access, got, want, s)
						}
					}
				}
			}
		}
	}
	if said < lists/3 {
		t.Errorf("version 1 could say only %d of %d lists", said, lists)
	}
}

// kernelV1 is devcgroup_legacy_check_permission, for what was written.
func kernelV1(t *testing.T, written settings, kind, access, major, minor uint32) bool {
	def, hit := true, false
	for i, s := range written {
		if i == 0 {
			if s.value != "a" {
				t.Fatalf("the first is %q", s.value)
			}
			def = s.file == "devices.allow"
			continue
		}
		if (s.file == "devices.allow") == def {
			t.Fatalf("%v takes off the list what is not on it", s)
		}
		f := strings.Fields(s.value)
		a, b, _ := strings.Cut(f[1], ":")
		bit := string("mrw"[map[uint32]int{mknod: 0, readDevice: 1, writeDevice: 2}[access]])
		if f[0] == string("abc"[kind]) && (a == "*" || a == fmt.Sprint(major)) && (b == "*" || b == fmt.Sprint(minor)) && strings.Contains(f[2], bit) {
			hit = true
		}
	}
	return def != hit
}

func TestDevicesV1(t *testing.T) {
	list, err := devicesV1(&specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: false}, dev(true, "c", 10, 229, "rw")}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range list {
		got = append(got, s.file+"="+s.value)
	}
	want := []string{"devices.deny=a", "devices.allow=c 10:229 rw", "devices.allow=c *:* m", "devices.allow=b *:* m"}
	for _, n := range []string{"1:3", "1:5", "1:7", "1:8", "1:9", "5:0", "5:2", "136:*"} {
		want = append(want, "devices.allow=c "+n+" mrw")
	}
	want[1] = "devices.allow=c 10:229 rw"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := devicesV1(&specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{dev(true, "c", -1, -1, "rw"), dev(false, "c", 1, 3, "")}}); err == nil || !strings.Contains(err.Error(), "devices[1]: cgroup v1 cannot") {
		t.Errorf("error %v", err)
	}
}

// TestDevices asks the kernel, on both versions, by a process in the group.
func TestDevices(t *testing.T) {
	onEach(t, func(t *testing.T, h *Host) {
		if h.Mode == "v1" && h.V1["devices"] == "" {
			t.Skip("this host has no devices hierarchy")
		}
		only := &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: false}}}
		c := h.make(t, only)
		check := func(what string, want ...string) {
			t.Helper()
			w := enter(t, c, "devices /dev/null /dev/zero /dev/kmsg")
			var got []string
			for {
				line, err := w.out.ReadString('\n')
				if err != nil || line == "end\n" {
					break
				}
				got = append(got, strings.TrimSpace(line))
			}
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: %s", what, diff)
			}
			<-w.done
		}
		usual := []string{"/dev/null r", "/dev/null w", "/dev/zero r", "/dev/zero w"}
		check("by default", usual...)
		// The one that every update replaces, or the old would still deny.
		only.Devices = append(only.Devices, dev(true, "c", 1, 11, "r"))
		for range 3 {
			if err := c.Update(only); err != nil {
				t.Fatal(err)
			}
		}
		check("with kmsg to read", append([]string{"/dev/kmsg r"}, usual...)...)
		if h.Mode == "v2" {
			fd, err := open(c.unified, unix.O_RDONLY)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(fd)
			if ids, err := attached(fd); len(ids) != 1 || err != nil {
				t.Errorf("programs %v, %v, want one", ids, err)
			}
		}
		only.Devices = only.Devices[:1]
		if err := c.Update(only); err != nil {
			t.Fatal(err)
		}
		check("without it again", usual...)
	})
}

// TestLoadRefused: what the verifier says is in the error.
func TestLoadRefused(t *testing.T) {
	needRoot(t)
	if fd, err := load([]instruction{{op: exit}}); err == nil || !strings.Contains(err.Error(), "R0 !read_ok") {
		t.Errorf("%d, %v", fd, err)
	}
}
