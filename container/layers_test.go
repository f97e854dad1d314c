package container

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestOverlay: what a container writes or removes is its own; the layers stay
// as they are, and the next container sees them so.
func TestOverlay(t *testing.T) {
	needRoot(t)
	below := layer(t, map[string]string{"etc/motd": "below", "etc/only": "below"})
	above := layer(t, map[string]string{"etc/motd": "above"})
	l := layersOf(t, below, above)
	s := sample("cat /etc/motd", "cat /etc/only", "write /etc/motd CHANGED", "rm /etc/only", "write /etc/new x", "pause")
	b := startBox(t, l, s)
	var results []probed
	for range 5 { // pause ends the list and says only "ready"
		line, err := b.stdout.ReadBytes('\n')
		if err != nil {
			t.Fatal(err)
		}
		var r probed
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		results = append(results, r)
	}
	b.ready(t)
	want := []probed{{s.Process.Args[1], "above", ""}, {s.Process.Args[2], "below", ""}, {s.Process.Args[3], "", ""}, {s.Process.Args[4], "", ""}, {s.Process.Args[5], "", ""}}
	if diff := cmp.Diff(want, results); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	upper := filepath.Join(b.cfg.Dir, "upper")
	if c, err := os.ReadFile(filepath.Join(upper, "etc/motd")); err != nil || string(c) != "CHANGED" {
		t.Errorf("the upper layer holds %q, %v", c, err)
	}
	if info, err := os.Stat(filepath.Join(upper, "etc/new")); err != nil || info.Sys().(*syscall.Stat_t).Uid != s.Linux.UIDMappings[0].HostID {
		t.Errorf("a new file does not belong to the container's root: %v", err)
	}
	for path, want := range map[string]string{filepath.Join(below, "etc/motd"): "below", filepath.Join(below, "etc/only"): "below", filepath.Join(above, "etc/motd"): "above"} {
		if c, err := os.ReadFile(path); err != nil || string(c) != want {
			t.Errorf("the image has changed: %s holds %q, %v", path, c, err)
		}
	}
	got := do(t, l, sample("cat /etc/motd", "cat /etc/only", "cat /etc/new"))
	wants(t, got, map[string]string{"cat /etc/motd": "above", "cat /etc/only": "below", "cat /etc/new": "!ENOENT"})
}

// TestManyLayers: more than fit into one value of fsconfig(2).
func TestManyLayers(t *testing.T) {
	needRoot(t)
	var dirs []string
	for i := range 40 {
		dirs = append(dirs, layer(t, map[string]string{"n": strconv.Itoa(i), fmt.Sprintf("n%d", i): "x"}))
	}
	l := layersOf(t, dirs...)
	if olderThan(t, 6, 5) {
		if _, err := tryBox(t, l, sample("exit 0")); err == nil || !strings.Contains(err.Error(), "Linux before 6.5") {
			t.Errorf("err = %v", err)
		}
		return
	}
	got := do(t, l, sample("cat /n", "cat /n0", "cat /n39"))
	wants(t, got, map[string]string{"cat /n": "39", "cat /n0": "x", "cat /n39": "x"})
}

func TestReadOnlyRoot(t *testing.T) {
	needRoot(t)
	s := sample("write /new x", "write /text x", "write /dev/shm/x x", "write /dev/null x")
	s.Root.Readonly = true
	wants(t, do(t, layersOf(t, layer(t, map[string]string{"text": "x"})), s), map[string]string{"write /new x": "!EROFS", "write /text x": "!EROFS", "write /dev/shm/x x": "", "write /dev/null x": ""})
}

// TestHostileImage: links in the image do not lead a mount or a mask out of it.
func TestHostileImage(t *testing.T) {
	needRoot(t)
	outside := t.TempDir()
	dir := t.TempDir()
	for _, name := range []string{"dev", "sys"} { // mount points that are links to the host
		if err := os.Symlink(outside, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, outside), 0o755); err != nil { // which inside lead here
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/shadow", filepath.Join(dir, "masked")); err != nil {
		t.Fatal(err)
	}
	s := sample("ls /", "stat /dev/null", "cat /masked")
	s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/masked", "/probe/not-a-folder")
	s.Mounts = deleteMount(s.Mounts, "/sys")
	got := do(t, layersOf(t, dir), s)
	if got["stat /dev/null"].Err != "" || got["cat /masked"].Err != "ENOENT" {
		t.Error(got)
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
		t.Errorf("made outside of the image: %v, %v", entries, err)
	}
}
