package look

import (
	"os"
	"path/filepath"
	"testing"

	"vmctr/report/result/isolation"
)

// system is a stand-in with these files. Links are marked by "-> ".
func system(t *testing.T, files map[string]string) System {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if len(text) > 3 && text[:3] == "-> " {
			err = os.Symlink(text[3:], path)
		} else {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return System{root}
}

// inside is what a container sees, and host what its host has.
var (
	host = map[string]string{
		"proc/sys/kernel/random/boot_id":      "b\n",
		"proc/1/stat":                         "1 (systemd) S 0 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 1 0 24 1 1\n",
		"proc/7/stat":                         "7 (a) S",
		"proc/self/ns/pid":                    "-> pid:[1]",
		"proc/self/ns/mnt":                    "-> mnt:[2]",
		"proc/self/ns/net":                    "-> net:[3]",
		"proc/self/ns/uts":                    "-> uts:[4]",
		"proc/self/ns/ipc":                    "-> ipc:[5]",
		"proc/self/ns/user":                   "-> user:[6]",
		"proc/self/ns/cgroup":                 "-> cgroup:[7]",
		"proc/self/ns/time":                   "-> time:[8]",
		"proc/self/mountinfo":                 "27 1 8:1 / / rw - ext4 /dev/sda rw\n28 27 0:5 / /sys/fs/cgroup rw - cgroup2 none rw\n29 27 0:6 / /a\\040b rw - tmpfs none rw\n",
		"proc/net/dev":                        "Inter-|   Receive\n face |bytes\n    lo: 1 2\n  eth0: 3 4\n",
		"proc/self/uid_map":                   "         0          0 4294967295\n",
		"proc/self/status":                    "Cpus_allowed_list:\t0-3\nCapEff:\t0000000000000003\nCapBnd:\t0000020000000000\nSeccomp:\t2\nSeccomp_filters:\t1\nNoNewPrivs:\t1\n",
		"proc/self/cgroup":                    "0::/user.slice\n",
		"sys/fs/cgroup/user.slice/cpu.max":    "50000 100000\n",
		"sys/fs/cgroup/user.slice/memory.max": "max\n",
		"proc/meminfo":                        "MemTotal:       2048000 kB\nMemFree: 1 kB\n",
		"proc/uptime":                         "3661.5 1.0\n",
		"proc/modules":                        "veth 1 0 - Live 0x0\nbridge 1 0 - Live 0x0\n",
		"proc/sysvipc/msg":                    "heading\n1\n2\n",
		"proc/keys":                           "a key",
		"etc/passwd":                          "root:x:0:0\nman:x:6:12\n",
		"sys/devices/system/cpu/online":       "0-3\n",
		"proc/sys/kernel/cap_last_cap":        "40\n",
	}
	inside = map[string]string{
		"proc/sys/kernel/random/boot_id": "b\n",
		"proc/1/stat":                    "1 (a (b) c) S 0 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 1 0 900 1 1\n",
		"proc/self/ns/pid":               "-> pid:[11]",
		"proc/self/ns/mnt":               "-> mnt:[12]",
		"proc/self/ns/net":               "-> net:[13]",
		"proc/self/ns/uts":               "-> uts:[14]",
		"proc/self/ns/user":              "-> user:[16]",
		"proc/self/ns/time":              "-> time:[8]",
		"proc/self/mountinfo":            "90 1 0:9 / / rw - overlay o rw\n91 90 0:5 / /proc/keys ro - tmpfs none ro\n",
		"proc/net/dev":                   "Inter-|   Receive\n face |bytes\n    lo: 1 2\n",
		"proc/self/uid_map":              "0 1000000 65536\n",
		"proc/self/cgroup":               "0::/\n",
		"proc/meminfo":                   "MemTotal:       2048000 kB\n",
		"proc/uptime":                    "3661.6 1.0\n",
		"proc/keys":                      "",
		"sys/devices/system/cpu/online":  "0-3\n",
	}
)

func TestAround(t *testing.T) {
	sights := map[string]isolation.Sight{}
	for _, s := range isolation.Compare(system(t, inside).Around(), system(t, host).Around()) {
		sights[s.Fact+s.Of] = s
	}
	for _, tt := range []isolation.Sight{
		{Fact: "pid 1", Inside: "a (b) c", Outside: "systemd", Whose: isolation.Own},
		{Fact: "processes", Inside: "1", Outside: "2", Whose: isolation.Own},
		{Fact: "mounts", Inside: "2: overlay, tmpfs", Outside: "3: cgroup2, ext4, tmpfs", Whose: isolation.Own},
		{Fact: "root", Inside: "overlay", Outside: "ext4", Whose: isolation.Own},
		{Fact: "interfaces", Inside: "lo", Outside: "lo, eth0", Whose: isolation.Own},
		{Fact: "uid map", Inside: "0 1000000 65536", Outside: "0 0 4294967295", Whose: isolation.Own},
		{Fact: "accounts", Outside: "2: root, man", Whose: isolation.Hidden},
		{Fact: "boot id", Inside: "b", Outside: "b", Whose: isolation.Hosts},
		{Fact: "uptime", Inside: "1h1m2s", Outside: "1h1m2s", Whose: isolation.Hosts},
		{Fact: "memory", Inside: "2000 MiB", Outside: "2000 MiB", Whose: isolation.Hosts},
		{Fact: "cpus", Inside: "0-3", Outside: "0-3", Whose: isolation.Hosts},
		{Fact: "modules", Outside: "2: veth, bridge", Whose: isolation.Hidden},
		{Fact: "cpu quota", Outside: "0.5 CPUs", Whose: isolation.Hidden},
		{Fact: "memory limit", Outside: "none", Whose: isolation.Hidden},
		{Fact: "sysv ipc", Outside: "2 message queues", Whose: isolation.Hidden},
		{Fact: "file", Of: "/proc/keys", Inside: "masked", Outside: "readable and writable", Whose: isolation.Hidden},
		{Fact: "file", Of: "/proc/kcore"},
	} {
		if os.Geteuid() != 0 && tt.Of == "/proc/keys" {
			continue // what may be opened depends on who asks
		}
		got := sights[tt.Fact+tt.Of]
		if tt.Fact == "file" && tt.Of == "/proc/keys" {
			// The mount is at the stand-in's /proc/keys in name only.
			got.Of = tt.Of
		}
		if got.Fact == "" {
			t.Errorf("%s %s was not seen", tt.Fact, tt.Of)
			continue
		}
		if got != tt {
			t.Errorf("%+v, want %+v", got, tt)
		}
	}
}

// The same numbers of another kernel are other things.
func TestOtherKernel(t *testing.T) {
	guest := map[string]string{}
	for name, text := range host {
		guest[name] = text
	}
	guest["proc/sys/kernel/random/boot_id"] = "other\n"
	for _, s := range isolation.Compare(system(t, guest).Around(), system(t, host).Around()) {
		if s.Whose == isolation.Hosts {
			t.Errorf("of another kernel, and the host's: %+v", s)
		}
	}
}

func TestPrivileges(t *testing.T) {
	p := system(t, host).Privileges()
	if got := p.Capabilities["effective"]; len(got) != 2 || got[0] != "chown" || got[1] != "dac_override" {
		t.Errorf("effective: %q", got)
	}
	if got := p.Capabilities["bounding"]; len(got) != 1 || got[0] != "41" { // which has no name yet
		t.Errorf("bounding: %q", got)
	}
	if p.Known != 41 || p.Seccomp != 2 || p.Filters != 1 || !p.NoNewPrivs || p.UIDMap != "0 0 4294967295" {
		t.Errorf("%+v", p)
	}
}

func TestKnobs(t *testing.T) {
	s := system(t, map[string]string{"proc/sys/kernel/a": "1", "proc/sys/net/ipv4/b": "1", "sys/power/c": "1", "sys/power/d": "1"})
	if err := os.Chmod(s.path("/sys/power/d"), 0o444); err != nil {
		t.Fatal(err)
	}
	k := s.Knobs()
	if k.Files != 3 || k.Open != 3 || k.By["/proc/sys/kernel"] != 1 || k.By["/proc/sys/net"] != 1 || k.By["/sys/power"] != 1 || k.Error != "" {
		t.Errorf("%+v", k)
	}
	if b, _ := os.ReadFile(s.path("/sys/power/c")); string(b) != "1" {
		t.Errorf("a file was changed: %q", b)
	}
}
