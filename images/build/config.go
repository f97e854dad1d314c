package build

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Config is how a container of the image starts (image-spec, config.md). What
// a recipe leaves out it has from its base; Env, Labels, Ports and Volumes are
// added to the base's.
type Config struct {
	Entrypoint []string
	Cmd        []string
	Env        []string // NAME=VALUE
	User       string
	Workdir    string
	Ports      []string // PORT or PORT/udp
	Volumes    []string
	StopSignal string `yaml:"stop-signal"`
	Labels     map[string]string
}

// apply puts what the recipe says over the configuration of its base.
func (c Config) apply(to *v1.Config) error {
	if c.Entrypoint != nil {
		to.Entrypoint, to.Cmd = c.Entrypoint, nil // the base's arguments are not for this program
	}
	if c.Cmd != nil {
		to.Cmd = c.Cmd
	}
	for _, e := range c.Env {
		name, _, _ := strings.Cut(e, "=")
		to.Env = append(slices.DeleteFunc(slices.Clone(to.Env), func(o string) bool { return strings.HasPrefix(o, name+"=") }), e)
	}
	for _, s := range []struct{ to, from *string }{{&to.User, &c.User}, {&to.WorkingDir, &c.Workdir}, {&to.StopSignal, &c.StopSignal}} {
		if *s.from != "" {
			*s.to = *s.from
		}
	}
	for _, p := range c.Ports {
		number, protocol, ok := strings.Cut(p, "/")
		if n, err := strconv.ParseUint(number, 10, 16); err != nil || n == 0 || ok && protocol != "tcp" && protocol != "udp" {
			return fmt.Errorf("%q is no port, such as 80 or 53/udp", p)
		}
		if !ok {
			p += "/tcp"
		}
		set(&to.ExposedPorts, p, struct{}{})
	}
	for _, v := range c.Volumes {
		set(&to.Volumes, v, struct{}{})
	}
	for k, v := range c.Labels {
		set(&to.Labels, k, v)
	}
	return nil
}

func set[V any](m *map[string]V, k string, v V) {
	if *m == nil {
		*m = map[string]V{}
	}
	(*m)[k] = v
}
