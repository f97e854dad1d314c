package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"vmctr/vm/guest/wire"
)

// Memory is what a machine occupies on its host, in bytes, and what of it is what.
//
// To the host a machine is one process, QEMU, and the RAM of the guest is memory of
// that process: a range of its addresses, of which the host gives a page when the guest
// touches it for the first time, and hears nothing when the guest frees it. All else is
// QEMU's: its program, what it keeps in mind of devices, and, where it emulates the CPU,
// what it has translated. So one figure for all would say little, and here it is taken
// apart by the mappings of /proc/PID/smaps (proc_pid_smaps(5)). The parts add up to the
// whole.
type Memory struct {
	Whole Resident // all of QEMU: the sum of the parts that follow

	// RAM is what the guest has touched of its RAM, the firmware's work included.
	RAM Resident
	// Translations is TCG's cache of translated code: an emulator's, which a
	// hypervisor does not have. QEMU reserves a GiB of addresses for it, and it only
	// grows. The tables by which blocks are found are in Rest.
	Translations Resident
	// Kernel and Initramfs are QEMU's own mappings of these files, from which it has
	// copied them into RAM: it keeps them for a reset. They are pages of the host's
	// page cache, so machines that boot the same file share them. A bzImage is read,
	// not mapped, and is in Rest.
	Kernel, Initramfs Resident
	// Program is QEMU's program and its libraries, which all QEMUs share but for what
	// is written.
	Program Resident
	// Rest is what QEMU needs for itself: its heap, stacks, and buffers, its tables of
	// devices and of memory, and the firmware's ROMs.
	Rest Resident

	// RAMTransparent is how much of RAM is in transparent huge pages: RAM can then be
	// larger than what the guest has touched, by up to 2 MiB for each page.
	RAMTransparent int64
	// RAMHugetlb is how much of the guest's RAM is in pages of hugetlbfs. It is in no
	// figure above: neither RSS nor PSS counts such pages.
	RAMHugetlb int64
	// SecondPageTables are those by which a CPU translates guests' addresses to the
	// host's (EPT, NPT, or shadow tables), which are KVM's and not QEMU's: the host
	// counts them for all its guests together (SecPageTables of proc_meminfo(5), Linux
	// 6.1). Under TCG there are none. It is -1 on a host that does not count them.
	SecondPageTables int64
	// Merged is how much of Whole KSM has found to be equal to other memory of the
	// host, and keeps once for all (ksm_merging_pages, Linux 5.19): 0 where KSM is off,
	// and -1 on a host that does not tell.
	Merged int64
}

// QEMU is all that is not the guest's RAM.
func (m Memory) QEMU() Resident { return m.Whole.less(m.RAM) }

// RAM is how much the machine has been given, in bytes: the guest need not have touched it.
func (m *Machine) RAM() int64 { return m.cfg.Memory }

// Memory reads what the machine occupies. It is read while the machine runs, so it is
// no more exact than what happens within some milliseconds.
func (m *Machine) Memory(ctx context.Context) (Memory, error) {
	list, err := readMappings(m.PID())
	if err != nil {
		return Memory{}, fmt.Errorf("reading QEMU's memory: %w", err)
	}
	ram, err := m.findRAM(ctx, list)
	if err != nil {
		return Memory{}, err
	}
	all, err := m.sort(list, ram)
	if err != nil {
		return all, err
	}
	all.SecondPageTables, err = field("/proc/meminfo", "SecPageTables")
	if errors.Is(err, errNoField) {
		all.SecondPageTables, err = -1, nil
	}
	if err != nil {
		return all, err
	}
	all.Merged, err = merged(m.PID())
	return all, err
}

// findRAM gives those of QEMU's mappings that are the guest's RAM. QEMU itself is asked
// where that begins (gpa2hva, of its human monitor): by its size alone it could be
// taken for another, such as TCG's cache of a GiB, and by a name it has none. A guest may
// have RAM above and below a hole for devices, and it is still one block of QEMU's.
func (m *Machine) findRAM(ctx context.Context, list []mapping) ([]mapping, error) {
	begin, err := m.hostAddress(ctx, machineTypes[m.cfg.Type].ram)
	if err != nil {
		return nil, fmt.Errorf("finding the guest's RAM in QEMU: %w", err)
	}
	var found []mapping
	end, at := begin+uint64(m.cfg.Memory), begin
	for _, k := range list { // in the order of their addresses, and they do not overlap
		if k.start == at && k.end <= end {
			found, at = append(found, k), k.end
		}
	}
	if at != end {
		return nil, fmt.Errorf("finding the guest's RAM in QEMU: it is %d MiB at %#x, and the mappings there end at %#x", m.cfg.Memory>>20, begin, at)
	}
	return found, nil
}

// hostAddress is where in QEMU a guest-physical address lies.
func (m *Machine) hostAddress(ctx context.Context, guest uint64) (uint64, error) {
	reply, err := m.human(ctx, fmt.Sprintf("gpa2hva %#x", guest))
	if err != nil {
		return 0, err
	}
	_, address, ok := strings.Cut(reply, " is 0x") // "Host virtual address for 0x0 (pc.ram) is 0x7f4853e00000"
	host, err := strconv.ParseUint(strings.TrimSpace(address), 16, 64)
	if !ok || err != nil {
		return 0, fmt.Errorf("QEMU was asked for the host's address of the guest's %#x, and says %.200q", guest, reply)
	}
	return host, nil
}

// human runs a command of QEMU's monitor for people, which has some that QMP lacks.
func (m *Machine) human(ctx context.Context, line string) (string, error) {
	var said string
	return said, m.query(ctx, "human-monitor-command", map[string]string{"command-line": line}, &said)
}

// sort adds up the mappings by what they are.
func (m *Machine) sort(list, ram []mapping) (all Memory, err error) {
	files := map[string]*Resident{}
	for path, to := range map[string]*Resident{m.cfg.Kernel: &all.Kernel, m.cfg.Initramfs: &all.Initramfs} {
		if path == "" { // it boots from a sector
			continue
		}
		if path, err = filepath.Abs(path); err == nil {
			path, err = filepath.EvalSymlinks(path) // as the host's kernel names it
		}
		if err != nil {
			return all, fmt.Errorf("finding a file in QEMU's memory: %w", err)
		}
		files[path] = to
	}
	begin, end := ram[0].start, ram[len(ram)-1].end
	for _, k := range list {
		all.Whole.add(k.Resident)
		file := files[k.path]
		switch {
		case k.start >= begin && k.end <= end:
			all.RAM.add(k.Resident)
			all.RAMTransparent += k.transparent
			all.RAMHugetlb += k.hugetlb
		case file != nil:
			file.add(k.Resident)
		case strings.HasPrefix(k.path, "/"):
			all.Program.add(k.Resident)
		case strings.HasPrefix(k.perms, "rwx"): // nothing else of QEMU's is both written and executed
			all.Translations.add(k.Resident)
		default:
			all.Rest.add(k.Resident)
		}
	}
	return all, nil
}

var errNoField = errors.New("there is no such field")

// field reads one of a file of lines such as "VmPTE:      312 kB", in bytes.
func field(path, name string) (int64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	n, err := fieldOf(string(b), name)
	if err != nil {
		return 0, fmt.Errorf("%s: %s: %w", path, name, err)
	}
	return n, nil
}

func fieldOf(text, name string) (int64, error) {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return kibibytes(value)
		}
	}
	return 0, errNoField
}

// GuestMemory is what the guest's own kernel says of its RAM, in bytes
// (/proc/meminfo, proc_meminfo(5)).
type GuestMemory struct {
	// Total is what the kernel has to give: the RAM without what firmware has
	// reserved, the kernel's own code and data, and its table of all pages.
	Total int64
	// Free is what nothing uses. The host may have given a page for it all the same:
	// of a page that was once touched, only balloon and free-page reporting tell it.
	Free int64
	// Available is what programs could still get without swapping: Free, and what of
	// the page cache can go.
	Available int64
	// Cached is the page cache, and all files of the initramfs with it: these are in
	// a file system in memory, and cannot go.
	Cached int64
	// Slab, KernelStack and PageTables are what the kernel has taken of Total.
	Slab, KernelStack, PageTables int64
}

// GuestMemory asks the guest. It has to be Running.
func (m *Machine) GuestMemory(ctx context.Context) (GuestMemory, error) {
	r, err := m.ask(ctx, wire.Command{Command: wire.CommandMemory}, wire.EventMemory)
	if err != nil {
		return GuestMemory{}, err
	}
	return parseGuestMemory(r.Text)
}

func parseGuestMemory(text string) (g GuestMemory, err error) {
	for _, f := range []struct {
		name string
		to   *int64
	}{
		{"MemTotal", &g.Total}, {"MemFree", &g.Free}, {"MemAvailable", &g.Available}, {"Cached", &g.Cached},
		{"Slab", &g.Slab}, {"KernelStack", &g.KernelStack}, {"PageTables", &g.PageTables},
	} {
		if *f.to, err = fieldOf(text, f.name); err != nil {
			return g, fmt.Errorf("the guest's /proc/meminfo: %s: %w", f.name, err)
		}
	}
	return g, nil
}

// TouchMemory has PID 1 of the guest take so many bytes, write to each page of them,
// and free them again. The guest has to have them (GuestMemory.Available): PID 1
// is not killed when memory is out, and all else is.
func (m *Machine) TouchMemory(ctx context.Context, bytes int64) error {
	_, err := m.ask(ctx, wire.Command{Command: wire.CommandTouch, Bytes: bytes}, wire.EventTouched)
	return err
}
