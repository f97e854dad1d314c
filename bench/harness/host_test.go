package harness

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"golang.org/x/tools/txtar"

	"vmctr/report/result"
	"vmctr/report/result/identity"
)

// tree unpacks testdata/host/NAME.txtar, or the archive itself if it is given,
// and returns the folder. Files in /proc/self/ns become links, and "␀" a NUL.
func tree(t *testing.T, archive string) string {
	t.Helper()
	a := txtar.Parse([]byte(archive))
	if !strings.Contains(archive, "\n") {
		var err error
		if a, err = txtar.ParseFile(filepath.Join("testdata", "host", archive+".txtar")); err != nil {
			t.Fatal(err)
		}
	}
	root := t.TempDir()
	for _, f := range a.Files {
		path := filepath.Join(root, f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		data := strings.ReplaceAll(string(f.Data), "␀", "\x00")
		var err error
		if strings.HasPrefix(f.Name, "proc/self/ns/") {
			err = os.Symlink(strings.TrimSpace(data), path)
		} else {
			err = os.WriteFile(path, []byte(data), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestHostFrom(t *testing.T) {
	kernel := identity.Kernel{Sysname: "Linux", Release: "6.12", Version: "#1", Machine: "x86_64"}
	const kB = 1024
	tests := []struct {
		tree     string
		cpus     int
		want     result.Host // without what the answers give
		warnings []string    // how each begins
	}{
		{"intel", 2, result.Host{
			OS: "Debian GNU/Linux 13 (trixie)", BootID: "2f1c9f8e-0000-4000-8000-000000000001",
			Cmdline: "BOOT_IMAGE=/vmlinuz-6.12.41-amd64 root=/dev/sda1 ro quiet",
			CPU:     "Intel(R) Xeon(R) CPU E3-1270 v6 @ 3.80GHz", MemTotal: 16384000 * kB, SwapTotal: 1048576 * kB,
			Governor: "powersave", Turbo: "on", THP: "always", KSM: "on",
			Pressure:    "some avg10=31.50 avg60=2.00 avg300=1.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0",
			LoadAvg:     "3.20 1.10 0.50 4/300 1234",
			Mitigations: map[string]string{"meltdown": "Mitigation: PTI", "spectre_v2": "Mitigation: Retpolines"},
			Namespaces:  map[string]uint64{"pid": 4026531836, "net": 4026531840},
		}, []string{"governor is powersave: ", "turbo is on: ", "load average 3.2 on 2 CPUs: ", "CPU pressure 32%: ", "KSM is on: ",
			"only 0.977 GiB of 15.6 GiB memory is available: what is swapped out"}},
		{"quiet", 2, result.Host{
			OS: "Quiet Linux", CPU: "Intel(R) Core(TM) i5", MemTotal: 8000000 * kB, Governor: "performance", Turbo: "off", KSM: "off",
			Pressure: "some avg10=0.10 avg60=0.00 avg300=0.00 total=1", LoadAvg: "0.05 0.10 0.10 1/100 99",
		}, nil},
		{"kvm", 1, result.Host{
			OS: "Ubuntu 24.04.2 LTS", CPU: "Intel Xeon Processor (Skylake)", MemTotal: 2048000 * kB, Virtualization: "KVM",
			LoadAvg: "0.10 0.10 0.10 1/100 99",
		}, []string{"this host is itself a virtual machine (KVM): ", "one CPU: "}},
		{"amd", 4, result.Host{
			CPU: "AMD Ryzen 7 3700X 8-Core Processor", MemTotal: 32768000 * kB, Governor: "performance, schedutil", Turbo: "on",
			KSM: "off, pages unmerged", LoadAvg: "0.10 0.10 0.10 1/100 99",
		}, []string{"governor is performance, schedutil: ", "turbo is on: ", "bench may use 4 of 8 CPUs"}},
		{"container", 8, result.Host{CPU: "AMD EPYC", MemTotal: 1000 * kB},
			[]string{"bench runs in a container (podman): ", "only 10.0 KiB of 0.977 MiB memory is available: the kernel reclaims"}},
		{"bare", 2, result.Host{MemTotal: 1000 * kB, Pressure: "some"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.tree, func(t *testing.T) {
			asked := answers{hostname: "lab", kernel: kernel, cpus: tt.cpus, cgroup: "v2", root: true}
			got, warnings, err := hostFrom(tree(t, tt.tree), asked)
			if err != nil {
				t.Fatal(err)
			}
			want := tt.want
			want.Hostname, want.Kernel, want.CPUs, want.Cgroup, want.Root, want.Go = "lab", kernel, tt.cpus, "v2", true, runtime.Version()
			if want.Namespaces == nil {
				want.Namespaces = map[string]uint64{}
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if !slices.EqualFunc(warnings, tt.warnings, strings.HasPrefix) {
				t.Errorf("warnings:\n%s\nwant some that begin with:\n%s", strings.Join(warnings, "\n"), strings.Join(tt.warnings, "\n"))
			}
			for _, w := range warnings {
				if strings.Contains(w, "\n") || !strings.Contains(w, ": ") {
					t.Errorf("warning %q is not one line of what it is and what it does", w)
				}
			}
		})
	}
}

func TestHostWithoutProc(t *testing.T) {
	for name, archive := range map[string]string{
		"no /proc":     "-- etc/os-release --\n",
		"empty /proc":  "-- proc/version --\nLinux\n",
		"no MemTotal":  "-- proc/meminfo --\nMemFree: 5 kB\n",
		"bad MemTotal": "-- proc/meminfo --\nMemTotal: much\n",
	} {
		if _, _, err := hostFrom(tree(t, archive), answers{}); err == nil || !strings.Contains(err.Error(), "proc") {
			t.Errorf("%s: error = %v", name, err)
		}
	}
}

// TestHost: the machine that runs the tests can be described.
func TestHost(t *testing.T) {
	h, warnings, err := Host()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", h)
	t.Log(strings.Join(warnings, "\n"))
	for field, missing := range map[string]bool{
		"Hostname": h.Hostname == "", "Kernel": h.Kernel.Sysname != "Linux" || h.Kernel.Machine == "", "BootID": len(h.BootID) != 36,
		"CPUs": h.CPUs < 1, "MemTotal": h.MemTotal == 0, "LoadAvg": h.LoadAvg == "", "Namespaces": h.Namespaces["pid"] == 0,
		"Cgroup": h.Cgroup == "", "Go": h.Go == "",
	} {
		if missing {
			t.Errorf("%s is missing: %+v", field, h)
		}
	}
	if v := Virtualization(); v.Hypervisor != h.Virtualization || v.Type == "" || v.KVMDevice == "" {
		t.Errorf("%+v", v)
	}
}

func TestHypervisor(t *testing.T) {
	const (
		guest = "-- proc/cpuinfo --\nprocessor : 0\nflags : fpu hypervisor\n\n"
		metal = "-- proc/cpuinfo --\nprocessor : 0\nflags : fpu vmx\n\n"
		arm   = "-- proc/cpuinfo --\n"
	)
	vendor := func(s string) string { return "-- sys/class/dmi/id/sys_vendor --\n" + s + "\n" }
	product := func(s string) string { return "-- sys/class/dmi/id/product_name --\n" + s + "\n" }
	clocks := func(s string) string {
		return "-- sys/devices/system/clocksource/clocksource0/available_clocksource --\n" + s + "\n"
	}
	tests := []struct{ name, tree, release, want string }{
		{"bare metal", metal, "", ""},
		{"bare metal of a cloud", metal + vendor("Amazon EC2"), "", ""},
		{"a laptop", metal + vendor("Microsoft Corporation") + product("Surface"), "", ""},
		{"no mark", guest, "", "unknown hypervisor"},
		{"a strange mark", guest + vendor("Acme"), "", "unknown hypervisor"},
		{"Firecracker", guest + clocks("tsc kvm-clock"), "", "KVM"},
		{"libvirt", guest + product("KVM") + vendor("Red Hat"), "", "KVM"},
		{"QEMU without KVM", guest + vendor("QEMU") + clocks("tsc hpet"), "", "QEMU"},
		{"QEMU with KVM", guest + vendor("QEMU") + clocks("kvm-clock tsc"), "", "KVM"},
		{"VMware", guest + vendor("VMware, Inc.") + product("VMware7,1"), "", "VMware"},
		{"VirtualBox", guest + vendor("innotek GmbH") + product("VirtualBox"), "", "VirtualBox"},
		{"Hyper-V", guest + vendor("Microsoft Corporation") + product("Virtual Machine"), "", "Microsoft Hyper-V"},
		{"WSL", guest, "5.15.167.4-microsoft-standard-WSL2", "Microsoft Hyper-V (WSL 2)"},
		{"Google", guest + product("Google Compute Engine"), "", "KVM (Google Compute Engine)"},
		{"EC2", guest + vendor("Amazon EC2"), "", "KVM (Amazon EC2)"},
		{"Xen guest", guest + "-- sys/hypervisor/type --\nxen\n", "", "Xen"},
		{"Xen PV guest, whose CPU flag is masked", metal + "-- sys/hypervisor/type --\nxen\n", "", "Xen"},
		{"Xen host", guest + "-- sys/hypervisor/type --\nxen\n-- proc/xen/capabilities --\ncontrol_d\n", "", "Xen (this is its domain 0)"},
		{"ARM board", arm, "", ""},
		{"ARM of a cloud", arm + vendor("Amazon EC2"), "", ""},
		{"ARM guest", arm + "-- proc/device-tree/hypervisor/compatible --\nlinux,kvm␀\n", "", "KVM"},
		{"ARM under QEMU", arm + "-- proc/device-tree/compatible --\nlinux,dummy-virt␀\n", "", "QEMU"},
		{"nothing", "-- proc/version --\n", "", ""},
	}
	for _, tt := range tests {
		if got := files(tree(t, tt.tree)).hypervisor(tt.release); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestContainer(t *testing.T) {
	tests := []struct{ name, tree, want string }{
		{"none", "-- proc/1/cgroup --\n0::/init.scope\n-- proc/1/environ --\nHOME=/␀\n", ""},
		{"the variable", "-- proc/1/environ --\nA=b␀container=systemd-nspawn␀\n", "systemd-nspawn"},
		{"an empty variable", "-- proc/1/environ --\ncontainer=␀\n", ""},
		{"podman", "-- run/.containerenv --\n", "podman"},
		{"docker", "-- .dockerenv --\n", "docker"},
		{"docker by its cgroup", "-- proc/1/cgroup --\n5:memory:/docker/0123\n", "docker"},
		{"a pod", "-- proc/1/cgroup --\n0::/kubepods.slice/x\n", "kubernetes"},
	}
	for _, tt := range tests {
		if got := files(tree(t, tt.tree)).container(); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestVirtualization(t *testing.T) {
	tests := []struct {
		tree string
		want Virt
	}{
		{"intel", Virt{CPUFlag: "vmx", KVMDevice: "present", Type: "type 2 (hosted): QEMU is a program on this Linux, and KVM"}},
		{"kvm", Virt{CPUFlag: "vmx", Hypervisor: "KVM", KVMDevice: "missing", Type: "type 2 (hosted): QEMU is a program on this Linux and, without KVM"}},
		{"amd", Virt{CPUFlag: "svm", KVMDevice: "missing", Type: "type 2 (hosted)"}},
		{"bare", Virt{KVMDevice: "missing", Type: "type 2 (hosted)"}},
		{"-- dev/kvm --\n", Virt{KVMDevice: "present", Type: "type 2 (hosted): QEMU is a program on this Linux; there is a KVM, but"}},
		{"-- sys/hypervisor/type --\nxen\n-- proc/xen/capabilities --\ncontrol_d\n",
			Virt{Hypervisor: "Xen (this is its domain 0)", KVMDevice: "missing", Type: "type 1 (bare metal): Xen"}},
	}
	for _, tt := range tests {
		got := virtualizationFrom(tree(t, tt.tree), "6.12")
		if !strings.HasPrefix(got.Type, tt.want.Type) || strings.Contains(got.Type, "\n") {
			t.Errorf("%s: type %q, want one line that begins %q", tt.tree, got.Type, tt.want.Type)
		}
		got.Type, tt.want.Type = "", ""
		if got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.tree, got, tt.want)
		}
	}
	for err, want := range map[error]string{
		nil: "present", unix.EACCES: "no permission", unix.EPERM: "no permission", fs.ErrNotExist: "missing",
		unix.ENODEV: "missing", // the file without the driver
	} {
		if got := kvmDevice(err); got != want {
			t.Errorf("opening gives %v: %q, want %q", err, got, want)
		}
	}
}

func TestOnline(t *testing.T) {
	for list, want := range map[string]int{"0": 1, "0-1": 2, "0-3,8-11": 8, "0,2": 2, "": 0, "3-1": 0, "x-y": 0, "1-z": 0} {
		if got := files(tree(t, "-- sys/devices/system/cpu/online --\n"+list+"\n")).online(); got != want {
			t.Errorf("%q: %d, want %d", list, got, want)
		}
	}
}
