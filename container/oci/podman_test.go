package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestPodman: podman, and conmon, with bench-oci as their runtime.
func TestPodman(t *testing.T) {
	t.Parallel()
	l := newIsland(t, "podman", "podman", "conmon")
	podman := func(args ...string) *exec.Cmd {
		return l.command(append([]string{"podman", "--root", filepath.Join(l.dir, "root"), "--runroot", filepath.Join(l.dir, "run"), "--tmpdir", filepath.Join(l.dir, "tmp"),
			"--cgroup-manager", "cgroupfs", "--events-backend", "file", "--storage-driver", "vfs", "--runtime", filepath.Join(programs, "bench-oci")}, args...)...)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM localhost/probe:latest\nRUN [\"/probe\", \"write /made by\", \"who\", \"cat /made\"]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	// podman raises these limits for a container, which not every root may.
	flags := "--network none --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --cgroup-parent /" + l.group + " "
	do := func(code int, want, line string) expectation { return expectation{words(line), code, want, false} }
	soon := func(want, line string) expectation { return expectation{words(line), 0, want, true} }
	run := func(code int, want, line string) expectation { return do(code, want, "run "+flags+line) }
	l.meet(podman, []expectation{
		do(0, "probe", "load -i "+archive(t)),
		run(0, "pid=1 uid=0", "--rm probe"),
		run(7, "", "--rm probe /probe 'exit 7'"),
		run(127, "not found", "--rm probe nosuch"),
		run(126, "permission denied", "--rm probe /etc/passwd"),
		run(0, `Seccomp:\t2`, "--rm probe /probe 'cat /proc/self/status'"),
		run(0, "uid=1234 gid=5678", "--rm --user student --read-only probe"),
		run(0, "uid=0 gid=0", "--rm --uidmap 0:100000:5000 --gidmap 0:100000:6000 probe"),
		// Its mounts upon those of cgroups must not come to lie on the host's.
		run(0, "/sys/fs/cgroup", "--rm --systemd always probe /probe 'cat /proc/self/mountinfo'"),
		// Buildah runs it without conmon.
		do(0, `"Op":"cat /made","Out":"by"`, "build --network none --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --isolation oci --tag built "+dir),
		run(0, "", "-d --name long probe /probe term"),
		soon("ready", "logs long"),
		do(0, "pid=", "exec long /probe who"),
		do(9, "", "exec long /probe 'exit 9'"),
		do(127, "not found", "exec long nosuch"),
		do(0, "/probe term", "top long"),
		do(0, "", "pause long"),
		do(0, "paused", "inspect -f {{.State.Status}} long"),
		do(0, "", "unpause long"),
		do(0, "", "stop -t 5 long"),
		do(0, "7", "inspect -f {{.State.ExitCode}} long"),
		do(0, "", "start long"),
		do(0, "", "kill long"),
		do(0, "137", "wait long"),
		do(0, "", "rm -f long"),

		do(0, "", "pod create --name pod --network none --cgroup-parent /"+l.group+" --infra-image probe --infra-command '/probe pause'"),
		do(0, "", "run -d --pod pod --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --name in probe /probe term"),
		do(0, "host=pod", "exec in /probe who"),
		do(0, "Running", "pod ps"),
		do(0, "", "pod rm -f pod"),
	})
	converse(t, podman(append(words("run --rm -t -i "+flags+"probe"), conversation...)...))
}
