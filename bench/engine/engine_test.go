package engine

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fake makes a command docker that writes down what it is asked, and then does as
// script says, in which $1 is the verb.
func fake(t *testing.T, script string) (c *Client, asked func() []string) {
	t.Helper()
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	text := "#!/bin/sh\necho \"$*\" >>" + log + "\n" + script + "\n"
	if err := os.WriteFile(filepath.Join(dir, "docker"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	c, err := Find("docker")
	if err != nil {
		t.Fatal(err)
	}
	return c, func() []string {
		b, _ := os.ReadFile(log)
		return strings.Split(strings.TrimSpace(string(b)), "\n")
	}
}

// TestSweep: what a note tells of is removed, and the note with it; if the engine does
// not answer the note stays, and so it does for the next one that sweeps.
func TestSweep(t *testing.T) {
	const mine = "localhost/bench-abcdefgh:"
	dir := t.TempDir()
	c, asked := fake(t, `
[ ! -e `+dir+`/down ] || { echo no daemon >&2; exit 1; }
case $1 in ps) echo one; echo two;; images) echo `+mine+`1; echo debian:12; echo localhost/bench-other:1;; esac`)
	if err := c.Register(dir, "bench-abcdefgh", mine); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "down"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if removed, err := Sweep(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "no daemon") || !strings.Contains(err.Error(), "engine-docker.json") || removed != nil {
		t.Errorf("an engine that does not answer: %q, %v", removed, err)
	}
	if err := os.Remove(filepath.Join(dir, "down")); err != nil {
		t.Fatal(err)
	}
	removed, err := Sweep(t.Context(), dir)
	if want := []string{"docker container one", "docker container two", "docker image " + mine + "1"}; err != nil || !slices.Equal(removed, want) {
		t.Errorf("removed %q, %v, want %q", removed, err, want)
	}
	if got, want := asked()[1:], []string{
		"ps --all --no-trunc --quiet --filter label=bench.run=bench-abcdefgh", "rm --force --volumes one two",
		"images --format {{.Repository}}:{{.Tag}}", "rmi --force " + mine + "1",
	}; !slices.Equal(got, want) {
		t.Errorf("it was asked %q, want %q", got, want)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := os.WriteFile(filepath.Join(dir, "engine-docker.json"), []byte(`{"client":{"na`), 0o600); err != nil {
		t.Fatal(err)
	}
	if removed, err := Sweep(t.Context(), dir); removed != nil || err != nil {
		t.Errorf("half a note: %q, %v", removed, err)
	}
}

func TestLoad(t *testing.T) {
	for _, tt := range []struct {
		name, script, want string
		err                error
	}{
		{"loads", "[ $1 != load ] || cat >/dev/null; [ $1 != image ] || echo sha256:1", "", nil},
		{"refuses", "echo no space left >&2; exit 1", "no space left", nil},
		{"nothing to load", "cat >/dev/null", "half", errors.New("half")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := fake(t, tt.script)
			id, err := c.Load(t.Context(), "x", func(to io.Writer) error {
				// More than a pipe holds.
				_, err := to.Write(make([]byte, 1<<20))
				return errors.Join(err, tt.err)
			})
			if tt.want == "" && (err != nil || id != "sha256:1") || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%q, %v; want %q", id, err, tt.want)
			}
		})
	}
}

// TestPatience: an engine that hangs is not waited for.
func TestPatience(t *testing.T) {
	c, _ := fake(t, "exec sleep 100")
	begin := time.Now()
	_, err := c.Output(t.Context(), 50*time.Millisecond, "info")
	if err == nil || !strings.Contains(err.Error(), "did not answer within 50ms") || time.Since(begin) > 30*time.Second {
		t.Errorf("after %v: %v", time.Since(begin), err)
	}
}

// TestMonitors: of podman's monitors those of the run's containers are killed, and no
// other.
func TestMonitors(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	start := func(name string) *exec.Cmd {
		cmd := &exec.Cmd{Path: sh, Args: []string{"conmon", "-c", "read x", "-n", name}}
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			in.Close()
			cmd.Wait()
		})
		return cmd
	}
	run := "bench-test" + strings.ToLower(rand.Text()[:8])
	ours, other := start(run+"-podman-1"), start(run+"x-podman-1")
	killed, err := (&Client{Name: "podman"}).killMonitors(run + "-")
	if want := []string{fmt.Sprintf("process %d (conmon)", ours.Process.Pid)}; err != nil || !slices.Equal(killed, want) {
		t.Errorf("killed %q, %v, want %q", killed, err, want)
	}
	if err := other.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("another's: %v", err)
	}
}
