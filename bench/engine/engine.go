// Package engine talks to container engines, Docker and Podman, through the commands
// that people type.
//
// What is asked of an engine it keeps when the asker is gone: an image that was loaded,
// a container that runs. So each carries the ID of the run that made it, the run's
// folder holds a note of which engine has them ([Client.Register]), and who sweeps a
// dead run reads the note ([Sweep]).
package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Names are the engines that are known: their commands take the same arguments.
var Names = []string{"docker", "podman"}

// Label is the key of the label that a run's containers have; its value is the run's ID.
const Label = "bench.run"

// A Client is an engine's command, with the variables that tell it where the engine is.
type Client struct {
	Name string   `json:"name"`
	Path string   `json:"path"`
	Env  []string `json:"env"` // of the environment, those that concern it
}

// Find finds the command of an engine.
func Find(name string) (*Client, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return nil, fmt.Errorf("the command %s is not on PATH", name)
	}
	c := &Client{Name: name, Path: path}
	for _, e := range os.Environ() {
		// docker(1), podman(1), containers.conf(5), containers-storage.conf(5).
		for _, prefix := range []string{"PATH=", "HOME=", "XDG_", "DOCKER_", "CONTAINER_", "CONTAINERS_", "STORAGE_", "PODMAN_", "TMPDIR="} {
			if strings.HasPrefix(e, prefix) {
				c.Env = append(c.Env, e)
			}
		}
	}
	return c, nil
}

// Output runs the command, and gives what it prints. Without an answer in time it is
// killed.
func (c *Client) Output(ctx context.Context, patience time.Duration, args ...string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("it did not answer within %v", patience))
	defer cancel()
	cmd := exec.CommandContext(ctx, c.Path, args...)
	cmd.Env = c.Env
	cmd.WaitDelay = time.Second
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return "", fmt.Errorf("%s %s: %w: %s", c.Name, strings.Join(args, " "), err, lastLine(stderr.String()))
	}
	return strings.TrimSpace(out.String()), nil
}

// lastLine is that of what a command said when it failed.
func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// Info is what an engine says of itself.
type Info struct {
	Version string // of the engine, which need not be that of the command
	Runtime string // the OCI runtime that it calls
	Storage string // the driver that joins the layers
	Cgroups string // who makes the control groups, and their version
	Daemons []int  // processes that serve all containers; Podman has none
}

// patience is how long an engine may take to say what it is. One that starts upon the
// question (docker.socket of systemd) needs a second or two.
const patience = 5 * time.Second

// templates ask for the fields of Info.
var templates = map[string]string{
	"docker": "{{.ServerVersion}}\t{{.DefaultRuntime}}\t{{.Driver}}\t{{.CgroupDriver}}, version {{.CgroupVersion}}",
	"podman": "{{.Version.Version}}\t{{.Host.OCIRuntime.Name}}\t{{.Store.GraphDriverName}}\t{{.Host.CgroupManager}}, version {{.Host.CgroupsVersion}}",
}

// Ask asks the engine what it is: that there is a command does not mean that an engine
// answers it.
func (c *Client) Ask(ctx context.Context) (i Info, err error) {
	out, err := c.Output(ctx, patience, "info", "--format", templates[c.Name])
	if err != nil {
		return i, err
	}
	f := strings.Split(out, "\t")
	if len(f) != 4 || f[0] == "" { // docker info may print an error, and succeed
		return i, fmt.Errorf("%s info: no engine answers; it prints %.200q", c.Name, out)
	}
	return Info{Version: f[0], Runtime: f[1], Storage: f[2], Cgroups: strings.Replace(f[3], "version v", "version ", 1)}, nil
}

// Load gives the engine an image, as the archive that write writes, and returns the ID
// that the image has there. The archive says the image's name.
func (c *Client) Load(ctx context.Context, name string, write func(io.Writer) error) (id string, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, c.Path, "load", "--quiet")
	cmd.Env, cmd.Stdin, cmd.WaitDelay = c.Env, r, time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return "", errors.Join(err, r.Close(), w.Close())
	}
	r.Close()
	written := write(w)
	w.Close()
	err = cmd.Wait()
	if errors.Is(written, unix.EPIPE) && err != nil { // it says why it does not want more
		written = nil
	}
	if err = errors.Join(written, err); err != nil {
		return "", fmt.Errorf("%s load: %w: %s", c.Name, err, lastLine(out.String()))
	}
	return c.Output(ctx, patience, "image", "inspect", "--format", "{{.Id}}", name)
}

// removePatience is how long an engine may take to remove something.
const removePatience = 20 * time.Second

// RemoveContainers kills containers and removes them. That there is none of a name is
// no error.
func (c *Client) RemoveContainers(ctx context.Context, names ...string) error {
	args := []string{"rm", "--force", "--volumes"}
	if c.Name == "podman" {
		args = append(args, "--time", "0") // it would first ask the container to end, and give it 10 s
	}
	_, err := c.Output(ctx, removePatience, append(args, names...)...)
	for range 3 {
		// podman 4 does not kill what has ended since it looked.
		if err == nil || !strings.Contains(err.Error(), "container state improper") {
			break
		}
		_, err = c.Output(ctx, removePatience, append(args, names...)...)
	}
	if err != nil && strings.Contains(strings.ToLower(err.Error()), "no such container") {
		return nil
	}
	return err
}

// RemoveImages removes images, or their names where others have the image too.
func (c *Client) RemoveImages(ctx context.Context, names ...string) error {
	_, err := c.Output(ctx, removePatience, append([]string{"rmi", "--force"}, names...)...)
	return err
}

// Remove removes the containers of a run, whatever they do, and the images whose name
// begins with prefix. It says what it removed.
func (c *Client) Remove(ctx context.Context, run, prefix string) (removed []string, err error) {
	containers, err := c.Output(ctx, removePatience, "ps", "--all", "--no-trunc", "--quiet", "--filter", "label="+Label+"="+run)
	if err != nil {
		return nil, err
	}
	if ids := strings.Fields(containers); len(ids) > 0 {
		if err := c.RemoveContainers(ctx, ids...); err != nil {
			return nil, err
		}
		for _, id := range ids {
			removed = append(removed, c.Name+" container "+id)
		}
	}
	monitors, err := c.killMonitors(run + "-")
	removed = append(removed, monitors...)
	if err != nil {
		return removed, err
	}
	images, err := c.Output(ctx, removePatience, "images", "--format", "{{.Repository}}:{{.Tag}}")
	if err != nil {
		return removed, err
	}
	names := slices.DeleteFunc(strings.Fields(images), func(n string) bool { return !strings.HasPrefix(n, prefix) })
	if len(names) > 0 {
		if err := c.RemoveImages(ctx, names...); err != nil {
			return removed, err
		}
		for _, n := range names {
			removed = append(removed, c.Name+" image "+n)
		}
	}
	return removed, nil
}

// killMonitors kills what podman has left of containers whose names begin with prefix:
// if the command is killed between making a container and starting it, the monitor
// (conmon, whose argument -n is the name) waits for ever, and podman knows it no more.
func (c *Client) killMonitors(prefix string) (killed []string, err error) {
	if c.Name != "podman" {
		return nil, nil
	}
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		args := strings.Split(string(b), "\x00")
		at := slices.Index(args, "-n")
		if filepath.Base(args[0]) != "conmon" || at < 0 || at+1 >= len(args) || !strings.HasPrefix(args[at+1], prefix) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			return killed, err
		}
		// One whose container was just removed may be about to end.
		if err := unix.Kill(pid, unix.SIGKILL); err == nil {
			killed = append(killed, "process "+strconv.Itoa(pid)+" (conmon)")
		} else if !errors.Is(err, unix.ESRCH) {
			return killed, fmt.Errorf("killing process %d, which watched over a container: %w", pid, err)
		}
	}
	return killed, nil
}

// note is what a run's folder holds of an engine.
type note struct {
	Client *Client `json:"client"`
	Run    string  `json:"run"`
	Images string  `json:"images"` // how the names of the run's images begin
}

func (n note) marshal() ([]byte, error) { return json.MarshalIndent(n, "", "\t") }
