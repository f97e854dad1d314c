package main

import (
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/opencontainers/runtime-spec/specs-go"

	"vmctr/container"
	"vmctr/container/network"
)

// parseRun reads the flags of a command line.
func parseRun(t *testing.T, args ...string) (*runCommand, options, error) {
	t.Helper()
	var c command
	parser, err := newParser(&c, streams{io.Discard, io.Discard}, kong.Exit(func(int) {}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(append([]string{"run"}, args...)); err != nil {
		return &c.Run, options{}, err
	}
	o, err := c.Run.options()
	return &c.Run, o, err
}

func TestRunOptions(t *testing.T) {
	t.Setenv("HERE", "there")
	os.Unsetenv("NOWHERE")
	dir := t.TempDir()
	t.Chdir(dir)
	c, o, err := parseRun(t, "--rm", "-e", "A=1,2", "-e", "HERE", "-e", "NOWHERE", "-e", "B=", "-v", dir+"/made:/data", "-v", "./x:/x:ro",
		"-p", "80", "-p", "8080:80", "-p", "127.0.0.1:53:53/udp", "-p", "0.0.0.0:1:2", "-m", "64m", "--cpus", "1.5", "--pids-limit", "20",
		"--security-opt", "no-new-privileges", "--security-opt", "seccomp=unconfined", "image", "-e", "sh", "--name", "x", "-c", "echo")
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "" || o.image != "image" || !slices.Equal(o.command, []string{"-e", "sh", "--name", "x", "-c", "echo"}) {
		t.Errorf("flags after the image are the program's: %q %q", o.image, o.command)
	}
	if want := []string{"A=1,2", "HERE=there", "B="}; !slices.Equal(o.env, want) {
		t.Errorf("environment %q, want %q", o.env, want)
	}
	wantMounts := []specs.Mount{
		{Destination: "/data", Type: "bind", Source: dir + "/made", Options: []string{"rbind"}},
		{Destination: "/x", Type: "bind", Source: dir + "/x", Options: []string{"rbind", "rro"}},
	}
	if diff := cmp.Diff(wantMounts, o.mounts); diff != "" {
		t.Error(diff)
	}
	for _, name := range []string{"made", "x"} {
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil || !st.IsDir() {
			t.Errorf("the missing folder %s was not made: %v", name, err)
		}
	}
	wantPorts := []network.Port{
		{Protocol: "tcp", Host: 80, Container: 80}, {Protocol: "tcp", Host: 8080, Container: 80},
		{Protocol: "udp", Address: netip.MustParseAddr("127.0.0.1"), Host: 53, Container: 53}, {Protocol: "tcp", Host: 1, Container: 2},
	}
	if diff := cmp.Diff(wantPorts, o.ports, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Error(diff)
	}
	if r := o.resources; *r.Memory.Limit != 64<<20 || *r.CPU.Quota != 150_000 || *r.CPU.Period != 100_000 || *r.Pids.Limit != 20 {
		t.Errorf("limits %+v", r)
	}
	if profile, err := o.seccomp(nil); err != nil || profile != nil || !o.noNewPrivs {
		t.Errorf("seccomp %v, %v; no_new_privs %v", profile, err, o.noNewPrivs)
	}
}

func TestRunRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, tt := range []struct {
		args string
		want string
	}{
		{"", "<image>"},
		{"--bad x", "unknown flag --bad"},
		{"--name -x x", "expected string"},
		{"--name a/b x", "--name a/b"},
		{"--hostname a_b x", "--hostname a_b"},
		{"--network mars x", "the networks are bridge, none, host and container:NAME"},
		{"--network container:y x", "--userns host"},
		{"--workdir tmp x", "not absolute"},
		{"-e =x x", "NAME=VALUE"},
		{"-v data x", "HOST:CONTAINER"},
		{"-v data:/data x", "name of a volume"},
		{"-v /tmp:data x", "not an absolute"},
		{"-v /tmp:/ x", "below the root"},
		{"-v /tmp:/x:rx x", `no option "rx"`},
		{"-v /tmp:/x:ro:y x", "HOST:CONTAINER"},
		{"-p x x", "the form is"},
		{"-p 0:80 x", "the form is"},
		{"-p 65536 x", "the form is"},
		{"-p 80/sctp x", "the form is"},
		{"-p 1.2.3:80:80 x", "no IPv4 address"},
		{"-p [::1]:80:80 x", "the form is"},
		{"-p 80 --network none x", "only a container in the bridge network"},
		{"-m x x", "--memory x"},
		{"-m -1 x", "memory"},
		{"-m 0 x", "--memory 0"},
		{"-m 9999999999g x", "--memory"},
		{"--cpus 0 x", "--cpus 0"},
		{"--cpus nan x", "--cpus nan"},
		{"--pids-limit=-2 x", "not negative"},
		{"--cap-add FLY x", "--cap-add FLY"},
		{"--cap-drop CAP_FLY x", "--cap-drop CAP_FLY"},
		{"--security-opt magic x", "no-new-privileges"},
		{"--security-opt seccomp=missing x", "missing"},
		{"--security-opt no-new-privileges=x x", "no-new-privileges"},
		{"--userns x x", "userns"},
	} {
		if _, _, err := parseRun(t, strings.Fields(tt.args)...); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.args, err, tt.want)
		}
	}
}

func TestCapabilities(t *testing.T) {
	known := container.Features().Linux.Capabilities
	sorted := slices.Sorted(slices.Values(container.DefaultCapabilities))
	without := func(list []string, name string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == name })
	}
	for _, tt := range []struct {
		add, drop, want []string
	}{
		{nil, nil, sorted},
		{[]string{"net_admin"}, nil, slices.Sorted(slices.Values(append(slices.Clone(sorted), "CAP_NET_ADMIN")))},
		{nil, []string{"CAP_CHOWN"}, without(sorted, "CAP_CHOWN")},
		{nil, []string{"all"}, []string{}},
		{[]string{"CHOWN"}, []string{"ALL"}, []string{"CAP_CHOWN"}},
		{[]string{"ALL"}, []string{"sys_admin"}, without(known, "CAP_SYS_ADMIN")},
		{[]string{"ALL"}, nil, known},
	} {
		got, err := capabilities(tt.add, tt.drop, known)
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("add %q, drop %q: %q, %v; want %q", tt.add, tt.drop, got, err, tt.want)
		}
	}
}

// TestAllCapabilities: all are those that there are to give.
func TestAllCapabilities(t *testing.T) {
	got, err := capabilities([]string{"ALL", "BPF"}, []string{"KILL"}, []string{"CAP_CHOWN", "CAP_KILL"})
	if err != nil || !slices.Equal(got, []string{"CAP_BPF", "CAP_CHOWN"}) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestParseBytes(t *testing.T) {
	for s, want := range map[string]int64{"1": 1, "512b": 512, "4k": 4096, "64m": 64 << 20, "64MB": 64 << 20, "2G": 2 << 30} {
		if got, err := parseBytes(s); got != want || err != nil {
			t.Errorf("%s: %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "m", "1x", "1.5g", "-1", "1bb", "1mk", "9223372036854775807g"} {
		if n, err := parseBytes(s); err == nil {
			t.Errorf("%q: %d", s, n)
		}
	}
}

func TestEnvironment(t *testing.T) {
	got := environment([]string{"PATH=/image", "A=1"}, []string{"A=2", "B=3", "HOME=/h"}, "host", "/root", true)
	want := []string{"PATH=/image", "HOSTNAME=host", "TERM=xterm", "HOME=/h", "A=2", "B=3"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestWithoutLocal(t *testing.T) {
	rest, local := withoutLocal([]byte("search x\nnameserver 127.0.0.53\nnameserver ::1\nnameserver 192.0.2.1\n"))
	if string(rest) != "search x\nnameserver 192.0.2.1\n" || !local {
		t.Errorf("%q, %v", rest, local)
	}
}
