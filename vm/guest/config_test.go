package main

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"vmctr/container"
	"vmctr/vm/guest/wire"
)

func TestParseConfig(t *testing.T) {
	score := 500
	process := &specs.Spec{
		Version: specs.Version, Hostname: "machine", Root: &specs.Root{Path: "/"}, Annotations: map[string]string{wire.Layers: "2"},
		Process: &specs.Process{
			Args: []string{"a", "b"}, Env: []string{"A=b"}, Cwd: "/c", User: specs.User{UID: 1, AdditionalGids: []uint32{2}},
			Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Hard: 2, Soft: 1}}, OOMScoreAdj: &score, Terminal: true,
		},
	}
	contained := container.DefaultSpec([]string{"a"}, nil, "/")
	contained.Annotations = map[string]string{wire.Container: "", wire.Layers: "1"}
	for _, want := range []*specs.Spec{process, contained} {
		b, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseConfig(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(*want, got); diff != "" {
			t.Error(diff)
		}
	}
	for _, bad := range []string{"", "{", `{"process": 1}`, `{"annotations": {"bench.container": ""}, "linux": 1}`} {
		if s, err := parseConfig([]byte(bad)); err == nil {
			t.Errorf("%q: %+v", bad, s)
		}
	}
}

// TestCheckContainer: what no container can be started from is refused before
// anything is mounted.
func TestCheckContainer(t *testing.T) {
	for _, tt := range []struct {
		name        string
		annotations map[string]string
		linux       *specs.Linux
		ok          bool
	}{
		{"a process", nil, nil, true},
		{"a container", map[string]string{wire.Container: "", wire.Layers: "2"}, &specs.Linux{}, true},
		{"without layers", map[string]string{wire.Container: ""}, &specs.Linux{}, false},
		{"layers without a number", map[string]string{wire.Container: "", wire.Layers: "two"}, &specs.Linux{}, false},
		{"without linux", map[string]string{wire.Container: "", wire.Layers: "2"}, nil, false},
	} {
		g := &guest{spec: specs.Spec{Annotations: tt.annotations, Linux: tt.linux}}
		if err := g.checkContainer(); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
