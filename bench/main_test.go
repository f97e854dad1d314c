package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"vmctr/bench/embedded"
	"vmctr/vm"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"bench": main})
}

// TestScripts runs testdata/script/*.txtar: whole commands as a user types
// them.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			// The real cache holds the guest kernel.
			for _, name := range []string{"BENCH_CACHE", "BENCH_REQUIRE", "SUDO_UID", "SUDO_GID"} {
				if v, ok := os.LookupEnv(name); ok && !strings.HasPrefix(name, "SUDO") {
					env.Setenv(name, v)
				}
			}
			// A path, for a script that empties PATH.
			self, err := os.Executable()
			if err != nil {
				return err
			}
			link := filepath.Join(env.WorkDir, ".self", "bench") // under this name it is bench
			env.Setenv("BENCH", link)
			return errors.Join(os.Mkdir(filepath.Dir(link), 0o755), os.Symlink(self, link))
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "boot": // the host has a kernel of its own to offer
				kernels, err := filepath.Glob("/boot/vmlinuz-*")
				return len(kernels) > 0, err
			case "qemu":
				if _, err := vm.Find(); err != nil {
					if required("qemu") {
						return false, err
					}
					return false, nil
				}
				return true, nil
			case "root":
				return os.Geteuid() == 0, nil
			case "workload":
				_, err := embedded.Workload()
				if err != nil && os.Getenv("BENCH_REQUIRE") != "" {
					return false, err
				}
				return err == nil, nil
			}
			return false, nil
		},
		ContinueOnError: true,
	})
}

// required tells whether BENCH_REQUIRE turns a skip for want of what into a
// failure.
func required(what string) bool {
	return slices.Contains(strings.Split(os.Getenv("BENCH_REQUIRE"), ","), what)
}
