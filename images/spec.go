package images

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Process is what a container of the image runs: image-spec config.md and
// conversion.md.
type Process struct {
	Args []string
	Env  []string
	Cwd  string
	User specs.User // by number; root is the zero one
}

// Process gives the image's program, with args in place of its default
// arguments, if there are any. Where the image names a user, their number and home are
// looked up in its files, for which its layers are unpacked (Unpack).
func (i *Image) Process(args []string) (Process, error) {
	c := i.Config.Config
	if len(args) == 0 {
		args = c.Cmd
	}
	p := Process{Args: append(append([]string{}, c.Entrypoint...), args...), Env: c.Env, Cwd: c.WorkingDir}
	if len(p.Args) == 0 {
		return p, errors.New("the image " + i.Name + " names no program, and none was given")
	}
	if p.Cwd == "" {
		p.Cwd = "/"
	}
	if c.User == "" || c.User == "0" || c.User == "root" {
		return p, nil
	}
	layers, err := i.Unpack(context.Background())
	if err != nil {
		return p, err
	}
	user, home, err := ResolveUser(c.User, ReadFile(layers, "etc/passwd"), ReadFile(layers, "etc/group"))
	if err != nil {
		return p, fmt.Errorf("the image %s: %w", i.Name, err)
	}
	p.User = user
	for _, e := range p.Env {
		if strings.HasPrefix(e, "HOME=") {
			return p, nil
		}
	}
	p.Env = append(append([]string{}, p.Env...), "HOME="+home)
	return p, nil
}
