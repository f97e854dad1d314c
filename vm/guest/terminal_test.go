package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/vm/guest/wire"
)

// TestTerminal: the program has a terminal of the size that the host says, what is
// typed becomes lines and signals, and when the host's end goes, it is hung up. The
// ports are pipes here.
func TestTerminal(t *testing.T) {
	dir := t.TempDir()
	ports := map[string]string{}
	ends := map[string]*os.File{}
	for _, name := range []string{wire.OutputPort, wire.InputPort} {
		ports[name] = filepath.Join(dir, name)
		if err := unix.Mkfifo(ports[name], 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(ports[name], os.O_RDWR|unix.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		ends[name] = f
	}
	g, w := newGuest(t)
	w.attach(g)
	g.ports = ports
	g.spec = specs.Spec{
		Version: specs.Version, Root: &specs.Root{Path: "/"}, Annotations: map[string]string{wire.Streams: "stderr stdin"},
		Process: &specs.Process{
			Args:     []string{"sh", "-c", `trap 'stty size' WINCH; trap 'echo caught' INT; trap 'exit 5' HUP; stty size; echo errors >&2; while :; do read line && echo "got $line"; done`},
			Env:      []string{"PATH=/usr/bin:/bin"},
			Cwd:      dir,
			User:     specs.User{UID: uint32(os.Getuid()), GID: uint32(os.Getgid())},
			Terminal: true, ConsoleSize: &specs.Box{Height: 33, Width: 77},
		},
	}
	if err := g.openStreams(); err != nil {
		t.Fatal(err)
	}
	if err := g.startWorkload(); err != nil {
		t.Fatal(err)
	}
	expect := func(want string) {
		t.Helper()
		ends[wire.OutputPort].SetReadDeadline(time.Now().Add(hurry))
		var all strings.Builder
		for b := make([]byte, 4096); !strings.Contains(all.String(), want); {
			n, err := ends[wire.OutputPort].Read(b)
			all.Write(b[:n])
			if err != nil {
				t.Fatalf("waiting for %q: %v; read %q", want, err, all.String())
			}
		}
	}
	expect("33 77\r\nerrors\r\n")
	ends[wire.InputPort].WriteString("a lien\x7f\x7f\x7fine\r")
	expect("got a line\r\n")
	g.resize(20, 50)
	expect("20 50\r\n")
	ends[wire.InputPort].WriteString("\x03")
	expect("caught\r\n")
	go g.reap()
	ends[wire.InputPort].Close()
	reports, console := w.rest()
	if diff := cmp.Diff([]wire.Report{{Event: wire.EventExited, Code: 5}}, reports); diff != "" || console != "" {
		t.Errorf("console %q\n%s", console, diff)
	}
}
