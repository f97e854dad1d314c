package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestDocker: dockerd, with bench-oci as its only runtime, does what people do
// with it.
func TestDocker(t *testing.T) {
	t.Parallel() // with podman's: both mostly wait
	l := newIsland(t, "docker", "dockerd", "containerd", "docker")
	path := func(name string) string { return filepath.Join(l.dir, name) }
	if err := os.WriteFile(path("daemon.json"), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	socket := "unix://" + path("docker.sock")
	l.daemon("dockerd", "--config-file", path("daemon.json"), "--data-root", path("data"), "--exec-root", path("exec"),
		"--host", socket, "--pidfile", path("pid"), "--iptables=false", "--ip6tables=false", "--bip", "10.213.0.1/24",
		"--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", "/"+l.group,
		"--add-runtime", "bench="+filepath.Join(programs, "bench-oci"), "--default-runtime", "bench")
	docker := func(args ...string) *exec.Cmd {
		return l.command(append([]string{"docker", "--host", socket}, args...)...)
	}
	do := func(code int, want, line string) expectation { return expectation{words(line), code, want, false} }
	soon := func(want, line string) expectation { return expectation{words(line), 0, want, true} }
	host := t.TempDir()
	if err := os.WriteFile(filepath.Join(host, "file"), []byte("of the host"), 0o644); err != nil {
		t.Fatal(err)
	}
	l.meet(docker, []expectation{
		soon("bench", "info --format {{.DefaultRuntime}}"),
		do(0, "probe:latest", "load -i "+archive(t)),

		do(0, "pid=1 uid=0", "run --rm probe"),
		do(7, "", "run --rm probe /probe 'exit 7'"),
		do(127, "no such program", "run --rm probe nosuch"),
		do(126, "permission denied", "run --rm probe /etc/passwd"),
		do(0, strings.Join([]string{`"Op":"write /x y","Out":"","Err":"EROFS"`, `"Op":"write /tmp/x y","Out":"","Err":""`, `"Out":"of the host"`, `"Op":"write /data/x y","Out":"","Err":"EROFS"`, `"Op":"write /shared/x y","Out":"","Err":""`}, also),
			"run --rm --read-only --tmpfs /tmp -v "+host+":/data:ro -v "+host+":/shared:rslave probe /probe 'write /x y' 'write /tmp/x y' 'cat /data/file' 'write /data/x y' 'write /shared/x y'"),
		do(0, strings.Join([]string{"uid=1234 gid=5678 groups=[7 5678]", "host=elsewhere", `CapEff:\t0000000000000000`, `CapBnd:\t0000000000000000`, `NoNewPrivs:\t1`, `Seccomp:\t2`}, also),
			"run --rm --user student --group-add 7 --hostname elsewhere --cap-drop ALL --security-opt no-new-privileges probe /probe who 'cat /proc/self/status'"),
		do(0, strings.Join([]string{`CapEff:\t00000000a80425fb`, `Seccomp:\t0`}, also), "run --rm --security-opt seccomp=unconfined probe /probe 'cat /proc/self/status'"),
		do(0, strings.Join([]string{`"Err":"EAGAIN"`, `eth0`, `"Out":"1000\n"`, "Max pending signals       100                  200", "10:200 owner 0:0", `"Op":"mount /proc","Out":"","Err":"EPERM"`}, also),
			"run --rm --pids-limit 15 --sysctl net.core.somaxconn=1000 --ulimit sigpending=100:200 --device /dev/net/tun probe /probe 'fork 20' 'cat /proc/net/dev' 'cat /proc/sys/net/core/somaxconn' 'cat /proc/self/limits' 'stat /dev/net/tun' 'mount /proc'"),
		do(137, "", "run --rm -m 32m --memory-swap 32m probe /probe 'allocate 100'"),
		do(0, strings.Join([]string{"docker-init", "pid=2 "}, also), "run --rm --init probe /probe 'cat /proc/1/cmdline' who"),

		do(0, "", "run -d --name long --ipc shareable --stop-timeout 5 probe /probe term"),
		soon("ready", "logs long"),
		do(0, strings.Join([]string{"cwd=/proc", "A=b"}, also), "exec -w /proc -e A=b long /probe who env"),
		do(9, "", "exec long /probe 'exit 9'"),
		do(0, "/probe term", "top long"),
		do(0, "long", "stats --no-stream long"),
		do(0, "", "pause long"),
		do(0, "paused", "inspect -f {{.State.Status}} long"),
		do(0, "", "unpause long"),
		do(0, "", "update --memory 64m --memory-swap 128m --cpus 0.5 --pids-limit 25 long"),
		do(0, "67108864", "exec long /probe 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes' 'cat /sys/fs/cgroup/memory.max'"),
		do(0, "", "stop long"),
		do(0, "7 exited", "inspect -f '{{.State.ExitCode}} {{.State.Status}}' long"),
		do(0, "", "start long"),
		do(0, "", "kill long"),
		do(0, "137", "wait long"),
		do(0, "", "restart long"),
		do(0, "", "run -d --name second --network container:long --pid container:long --ipc container:long probe /probe pause"),
		do(0, "/probe pause", "top second"),
		do(0, "", "rm -f second long"),
	})

	stdin := docker(words("run --rm -i probe /probe copy")...)
	stdin.Stdin = strings.NewReader("through standard input")
	if out, code := output(t, stdin); code != 0 || !strings.Contains(out, "through standard input") {
		t.Errorf("run -i: code %d, %s", code, out)
	}
	converse(t, docker(append(words("run --rm -t -i probe"), conversation...)...))
	l.meet(docker, []expectation{do(0, "", "run -d -t --name shell probe /probe pause"), soon("ready", "logs shell")})
	converse(t, docker(append(words("exec -t -i shell"), conversation...)...))
	l.meet(docker, []expectation{do(0, "", "rm -f shell")})
	if out, _ := output(t, docker("ps", "-aq")); out != "" {
		t.Errorf("containers are left: %s", out)
	}
}
