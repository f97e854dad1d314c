package cgroup

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// The lines are those of real hosts, but for the place of cgroup2: UNIFIED is a
// folder that stands for it.
const (
	rootLine    = "23 1 254:1 / / rw,relatime - ext4 /dev/root rw\n"
	memoryLine  = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
	cpuLine     = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid,nodev,noexec,relatime shared:15 - cgroup cgroup rw,cpu,cpuacct\n"
	pidsLine    = "39 31 0:36 / /sys/fs/cgroup/pids rw,relatime shared:16 master:2 - cgroup cgroup rw,pids\n"
	freezerLine = "37 31 0:34 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer\n"
	namedLine   = "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd\n"
	unifiedLine = "41 31 0:38 / UNIFIED rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n"
)

func with(m map[string]string, pairs ...string) map[string]string {
	c := map[string]string{}
	maps.Copy(c, m)
	for i := 0; i < len(pairs); i += 2 {
		c[pairs[i]] = pairs[i+1]
	}
	return c
}

func TestDetect(t *testing.T) {
	v1 := map[string]string{
		"memory": "/sys/fs/cgroup/memory", "cpu": "/sys/fs/cgroup/cpu,cpuacct", "cpuacct": "/sys/fs/cgroup/cpu,cpuacct", "pids": "/sys/fs/cgroup/pids",
	}
	for _, tt := range []struct {
		name        string
		mountinfo   string
		controllers string // cgroup.controllers of the unified hierarchy
		want        Host
		has         string // those of the controllers that can be used
	}{
		{"v1", rootLine + memoryLine + cpuLine + pidsLine + freezerLine + namedLine, "", Host{Mode: "v1", V1: with(v1, "freezer", "/sys/fs/cgroup/freezer", "name=systemd", "/sys/fs/cgroup/systemd")}, "memory cpu cpuacct pids freezer"},
		{"v2", rootLine + unifiedLine, "cpuset cpu io memory hugetlb pids\n",
			Host{Mode: "v2", Unified: "UNIFIED", V2: []string{"cpuset", "cpu", "io", "memory", "hugetlb", "pids"}}, "memory cpu pids cpuset hugetlb"},
		{"hybrid", rootLine + memoryLine + cpuLine + pidsLine + namedLine + unifiedLine, "hugetlb\n",
			Host{Mode: "hybrid", V1: with(v1, "name=systemd", "/sys/fs/cgroup/systemd"), Unified: "UNIFIED", V2: []string{"hugetlb"}}, "memory cpu cpuacct pids hugetlb"},
		{"hybrid, split", rootLine + cpuLine + unifiedLine, "memory pids\n",
			Host{Mode: "hybrid", V1: map[string]string{"cpu": v1["cpu"], "cpuacct": v1["cpu"]}, Unified: "UNIFIED", V2: []string{"memory", "pids"}}, "memory cpu cpuacct pids"},
		{"v2 without controllers", rootLine + unifiedLine, "\n", Host{Mode: "v2", Unified: "UNIFIED"}, ""},
		// systemd's own hierarchy limits nothing.
		{"none but a named one", rootLine + namedLine, "", Host{Mode: "none", V1: with(nil, "name=systemd", "/sys/fs/cgroup/systemd")}, ""},
		{"none but a freezer", rootLine + freezerLine, "", Host{Mode: "v1", V1: with(nil, "freezer", "/sys/fs/cgroup/freezer")}, "freezer"},
		{"one that nobody knows", rootLine + "35 31 0:32 / /sys/fs/cgroup/new rw - cgroup cgroup rw,new\n", "", Host{Mode: "none"}, ""},
		{"none", rootLine, "", Host{Mode: "none"}, ""},
		{"nothing mounted", "", "", Host{Mode: "none"}, ""},
		{"mounted twice", rootLine + unifiedLine + "50 31 0:38 / /second rw - cgroup2 cgroup2 rw\n" + memoryLine + "51 31 0:32 / /third rw - cgroup cgroup rw,memory\n", "",
			Host{Mode: "hybrid", V1: map[string]string{"memory": v1["memory"]}, Unified: "UNIFIED"}, "memory"},
		{"escaped path", `35 31 0:32 / /a\040b/c\011d/e\134040f\012 rw - cgroup cgroup rw,memory` + "\n", "",
			Host{Mode: "v1", V1: map[string]string{"memory": "/a b/c\td/e\\040f\n"}}, "memory"},
		{"not mountinfo", "\n - \ncgroup2\n1 2 3 - cgroup2 cgroup2 rw\n1 2 3 4 5 6 - cgroup2\n" + strings.TrimSuffix(memoryLine, "\n"), "",
			Host{Mode: "v1", V1: map[string]string{"memory": v1["memory"]}}, "memory"},
		// The folder's name, not the type, is that of a cgroup.
		{"another file system", "35 31 0:32 / /sys/fs/cgroup/memory rw - tmpfs cgroup rw,memory\n", "", Host{Mode: "none"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "unified")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "cgroup.controllers"), []byte(tt.controllers), 0o644); err != nil {
				t.Fatal(err)
			}
			h, err := detect(strings.ReplaceAll(tt.mountinfo, "UNIFIED", dir))
			if err != nil {
				t.Fatal(err)
			}
			if tt.want.Unified != "" {
				tt.want.Unified = dir
			}
			if diff := cmp.Diff(&tt.want, h, cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(Host{})); diff != "" {
				t.Error(diff)
			}
			var has []string
			for _, c := range controllers {
				if h.Has(c) {
					has = append(has, c)
				}
			}
			if got := strings.Join(has, " "); got != tt.has {
				t.Errorf("has %q, want %q", got, tt.has)
			}
		})
	}
}

func TestDetectRefused(t *testing.T) {
	dir := t.TempDir() // which has no cgroup.controllers
	_, err := detect(strings.ReplaceAll(unifiedLine, "UNIFIED", dir))
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "reading the controllers of cgroup v2: open "+dir) {
		t.Errorf("error %v", err)
	}
}

// FuzzParseMounts: whatever a mount is called, nothing panics, and only what
// this package uses is found, once.
func FuzzParseMounts(f *testing.F) {
	f.Add(rootLine + memoryLine + cpuLine + pidsLine + freezerLine + namedLine + unifiedLine)
	f.Add(`35 31 0:32 / /a\040b\134 rw - cgroup cgroup rw,memory,memory` + "\n1 - 2 - 3")
	f.Fuzz(func(t *testing.T, mountinfo string) {
		h := parseMounts(mountinfo)
		for c, at := range h.V1 {
			if !h.Has(c) && at != "" || !strings.Contains(mountinfo, c) {
				t.Errorf("%s at %q", c, at)
			}
		}
		if h.Unified != "" && !strings.Contains(mountinfo, "cgroup2") {
			t.Errorf("cgroup2 at %q", h.Unified)
		}
		if h.Mode != "none" {
			t.Errorf("mode %q: detect sets it, which also asks the kernel", h.Mode)
		}
		// What follows a whole list changes nothing: the first mount counts.
		if again := parseMounts(strings.TrimRight(mountinfo, "\n") + "\n" + mountinfo); !h.same(again) {
			t.Errorf("twice the same gave %v, then %v", h, again)
		}
	})
}

// TestCurrent: the host is detected once, and again when what was found is no
// longer so.
func TestCurrent(t *testing.T) {
	needRoot(t)
	kept.host = nil
	t.Cleanup(func() { kept.host = nil })
	a, fresh, err := current()
	if err != nil || !fresh {
		t.Fatalf("the first time: fresh %v, %v", fresh, err)
	}
	if a.Mode == "none" {
		t.Skip("this host mounts no cgroups")
	}
	b, fresh, err := current()
	if err != nil || a != b || fresh && a.mounted() {
		t.Errorf("the second time: %p and %p, fresh %v, %v", a, b, fresh, err)
	}
	stale := *a
	stale.firstID++ // it was mounted anew
	kept.host = &stale
	if c, fresh, err := current(); err != nil || !fresh || !c.same(a) {
		t.Errorf("mounted anew: fresh %v, %v", fresh, err)
	}
	// A hierarchy that is no longer there: Create looks again.
	gone := *a
	if a.Mode == "v2" {
		gone.Unified += "/benchtest-gone"
	} else {
		gone.V1 = with(a.V1, "pids", a.V1["pids"]+"/\x00")
	}
	kept.host = &gone
	c, err := Create(prefix+"again", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Remove(t.Context()); err != nil {
		t.Error(err)
	}
	if !kept.host.same(a) {
		t.Error("it kept what was wrong")
	}
}
