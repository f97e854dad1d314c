package vm

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// Resident is how much of some memory is in the host's, in bytes: RSS counts every
// page that a process has mapped and that is there, PSS a page that n processes have
// mapped as 1/n, and USS only those that no other process has mapped.
//
// None of them counts a page of hugetlbfs.
type Resident struct{ RSS, PSS, USS int64 }

func (r *Resident) add(o Resident) {
	r.RSS += o.RSS
	r.PSS += o.PSS
	r.USS += o.USS
}

// less is what is left of r without o.
func (r Resident) less(o Resident) Resident {
	return Resident{r.RSS - o.RSS, r.PSS - o.PSS, r.USS - o.USS}
}

// A mapping is one range of a process's addresses.
type mapping struct {
	start, end uint64
	perms      string // "rw-p"
	path       string // of a file; "[heap]" and the like; "" for memory that is no file's
	Resident
	transparent int64 // bytes in transparent huge pages, which RSS counts
	hugetlb     int64 // bytes in pages of hugetlbfs, which RSS does not count
}

// readMappings reads those of a process.
func readMappings(pid int) ([]mapping, error) {
	f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/smaps")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, err := parseMappings(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return list, nil
}

// parseMappings reads /proc/PID/smaps (proc_pid_smaps(5)): for each mapping a line as
// in /proc/PID/maps, and after it lines such as "Rss:  892 kB". It needs no more of a
// kernel than Linux 2.6.25 has, and passes over what it does not know.
func parseMappings(r io.Reader) ([]mapping, error) {
	var list []mapping
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		name, value, _ := strings.Cut(line, ":")
		if !strings.ContainsAny(name, " -") { // a field's name is one word
			if len(list) == 0 {
				return nil, fmt.Errorf("the line %.80q comes before the first mapping", line)
			}
			if err := list[len(list)-1].set(name, value); err != nil {
				return nil, fmt.Errorf("the line %.80q: %w", line, err)
			}
			continue
		}
		m, err := parseMapping(line)
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, lines.Err()
}

// parseMapping reads a line such as
//
//	7f4853e00000-7f4863e00000 rw-p 00000000 00:00 0    /path of/a file
func parseMapping(line string) (m mapping, err error) {
	bad := fmt.Errorf("the line %.80q is no mapping", line)
	addresses, rest, _ := strings.Cut(line, " ")
	from, to, _ := strings.Cut(addresses, "-")
	if m.start, err = strconv.ParseUint(from, 16, 64); err != nil {
		return m, bad
	}
	if m.end, err = strconv.ParseUint(to, 16, 64); err != nil || m.end < m.start {
		return m, bad
	}
	m.perms, rest, _ = strings.Cut(rest, " ")
	if len(m.perms) != 4 {
		return m, bad
	}
	for range 3 { // offset, device, inode
		var word string
		if word, rest, _ = strings.Cut(rest, " "); word == "" {
			return m, bad
		}
	}
	m.path = strings.TrimLeft(rest, " ")
	return m, nil
}

// set takes the value of a field.
func (m *mapping) set(field, value string) error {
	var to *int64
	switch field {
	case "Rss":
		to = &m.RSS
	case "Pss":
		to = &m.PSS
	case "Private_Clean", "Private_Dirty":
		to = &m.USS
	case "AnonHugePages", "ShmemPmdMapped", "FilePmdMapped":
		to = &m.transparent
	case "Private_Hugetlb", "Shared_Hugetlb":
		to = &m.hugetlb
	default:
		return nil
	}
	n, err := kibibytes(value)
	*to += n
	return err
}

// kibibytes reads a value as most of /proc writes them: "     892 kB".
func kibibytes(s string) (bytes int64, err error) {
	number, ok := strings.CutSuffix(strings.TrimSpace(s), " kB")
	if !ok {
		return 0, fmt.Errorf("%.40q is no number of kB", s)
	}
	n, err := strconv.ParseInt(number, 10, 53)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%.40q is no number of kB", s)
	}
	return n << 10, nil
}
