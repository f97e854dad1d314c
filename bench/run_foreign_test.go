package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vmctr/bench/embedded"
	"vmctr/report/result/identity"
	"vmctr/vm"
	"vmctr/vm/kernel"
)

// needArm64 skips a test where no machine with an arm64 processor can be emulated.
func needArm64(t *testing.T) {
	t.Helper()
	_, err := embedded.Guest("arm64")
	if err == nil {
		_, err = vm.FindFor("arm64")
	}
	if err == nil {
		o := kernelOptions("")
		o.Arch = "arm64"
		_, err = kernel.Find(o)
	}
	if err == nil {
		return
	}
	if required("arm64") {
		t.Fatal(err)
	}
	t.Skip(err, "; sudo scripts/setup arm64 gets it")
}

// TestRunOnArm64: a machine runs an image for another processor, with a kernel for
// it; a container, which has this host's, cannot.
func TestRunOnArm64(t *testing.T) {
	needArm64(t)
	stdout, stderr, code := benchRun(t, "--on", "vm-virt", "--hostname", "far", "workload", "exit")
	if code != 0 {
		t.Fatalf("status %d, %s", code, stderr)
	}
	signal, rest, _ := strings.Cut(stdout, "\n")
	var id identity.Identity
	if err := json.Unmarshal([]byte(rest), &id); err != nil || signal != "first-instruction" {
		t.Fatalf("it says %s (%v)", stdout, err)
	}
	if id.Kernel.Machine != "aarch64" || id.Hostname != "far" || id.CPUs != 1 {
		t.Errorf("it is %+v", id)
	}
	// One that is too large for memory is on a disk; a folder does not say what it is
	// for. How its program ends is told as on the host.
	programs, err := embedded.Workloads()
	if err != nil {
		t.Fatal(err)
	}
	large := t.TempDir()
	if err := errors.Join(os.WriteFile(filepath.Join(large, "program"), programs["arm64"], 0o755), os.WriteFile(filepath.Join(large, "data"), make([]byte, 20<<20), 0o644)); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, code = benchRun(t, "--on", "vm-virt", large, "/program", "nonsense")
	if code != 1 || !strings.Contains(stdout, `"machine":"aarch64"`) || !strings.Contains(stderr, `unknown arguments ["nonsense"]`) {
		t.Errorf("status %d, %s, %s", code, stdout, stderr)
	}
}

// TestRunOnWrongArchitecture: what does not fit is told before anything boots, with
// what would.
func TestRunOnWrongArchitecture(t *testing.T) {
	needMachines(t)
	empty := t.TempDir()
	for _, tt := range []struct {
		name, path, cache string
		args              []string
		want              string
	}{
		{"the host's machine, another's image", "", "", []string{"--on", "vm-q35", "--platform", "linux/arm64", "workload"},
			"for linux/arm64, and the machine vm-q35 has a processor for linux/amd64: --on vm-virt has one for linux/arm64"},
		{"another's machine, the host's image", "", "", []string{"--on", "vm-virt", "--platform", "linux/amd64", "workload"},
			"for linux/amd64, and the machine vm-virt has a processor for linux/arm64: --on vm-"},
		{"a container, another's image", "", "", []string{"--platform", "linux/arm64", "workload"}, "or run it in a machine with that processor: --on vm-virt"},
		{"no such machine", "", "", []string{"--on", "vm-none", "workload"}, `there is no such virtual machine; there are: ["vm-`},
		{"no QEMU", empty, "", []string{"--on", "vm-virt", "workload"}, "qemu-system-aarch64 is not installed"},
		{"no kernel", "", empty, []string{"--on", "vm-virt", "workload"}, "no guest kernel found for arm64"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if name, _ := interpreter(binfmtMisc, "arm64"); name != "" && !slices.Contains(tt.args, "--on") {
				t.Skip("this host has an emulator for containers too, ", name)
			}
			if tt.cache != "" {
				needArm64(t)
				t.Setenv("BENCH_CACHE", filepath.Join(t.TempDir(), "cache"))
			}
			if tt.path != "" {
				t.Setenv("PATH", tt.path)
			}
			_, stderr, code := benchRun(t, tt.args...)
			if code == 0 || !strings.Contains(stderr, tt.want) {
				t.Errorf("status %d: %s\nwant: %s", code, stderr, tt.want)
			}
			if (tt.path != "" || tt.cache != "") && !strings.Contains(stderr, "sudo scripts/setup arm64") {
				t.Errorf("it does not say what fixes it: %s", stderr)
			}
		})
	}
}
