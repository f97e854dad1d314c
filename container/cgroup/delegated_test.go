package cgroup

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDelegated: the highest group that can be written to, and what it may hand
// down. A file that is missing stands for one that may not be written.
func TestDelegated(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"cgroup.procs":       "",
		"user/cgroup.procs":  "", // cgroup.subtree_control is somebody else's
		"user/own/scope/tmp": "",
	} {
		put(t, filepath.Join(dir, name), content)
	}
	for _, group := range []string{"user/own", "user/own/scope"} {
		for file, content := range map[string]string{"cgroup.procs": "", "cgroup.subtree_control": "", "cgroup.controllers": "memory pids\n"} {
			put(t, filepath.Join(dir, group, file), content)
		}
	}
	h := &Host{Unified: dir}
	want := &Ours{Name: "/user/own", Controllers: []string{"memory", "pids"}}
	for _, name := range []string{"/user/own/scope", "/user/own"} {
		got, err := h.delegated(name)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v, %s", name, err, diff)
		}
	}
	for _, name := range []string{"/", "/user"} {
		if got, err := h.delegated(name); err != nil || got != nil {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	put(t, filepath.Join(dir, "user/own/cgroup.procs"), "17\n")
	if got, err := h.delegated("/user/own"); err != nil || got == nil || !got.Busy {
		t.Errorf("with a process in it: %+v, %v", got, err)
	}
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
