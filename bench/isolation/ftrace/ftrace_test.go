package ftrace

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// page is a page of the ring buffer with these events, which says that used bytes of it are
// used; -1 for all.
func page(used int, events ...[]byte) []byte {
	data := bytes.Join(events, nil)
	if used < 0 {
		used = len(data)
	}
	p := binary.LittleEndian.AppendUint64(nil, 12345) // the time
	p = binary.LittleEndian.AppendUint64(p, uint64(used)|1<<31|1<<30)
	return append(p, data...)
}

// event is one that begins with this word, and then has these.
func event(kind, delta uint32, words ...uint32) (e []byte) {
	for _, w := range append([]uint32{delta<<5 | kind}, words...) {
		e = binary.LittleEndian.AppendUint32(e, w)
	}
	return e
}

// function is the event of a call.
func function(id, flags, pid uint32, address uint64) []byte {
	return event(6, 77, id|flags<<16, pid, uint32(address), uint32(address>>32), 0x1111, 0)
}

func TestParsePage(t *testing.T) {
	const id = 1
	one := call{0xffffffff81000004, 4711, false}
	oneEvent := function(id, 0, 4711, one.function)
	for _, test := range []struct {
		name string
		page []byte
		want []call
		err  string
	}{
		{"empty", page(-1), nil, ""},
		{"one call", page(-1, oneEvent), []call{one}, ""},
		{"what is after the used part is old", page(len(oneEvent), oneEvent, oneEvent), []call{one}, ""},
		{"an interrupt", page(-1, function(id, flagHardirq, 1, 16)), []call{{16, 1, true}}, ""},
		{"a softirq", page(-1, function(id, flagSoftirq, 1, 16)), []call{{16, 1, true}}, ""},
		{"other flags", page(-1, function(id, 0x05, 1, 16)), []call{{16, 1, false}}, ""},
		{"another event", page(-1, function(id+1, 0, 1, 16), oneEvent), []call{one}, ""},
		{"times between", page(-1, event(typeTimeExtend, 3, 9), event(typeTimeStamp, 3, 9), oneEvent), []call{one}, ""},
		{"a call that was dropped", page(-1, event(typePadding, 3, 8, 0), oneEvent), []call{one}, ""},
		{"padding to the end", page(-1, oneEvent, event(typePadding, 0), oneEvent), []call{one}, ""},
		{"a length of its own", page(-1, event(0, 3, 20, id, 4711, 0x81000004, 0xffffffff), oneEvent), []call{one, one}, ""},
		{"too short for a call", page(-1, event(2, 3, id, 4711)), nil, ""},
		{"no header", make([]byte, 15), nil, "15 bytes"},
		{"too much used", page(64, oneEvent), nil, "64 of its 28 bytes"},
		{"cut off", page(-1, oneEvent[:12]), nil, "with 8 left"},
		{"without its length", page(-1, event(0, 3)), nil, "without its length"},
		{"a length of nothing", page(-1, event(typePadding, 3, 0)), nil, "of 0 bytes"},
	} {
		var got []call
		err := parsePage(test.page, id, func(c call) { got = append(got, c) })
		if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
			t.Errorf("%s: error %v, want %q", test.name, err, test.err)
		}
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
}

// FuzzParsePage: whatever a page holds, there is an end, and nothing beyond it is read.
func FuzzParsePage(f *testing.F) {
	f.Add(page(-1, function(1, 0, 1, 16), event(typePadding, 3, 8, 0), event(0, 3, 20, 1, 2, 3, 4)))
	f.Add(page(64))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		parsePage(b, 1, func(call) { n++ })
		if n*(4+sizeFunction) > len(b) {
			t.Errorf("%d calls in %d bytes", n, len(b))
		}
	})
}

func TestSymbols(t *testing.T) {
	s, err := parseSymbols(strings.NewReader(`ffffffff81000000 T _stext
ffffffff81000000 T alias
ffffffff81000100 t vfs_read
ffffffff81000200 D some_data
ffffffff81000300 W weak
ffffffffc0000000 t ovl_open	[overlay]
`))
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[uint64]string{
		0xffffffff81000000: "_stext", 0xffffffff81000104: "vfs_read", 0xffffffff81000204: "vfs_read",
		0xffffffff81000304: "weak", 0xffffffffc0000004: "ovl_open [overlay]", 4: "0x4",
	} {
		if got := s.name(address); got != want {
			t.Errorf("%#x is %q, want %q", address, got, want)
		}
	}
	for in, want := range map[string]string{
		"0000000000000000 T _stext\n": "kptr_restrict",
		"ffffffff81000000 D data\n":   "no functions",
		"xyz T _stext\n":              "no symbol",
		"ffffffff81000000\n":          "no symbol",
		"":                            "no functions",
	} {
		if _, err := parseSymbols(strings.NewReader(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
}

func TestLost(t *testing.T) {
	got, err := lostOf("entries: 100\noverrun: 3\ncommit overrun: 1\nbytes: 3000\noldest event ts: 1.0\ndropped events: 7\nread events: 0\n")
	if got != 11 || err != nil {
		t.Errorf("%d, %v, want 11", got, err)
	}
	if _, err := lostOf("overrun: many\n"); err == nil {
		t.Error("no error")
	}
}

func TestFunctions(t *testing.T) {
	work := Functions{"a": true, "b": true, "tick": false, "idle": true}
	outside, interrupts := work.Without(Functions{"idle": false, "other": true}).Names()
	if want := []string{"a", "b"}; !reflect.DeepEqual(outside, want) {
		t.Errorf("%q, want %q", outside, want)
	}
	if want := []string{"tick"}; !reflect.DeepEqual(interrupts, want) {
		t.Errorf("%q, want %q", interrupts, want)
	}
	if len(work) != 4 {
		t.Error("Without has changed its set")
	}
}

func TestThreads(t *testing.T) {
	proc := t.TempDir()
	for pid, comm := range map[int]string{10: "qemu", 20: "vhost-10", 21: "vhost-11", 22: "kvm-pit/10", 23: "vhost-net", 24: "kvm-nx-lpage-recovery-10"} {
		dir := filepath.Join(proc, strconv.Itoa(pid))
		if err := os.MkdirAll(filepath.Join(dir, "task", strconv.Itoa(pid)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "comm"), []byte(comm+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(proc, "10/task/12"), 0o700); err != nil {
		t.Fatal(err)
	}
	got, err := threads(proc, []int{10})
	if want := []int{10, 12, 20, 22, 24}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%d, %v, want %d", got, err, want)
	}
	if _, err := threads(proc, []int{99}); err == nil {
		t.Error("threads of a process that is not there")
	}
}
