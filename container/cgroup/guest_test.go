package cgroup_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"vmctr/container"
	"vmctr/vm/guesttest"
)

const inGuest = "CGROUP_TEST_GUEST"

// TestInGuest runs the tests of this package once more in a virtual machine
// with Debian's kernel, which has cgroup v2 and every controller of it, whatever
// the host has. The tests are the only program there.
func TestInGuest(t *testing.T) {
	if os.Getenv(inGuest) != "" {
		t.Skip("this is the guest")
	}
	if testing.Short() {
		t.Skip("boots a virtual machine; run without -short")
	}
	g := guesttest.New(t)
	g.Command("go", "test", "-c", "-o", g.Layer+"/cgroup.test", ".")
	g.Run(guesttest.Run{
		Name:     "bench-test-cgroup",
		Spec:     container.DefaultSpec([]string{"/cgroup.test", "-test.v", "-test.timeout=2m"}, []string{inGuest + "=1", "BENCH_REQUIRE=root"}, "/"),
		Deadline: 3 * time.Minute,
		Least:    20,
		Line: func(line string) {
			// All is there that any test wants, but what is version 1's.
			if name, ok := strings.CutPrefix(line, "--- SKIP: "); ok && !strings.HasPrefix(name, "TestInGuest ") && !strings.HasPrefix(name, "TestCompileDevices ") {
				t.Error("skipped in the guest:", name)
			}
		},
	})
}
