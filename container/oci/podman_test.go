package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

// TestPodmanRootless: an ordinary user's podman makes a user namespace, and calls
// bench-oci as its root.
func TestPodmanRootless(t *testing.T) {
	needRoot(t) // to become that user, and to give them IDs
	for _, program := range []string{"podman", "conmon", "newuidmap", "unshare", "setpriv"} {
		if _, err := exec.LookPath(program); err != nil {
			if required("podman") {
				t.Fatal(err)
			}
			t.Skip(err, "; sudo scripts/setup test installs it")
		}
	}
	if err := built(); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "bench-podman-") // short, for the names of sockets, and open to others
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	passwd, err := os.ReadFile("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	probe, err := os.ReadFile(filepath.Join(programs, "probe"))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"passwd": string(passwd) + "benchuser:x:12345:12345::" + dir + "/home:/bin/sh\n", "subid": "benchuser:2000000:65536\n", "rootfs/probe": string(probe), "home/x": "", "run/x": "",
		// In a mount namespace of its own, where the user is known.
		"try": `set -e
mount --make-rprivate /
mount --bind $1/passwd /etc/passwd
for f in /etc/subuid /etc/subgid; do mount --bind $1/subid $f; done
chown -R 12345:12345 $1/home $1/run $1/rootfs
chmod 700 $1/run
cd $1
podman() {
	setpriv --reuid 12345 --regid 12345 --clear-groups env -i HOME=$1/home XDG_RUNTIME_DIR=$1/run PATH=/usr/bin:/bin:/usr/sbin:/sbin \
		timeout 60 podman --storage-driver vfs --cgroup-manager cgroupfs --events-backend file --runtime $2 "${@:3}"
}
trap 'podman $1 $2 rm -af -t 0; podman $1 $2 system migrate' EXIT
podman $1 $2 run --rm --network none --rootfs $1/rootfs /probe who "cat /proc/self/uid_map"
podman $1 $2 run -d --name long --network none --rootfs $1/rootfs /probe pause
podman $1 $2 exec long /probe "cat /proc/1/comm"
podman $1 $2 kill long
podman $1 $2 wait long
`,
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755), os.WriteFile(filepath.Join(dir, name), []byte(content), 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(programs, 0o755)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "-m", "bash", filepath.Join(dir, "try"), dir, filepath.Join(programs, "bench-oci"))
	out, code := output(t, cmd)
	for _, want := range []string{"pid=1 uid=0 gid=0", `         0      12345          1\n         1    2000000      65536`, `"Op":"cat /proc/1/comm","Out":"probe`, "137"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("code %d, want %q:\n%s", code, want, out)
			break
		}
	}
}
