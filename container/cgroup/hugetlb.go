package cgroup

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Huge pages, linux.resources.hugepageLimits: a limit for each page size, on
// what is used and, since Linux 5.7, on what is reserved
// (Documentation/admin-guide/cgroup-v1/hugetlb.rst).

func hugetlbV1(r *specs.LinuxResources) (settings, error) { return hugetlb(r, "limit_in_bytes") }

func hugetlbV2(r *specs.LinuxResources) (settings, error) { return hugetlb(r, "max") }

func hugetlb(r *specs.LinuxResources, limit string) (settings, error) {
	var s settings
	for i, h := range r.HugepageLimits {
		field := fmt.Sprintf("hugepageLimits[%d]", i)
		for _, f := range []struct {
			reserved string
			optional bool
		}{{".", false}, {".rsvd.", true}} {
			s = append(s, setting{field: field, file: "hugetlb." + h.Pagesize + f.reserved + limit, value: strconv.FormatUint(h.Limit, 10), optional: f.optional})
		}
	}
	return s, nil
}

func checkHugetlb(r *specs.LinuxResources) error {
	for i, h := range r.HugepageLimits {
		digits, ok := strings.CutSuffix(h.Pagesize, "B")
		ok = ok && digits != "" && strings.Contains("KMG", digits[len(digits)-1:])
		if ok {
			_, err := strconv.ParseUint(digits[:len(digits)-1], 10, 32)
			ok = err == nil
		}
		if !ok {
			return fmt.Errorf("hugepageLimits[%d].pageSize: %q is not a size such as 64KB, 2MB or 1GB", i, h.Pagesize)
		}
	}
	return nil
}

// pageSizes are the sizes of huge pages of this host, as hugetlb's files are
// named: "2MB" for /sys/kernel/mm/hugepages/hugepages-2048kB.
func pageSizes() []string {
	entries, _ := os.ReadDir("/sys/kernel/mm/hugepages")
	var sizes []string
	for _, e := range entries {
		if size, ok := pageSize(e.Name()); ok {
			sizes = append(sizes, size)
		}
	}
	return sizes
}

func pageSize(folder string) (string, bool) {
	text, ok := strings.CutPrefix(folder, "hugepages-")
	text, ok2 := strings.CutSuffix(text, "kB")
	kb, err := strconv.ParseUint(text, 10, 64)
	if !ok || !ok2 || err != nil {
		return "", false
	}
	for _, unit := range []struct {
		shift uint
		name  string
	}{{20, "GB"}, {10, "MB"}} {
		if kb >= 1<<unit.shift {
			return strconv.FormatUint(kb>>unit.shift, 10) + unit.name, true
		}
	}
	return strconv.FormatUint(kb, 10) + "KB", true
}
