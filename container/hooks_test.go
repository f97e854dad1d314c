package container

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestHooks: at every point before the program, with the state on standard
// input; one that fails ends the start.
func TestHooks(t *testing.T) {
	needRoot(t)
	if _, err := os.Stat("/bin/sh"); err != nil {
		t.Skip("hooks of this test are shell scripts, and here is no sh")
	}
	dir, dev := t.TempDir(), null(t)
	script := filepath.Join(dir, "hook")
	text := "#!/bin/sh\ncat >" + dir + "/$1.json\nreadlink /proc/self/ns/net >" + dir + "/$1.net\n[ $1 != fails ] || { echo no good; exit 3; }\n"
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	hook := func(name string) []specs.Hook {
		return []specs.Hook{{Path: script, Args: []string{"hook", name}, Env: []string{"PATH=" + os.Getenv("PATH")}}}
	}
	s := sample("exit 0")
	s.Hooks = &specs.Hooks{CreateRuntime: hook("runtime"), CreateContainer: hook("container")}
	cfg := Config{ID: "hooked", Spec: s, Layers: layersOf(t), Dir: filepath.Join(dir, "c"), Stdin: dev, Stdout: dev, Stderr: dev}
	c, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Remove(t.Context()); err != nil {
		t.Error(err)
	}
	here, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for name, inside := range map[string]bool{"runtime": false, "container": true} {
		b, err := os.ReadFile(filepath.Join(dir, name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var state specs.State
		if err := json.Unmarshal(b, &state); err != nil || state.ID != "hooked" || state.Pid != c.PID() || state.Status != specs.StateCreating {
			t.Errorf("%s got %s (%v)", name, b, err)
		}
		ns, err := os.ReadFile(filepath.Join(dir, name+".net"))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSpace(string(ns)) != here; got != inside {
			t.Errorf("%s ran in %s, the host is %s", name, ns, here)
		}
	}
	s = sample("exit 0")
	s.Hooks = &specs.Hooks{CreateRuntime: hook("fails")}
	cfg.Spec = s
	own := t.TempDir()
	cfg.Dir = filepath.Join(own, "c")
	before := footprintOf(t, own)
	if _, err := Start(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "hooks.createRuntime[0]") || !strings.Contains(err.Error(), "exit status 3: no good") {
		t.Errorf("a hook that fails: %v", err)
	}
	before.check(t, own, "a hook fails")
}

// TestHookPoints: all six, in their order, each with the state that the
// container is in; a startContainer hook is the image's program, and has the
// powers of the container and no more.
func TestHookPoints(t *testing.T) {
	needRoot(t)
	if _, err := os.Stat("/bin/sh"); err != nil {
		t.Skip("hooks of this test are shell scripts, and here is no sh")
	}
	dir, dev := t.TempDir(), null(t)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(dir, "hook")
	text := "#!/bin/sh\necho $1 >>" + dir + "/order\ncat >" + dir + "/$1.json\n[ $2 = good ] || { echo no good; exit 3; }\n"
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	hook := func(name, outcome string) []specs.Hook {
		return []specs.Hook{{Path: script, Args: []string{"hook", name, outcome}, Env: []string{"PATH=" + os.Getenv("PATH")}}}
	}
	spec := func() *specs.Spec {
		s := sample("pause")
		s.Hooks = &specs.Hooks{CreateRuntime: hook("createRuntime", "good"), CreateContainer: hook("createContainer", "good"),
			// The probe writes what it is to the volume.
			StartContainer: []specs.Hook{{Path: "/probe", Args: []string{"hook", "copyto /volume/startContainer.json", "copyfile /proc/self/status /volume/status"}}},
			Poststart:      hook("poststart", "good"), Poststop: append(hook("poststop", "bad"), hook("poststop2", "good")...)}
		//lint:ignore SA1019 Docker uses it
		s.Hooks.Prestart = hook("prestart", "good")
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/volume", Source: dir, Options: []string{"bind"}})
		s.Annotations = map[string]string{"com.example": "yes"}
		return s
	}
	l, root := layersOf(t), filepath.Join(t.TempDir(), "state")
	create := func(s *specs.Spec) *Handle {
		h, err := Create(t.Context(), root, Config{ID: "points", Bundle: "/bundle", Spec: s, Layers: l, Dir: filepath.Join(t.TempDir(), "c"), Stdin: dev, Stdout: dev, Stderr: dev})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	h := create(spec())
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	pid := h.Pid
	err := h.Delete(t.Context(), true)
	var w Warning
	if !errors.As(err, &w) || !strings.Contains(err.Error(), "hooks.poststop[0]") || !strings.Contains(err.Error(), "no good") {
		t.Errorf("a poststop hook that fails: %v", err)
	}
	if order, err := os.ReadFile(dir + "/order"); err != nil || string(order) != "prestart\ncreateRuntime\ncreateContainer\npoststart\npoststop\npoststop2\n" {
		t.Errorf("the order: %q, %v", order, err)
	}
	for name, status := range map[string]specs.ContainerState{"prestart": specs.StateCreating, "createRuntime": specs.StateCreating, "createContainer": specs.StateCreating,
		"startContainer": specs.StateCreated, "poststart": specs.StateRunning, "poststop": specs.StateStopped, "poststop2": specs.StateStopped} {
		b, err := os.ReadFile(filepath.Join(dir, name+".json"))
		if err != nil {
			t.Error(err)
			continue
		}
		want := specs.State{Version: specs.Version, ID: "points", Status: status, Pid: pid, Bundle: "/bundle", Annotations: map[string]string{"com.example": "yes"}}
		if status == specs.StateStopped {
			want.Pid = 0
		}
		var got specs.State
		if err := json.Unmarshal(b, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s got %s (%v), want %+v", name, b, err, want)
		}
	}
	if b, err := os.ReadFile(dir + "/status"); err != nil || !strings.Contains(string(b), "CapEff:\t00000000a80425fb\n") || !strings.Contains(string(b), "NoNewPrivs:\t1\n") {
		t.Errorf("the startContainer hook ran as %s, %v", b, err)
	}
	if info, err := os.Stat(dir + "/status"); err != nil || info.Sys().(*syscall.Stat_t).Uid != idBase {
		t.Errorf("the startContainer hook is not the container's root: %v", err)
	}

	// One that fails: the container ends.
	for name, change := range map[string]func(*specs.Hooks){
		"startContainer": func(h *specs.Hooks) { h.StartContainer[0].Args = []string{"hook", "exit 4"} },
		"poststart":      func(h *specs.Hooks) { h.Poststart = hook("poststart", "bad") },
	} {
		s := spec()
		change(s.Hooks)
		h := create(s)
		if err := h.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "hooks."+name+"[0]") {
			t.Errorf("%s fails: %v", name, err)
		}
		if _, err := h.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		if err := h.Delete(t.Context(), true); !errors.As(err, &w) {
			t.Error(err)
		}
	}
	// A creation that fails ends with the poststop hooks, too.
	os.Remove(dir + "/order")
	s := spec()
	s.Hooks.CreateContainer = hook("createContainer", "bad")
	if _, err := Create(t.Context(), root, Config{ID: "points", Spec: s, Layers: l, Dir: filepath.Join(t.TempDir(), "c"), Stdin: dev, Stdout: dev, Stderr: dev}); err == nil || !strings.Contains(err.Error(), "hooks.createContainer[0]") {
		t.Errorf("a createContainer hook that fails: %v", err)
	}
	if order, err := os.ReadFile(dir + "/order"); err != nil || string(order) != "prestart\ncreateRuntime\ncreateContainer\npoststop\npoststop2\n" {
		t.Errorf("the order: %q, %v", order, err)
	}
	// Without a state folder.
	os.Remove(dir + "/order")
	s = spec()
	if _, err := Start(t.Context(), Config{Spec: s, Layers: l, Dir: filepath.Join(t.TempDir(), "c"), Stdin: dev, Stdout: dev, Stderr: dev}); err == nil || !strings.Contains(err.Error(), "hooks.startContainer") {
		t.Errorf("err = %v", err)
	}
	s.Hooks.StartContainer = nil
	c, err := Start(t.Context(), Config{Spec: s, Layers: l, Dir: filepath.Join(t.TempDir(), "c"), Stdin: dev, Stdout: dev, Stderr: dev})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Remove(t.Context()); !errors.As(err, &w) {
		t.Error(err)
	}
	if err := c.Remove(t.Context()); err != nil {
		t.Errorf("removed twice: %v", err)
	}
	if order, err := os.ReadFile(dir + "/order"); err != nil || string(order) != "prestart\ncreateRuntime\ncreateContainer\npoststart\npoststop\npoststop2\n" {
		t.Errorf("the order: %q, %v", order, err)
	}
}
