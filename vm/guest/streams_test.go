package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"vmctr/vm/guest/wire"
)

// TestStreams: with streams to the host the program has pipes, which it may open
// again, and what goes through is copied between them and the ports: here files.
func TestStreams(t *testing.T) {
	dir := t.TempDir()
	ports := map[string]string{}
	for name, content := range map[string]string{wire.OutputPort: "", wire.ErrorPort: "", wire.InputPort: strings.Repeat("input\n", 10_000)} {
		ports[name] = filepath.Join(dir, name)
		if err := os.WriteFile(ports[name], []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name, streams  string
		output, errors string
	}{
		{"both", "stderr stdin", "60000 pipe pipe\nagain\n", "errors\n"},
		{"no input", "stderr", "0 null pipe\nagain\n", "errors\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, name := range []string{wire.OutputPort, wire.ErrorPort} {
				if err := os.Truncate(ports[name], 0); err != nil {
					t.Fatal(err)
				}
			}
			g, w := newGuest(t)
			w.attach(g)
			g.ports = ports
			script := `n=$(wc -c); in=$(readlink /proc/self/fd/0); out=$(readlink /proc/$$/fd/1)
				echo $n $(basename ${in%%:*}) ${out%%:*}; echo again >/proc/self/fd/1; echo errors >&2`
			g.spec = specs.Spec{
				Version: specs.Version, Root: &specs.Root{Path: "/"}, Annotations: map[string]string{wire.Streams: tt.streams},
				Process: &specs.Process{Args: []string{"sh", "-c", script}, Env: []string{"PATH=/usr/bin:/bin"}, Cwd: dir, User: specs.User{UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}},
			}
			if err := g.openStreams(); err != nil {
				t.Fatal(err)
			}
			if err := g.startWorkload(); err != nil {
				t.Fatal(err)
			}
			go g.reap()
			if reports, console := w.rest(); len(reports) != 1 || reports[0].Code != 0 || console != "" {
				t.Errorf("reports %+v, console %q", reports, console)
			}
			for port, want := range map[string]string{wire.OutputPort: tt.output, wire.ErrorPort: tt.errors} {
				if got, err := os.ReadFile(ports[port]); string(got) != want || err != nil {
					t.Errorf("%s: %q, want %q (%v)", port, got, want, err)
				}
			}
		})
	}
}

// TestLayersRefused: how many layers there are is what the host says, or nothing.
func TestLayersRefused(t *testing.T) {
	for _, tt := range []struct {
		layers string
		want   string
	}{{"", `"" is no number of layers`}, {"0", `"0" is no number`}, {"two", `"two" is no number`}} {
		g := &guest{spec: specs.Spec{Annotations: map[string]string{wire.Layers: tt.layers}}}
		if err := g.joinLayers(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v", tt.layers, err)
		}
	}
	if err := new(guest).joinLayers(); err != nil {
		t.Errorf("an image in memory: %v", err)
	}
}
