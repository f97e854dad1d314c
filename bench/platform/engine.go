package platform

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/procfs"

	"vmctr/bench/engine"
)

func init() {
	for _, name := range engine.Names {
		register(byEngine{name})
	}
}

// byEngine is a container of an engine that is installed, as who types "docker run"
// gets it. It is started by that command line and not over the engine's API: the
// command is a part of what its user waits for.
type byEngine struct{ name string }

func (p byEngine) Info() Info {
	return Info{Name: p.name, Title: "container of the engine " + p.name + " (" + p.name + " run)", Kind: "container", Optional: true}
}

func (p byEngine) Available(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return &UnavailableError{Reason: "an engine's containers are another user's processes, whose memory only root may read", Fix: "run as root: sudo scripts/bench"}
	}
	_, _, err := p.ask(ctx)
	return err
}

// ask asks the engine whether it is there.
func (p byEngine) ask(ctx context.Context) (*engine.Client, engine.Info, error) {
	c, err := engine.Find(p.name)
	if err != nil {
		return nil, engine.Info{}, &UnavailableError{Reason: err.Error(), Fix: "install the engine: apt-get install " + map[string]string{"docker": "docker.io", "podman": "podman"}[p.name]}
	}
	i, err := c.Ask(ctx)
	if err != nil {
		fix := "see what it says: " + p.name + " info"
		if p.name == "docker" {
			fix = "start its daemon: systemctl start docker, or dockerd"
		}
		return nil, i, &UnavailableError{Reason: err.Error(), Fix: fix}
	}
	return c, i, nil
}

// loads numbers the images that this process gives to engines: two that are the same
// have names of their own, so that each can be removed by itself.
var loads atomic.Int64

// startPatience is how long an engine may take until a container runs.
const startPatience = 30 * time.Second

// Prepare gives the engine the image, and starts one container: whether the engine has
// it on this host, and on a network that the host reaches, shows by trying.
func (p byEngine) Prepare(ctx context.Context, w Workload) (_ Prepared, err error) {
	c, info, err := p.ask(ctx)
	if err != nil {
		return nil, err
	}
	prefix := "localhost/" + w.RunID + ":"
	pr := &preparedEngine{w: w, client: c, info: info, prefix: prefix, image: prefix + strconv.FormatInt(loads.Add(1), 10)}
	// The run's own folder, where who sweeps it looks: w.Dir may be one in a folder of it.
	if err := c.Register(w.NetworkDir, w.RunID, prefix); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil && pr.id != "" {
			err = errors.Join(err, pr.Close())
		}
	}()
	if pr.id, err = c.Load(ctx, pr.image, w.Image.Archive(ctx, pr.image)); err != nil {
		return nil, err
	}
	if err := pr.sameImage(ctx); err != nil {
		return nil, err
	}
	if pr.arguments, err = pr.process(); err != nil {
		return nil, err
	}
	if w.Port == 0 {
		pr.network = "none"
	}
	for {
		err := pr.try(ctx)
		if err == nil {
			return pr, nil
		}
		if pr.network != "" || ctx.Err() != nil {
			return nil, err
		}
		// An engine whose network cannot be made here still starts containers.
		pr.network, pr.noNetwork = "none", err.Error()
	}
}

// HasNetwork tells whether the instances of a platform can be reached at all; an engine
// starts them without a network where it cannot make one.
func HasNetwork(p Prepared) bool {
	e, ok := p.(*preparedEngine)
	return !ok || e.network != "none"
}

type preparedEngine struct {
	w         Workload
	client    *engine.Client
	info      engine.Info
	prefix    string // of the names of the run's images
	image, id string
	arguments []string // of the command, from the image's name on, and what has to come before it
	network   string   // for --network; "" for the engine's own
	noNetwork string   // why there is none
	count     atomic.Int64
}

// sameImage tells whether the engine has the very layers that we have.
func (p *preparedEngine) sameImage(ctx context.Context) error {
	const patience = 5 * time.Second
	out, err := p.client.Output(ctx, patience, "image", "inspect", "--format", "{{range .RootFS.Layers}}{{println .}}{{end}}", p.image)
	if err != nil {
		return err
	}
	if have, want := strings.Fields(out), p.w.Image.DiffIDs(); !slices.Equal(have, want) {
		return fmt.Errorf("%s has loaded another image than it was given: its layers are %q, not %q", p.client.Name, have, want)
	}
	return nil
}

// process is what the workload's process is on the command line: nothing but the
// arguments after the image's name, where the image says the rest.
func (p *preparedEngine) process() ([]string, error) {
	c, want := p.w.Image.Config.Config, p.w.Process
	var before []string
	if cwd := c.WorkingDir; want.Cwd != cwd && (cwd != "" || want.Cwd != "/") {
		before = append(before, "--workdir", want.Cwd)
	}
	for _, e := range want.Env {
		if !slices.Contains(c.Env, e) {
			before = append(before, "--env", e)
		}
	}
	if n := len(c.Entrypoint); len(want.Args) >= n && slices.Equal(want.Args[:n], c.Entrypoint) {
		return append(append(before, p.image), want.Args[n:]...), nil
	}
	if len(want.Args) == 0 {
		return nil, errors.New("the workload names no program")
	}
	return append(append(before, "--entrypoint", want.Args[0], p.image), want.Args[1:]...), nil
}

// command is "docker run" with its arguments.
func (p *preparedEngine) command(name, idFile string) []string {
	args := []string{
		p.client.Path, "run", "--name", name, "--cidfile", idFile, "--label", engine.Label + "=" + p.w.RunID, "--pull", "never",
	}
	for _, limit := range []struct {
		option string
		value  int64
	}{{"--memory", p.w.Memory}, {"--cpus", int64(p.w.CPUs)}, {"--pids-limit", p.w.Pids}} {
		if limit.value > 0 { // without, it is no limit
			args = append(args, limit.option, strconv.FormatInt(limit.value, 10))
		}
	}
	if p.network != "" {
		args = append(args, "--network", p.network)
	}
	return append(args, p.arguments...)
}

// try starts a container, and looks whether it is a process of this host.
func (p *preparedEngine) try(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, startPatience, fmt.Errorf("no process of it was seen within %v", startPatience))
	defer cancel()
	i, err := p.start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.Stop(ctx)) }()
	for {
		_, err := i.find()
		if err == nil {
			return nil
		}
		select {
		case <-i.done:
			if i.code >= 0 && (i.code < 125 || i.code > 127) {
				return nil // the workload's own status (docker-run(1)): it has run
			}
			return &UnavailableError{
				Reason: fmt.Sprintf("%s starts no container on this host: %v", p.client.Name, i.Err()),
				Fix:    "see what it says to: " + strings.Join(p.command("try", "/dev/null"), " "),
			}
		case <-ctx.Done():
			return &UnavailableError{
				Reason: fmt.Sprintf("%s runs no container that is a process of this host: %v, %v", p.client.Name, context.Cause(ctx), err),
				Fix:    "an engine in a virtual machine or on another host (Docker Desktop, DOCKER_HOST) cannot be measured from here; take one on this host",
			}
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (p *preparedEngine) Facts() Facts {
	network := "the engine's own, and so its default: " + p.network
	switch {
	case p.noNetwork != "":
		network = "none: on its own network no container starts here: " + p.noNetwork
	case p.network == "":
		network = "the engine's own by default, without published ports"
	}
	f := Facts{Details: p.w.withLimits(map[string]string{
		"engine":         p.client.Name + " " + p.info.Version + " (" + p.client.Path + ")",
		"runtime":        p.info.Runtime,
		"storage driver": p.info.Storage,
		"cgroups":        "made by " + p.info.Cgroups,
		"image in it":    p.id,
		"command":        strings.Join(p.command("NAME", "FILE"), " "),
		"network":        network,
		"output":         "passes the engine and its command, as its user sees it; how long that takes is measured through all of them",
		"processes":      "the container's, and its monitor's (containerd-shim, conmon), count; the command that waits for it does not, since a container in the background has none",
	})}
	if d := daemons(p.client.Name); d != "" {
		f.Details["daemons"] = d
	}
	return f
}

// daemons tells what processes serve all containers of an engine, and what memory they
// have: it is nobody's, and no container would be there without them.
func daemons(name string) string {
	if name != "docker" {
		return ""
	}
	processes, err := procfs.AllProcs()
	if err != nil {
		return ""
	}
	var list []string
	for _, p := range processes {
		comm, err := p.Comm()
		if err != nil || comm != "dockerd" && comm != "containerd" {
			continue
		}
		if r, err := p.ProcSMapsRollup(); err == nil {
			list = append(list, fmt.Sprintf("%s (process %d) %.1f MiB", comm, p.PID, float64(r.Pss)/(1<<20)))
		}
	}
	if len(list) == 0 {
		return ""
	}
	return "PSS when it was prepared, which no figure counts: " + strings.Join(list, ", ")
}

func (p *preparedEngine) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return p.client.RemoveImages(ctx, p.image)
}
