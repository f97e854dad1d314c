package main

import (
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"vmctr/bench/embedded"
	"vmctr/images/registry/registrytest"
)

// TestRegistryScripts runs testdata/registry/*.txtar beside a registry on
// loopback, $REGISTRY, which serves images of the shapes of alpine and ubuntu.
// The command "cut N" makes it break off each layer after N bytes, and "cut" no
// more.
func TestRegistryScripts(t *testing.T) {
	type key struct{}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/registry",
		Setup: func(env *testscript.Env) error {
			server := registrytest.New(t) // one each: they run at once
			server.Put(t, "alpine", registrytest.Alpine(t))
			server.Put(t, "library/ubuntu:24.04", registrytest.Ubuntu(t))
			env.Values[key{}] = server
			env.Setenv("REGISTRY", server.Host())
			env.Setenv("BENCH_CACHE", env.WorkDir+"/cache")
			env.Setenv("DOCKER_CONFIG", env.WorkDir+"/docker")
			return nil
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
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
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"cut": func(ts *testscript.TestScript, _ bool, args []string) {
				server := ts.Value(key{}).(*registrytest.Server)
				server.Fault = nil
				if len(args) == 0 {
					return
				}
				n, err := strconv.Atoi(args[0])
				ts.Check(err)
				server.Fault = func(w http.ResponseWriter, r *http.Request) bool {
					if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
						server.CutAfter(w, r, n)
					}
					return false
				}
			},
		},
		ContinueOnError: true,
	})
}
