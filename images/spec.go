package images

import (
	"errors"
)

// Process is what a container of the image runs: image-spec config.md and
// conversion.md, without a user, which the workload's image does not set.
type Process struct {
	Args []string
	Env  []string
	Cwd  string
}

// Process gives the image's program, with args in place of its default
// arguments, if there are any.
func (i *Image) Process(args []string) (Process, error) {
	c := i.Config.Config
	if len(args) == 0 {
		args = c.Cmd
	}
	p := Process{Args: append(append([]string{}, c.Entrypoint...), args...), Env: c.Env, Cwd: c.WorkingDir}
	if len(p.Args) == 0 {
		return p, errors.New("the image " + i.Name + " names no program, and none was given")
	}
	if c.User != "" && c.User != "0" && c.User != "root" {
		return p, errors.New("the image " + i.Name + " runs as user " + c.User + ", which is not supported yet")
	}
	if p.Cwd == "" {
		p.Cwd = "/"
	}
	return p, nil
}
