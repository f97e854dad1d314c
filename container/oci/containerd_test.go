package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestContainerd: containerd alone, by its own command ctr, with bench-oci in
// place of runc.
func TestContainerd(t *testing.T) {
	t.Parallel()
	l := newIsland(t, "docker", "containerd", "ctr")
	path := func(name string) string { return filepath.Join(l.dir, name) }
	if err := os.WriteFile(path("config.toml"), []byte("version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	socket := path("containerd.sock")
	l.daemon("containerd", "--config", path("config.toml"), "--root", path("data"), "--state", path("state"), "--address", socket)
	ctr := func(args ...string) *exec.Cmd {
		return l.command(append([]string{"ctr", "--address", socket}, args...)...)
	}
	do := func(code int, want, line string) expectation { return expectation{words(line), code, want, false} }
	soon := func(want, line string) expectation { return expectation{words(line), 0, want, true} }
	flags := "--snapshotter native --runc-binary " + filepath.Join(programs, "bench-oci") + " --runc-root " + path("runc") + " --cgroup /" + l.group + "/"
	l.meet(ctr, []expectation{
		soon("", "version"),
		do(0, "probe", "images import --snapshotter native "+archive(t)),
		do(0, "pid=1 uid=0", "run --rm "+flags+"a docker.io/library/probe:latest a /probe who"),
		do(7, "", "run --rm "+flags+"b docker.io/library/probe:latest b /probe 'exit 7'"),
		do(1, "no such program", "run --rm "+flags+"c docker.io/library/probe:latest c nosuch"),
		do(0, "", "run -d "+flags+"d docker.io/library/probe:latest d /probe pause"),
		do(0, "RUNNING", "task ls"),
		do(0, "pid=", "task exec --exec-id e d /probe who"),
		do(9, "", "task exec --exec-id e d /probe 'exit 9'"),
		do(0, "", "task pause d"),
		do(0, "PAUSED", "task ls"),
		do(0, "", "task resume d"),
		do(0, "", "task metrics d"),
		do(0, "", "task kill --signal 9 d"),
		soon("STOPPED", "task ls"),
		do(0, "", "task rm d"),
		do(0, "", "containers rm d"),
	})
	converse(t, ctr(append(words("run --rm -t "+flags+"t docker.io/library/probe:latest t"), conversation...)...))
}
