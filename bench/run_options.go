package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container"
	"vmctr/container/network"
	"vmctr/container/seccomp"
)

// options are the flags of bench run that have a syntax, read.
type options struct {
	image        string
	command      []string
	env          []string
	mounts       []specs.Mount
	ports        []network.Port
	resources    specs.LinuxResources
	capabilities []string
	seccomp      func(capabilities []string) (*specs.LinuxSeccomp, error)
	noNewPrivs   bool
	apparmor     string
}

var (
	validName    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)
	validHost    = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?$`)
	otherNetwork = regexp.MustCompile(`^container:.+$`)
)

// options reads the flags. It looks at the host only where they name something
// there.
func (c *runCommand) options() (o options, err error) {
	bad := func(flag, value string, err error) (options, error) {
		return o, fmt.Errorf("--%s %s: %w", flag, value, err)
	}
	o.image, o.command = c.Args[0], c.Args[1:]
	if c.Name != "" && !validName.MatchString(c.Name) {
		return bad("name", c.Name, errors.New("a name has letters, digits, and _ . - after the first"))
	}
	if c.Hostname != "" && !validHost.MatchString(c.Hostname) {
		return bad("hostname", c.Hostname, errors.New("a host name has at most 64 letters, digits, - and dots"))
	}
	if c.On == "" && !isRoot() && (c.Network == "bridge" || otherNetwork.MatchString(c.Network) || c.Userns == "host") {
		return o, errors.New("--network bridge, --network container:NAME and --userns host need root (sudo bench run); an ordinary user's container has the network none or host")
	}
	if n := c.Network; n != "" && n != "bridge" && n != "none" && n != "host" && !otherNetwork.MatchString(n) {
		return bad("network", n, errors.New("the networks are bridge, none, host and container:NAME"))
	}
	if strings.HasPrefix(c.Network, "container:") && c.Userns != "host" {
		return bad("network", c.Network, errors.New("to join another container's needs --userns host"))
	}
	if c.Workdir != "" && !path.IsAbs(c.Workdir) {
		return bad("workdir", c.Workdir, errors.New("the path is not absolute"))
	}
	if c.TTY && c.Interactive && !isTerminal(os.Stdin) {
		return o, errors.New("-i with -t: the standard input is not a terminal")
	}
	for _, e := range c.Env {
		name, _, given := strings.Cut(e, "=")
		if name == "" || strings.IndexByte(e, 0) >= 0 {
			return bad("env", e, errors.New("the form is NAME=VALUE or NAME"))
		}
		if !given {
			value, here := os.LookupEnv(name)
			if !here {
				continue // as in Docker
			}
			e = name + "=" + value
		}
		o.env = append(o.env, e)
	}
	for _, v := range c.Volume {
		m, err := parseVolume(v)
		if err != nil {
			return bad("volume", v, err)
		}
		o.mounts = append(o.mounts, m)
	}
	for _, p := range c.Publish {
		port, err := parsePort(p)
		if err != nil {
			return bad("publish", p, err)
		}
		if c.Network != "bridge" && (c.Network != "" || !isRoot()) {
			return bad("publish", p, errors.New("only a container in the bridge network has ports to publish"))
		}
		o.ports = append(o.ports, port)
	}
	if c.Memory != "" {
		n, err := parseBytes(c.Memory)
		if err != nil {
			return bad("memory", c.Memory, err)
		}
		o.resources.Memory = &specs.LinuxMemory{Limit: &n}
	}
	if c.CPUs != "" {
		n, err := strconv.ParseFloat(c.CPUs, 64)
		if err != nil || !(n >= 0.01 && n <= 100_000) {
			return bad("cpus", c.CPUs, errors.New("a number of CPUs is expected, 0.01 or more"))
		}
		period := uint64(100_000) // microseconds
		quota := int64(n * float64(period))
		o.resources.CPU = &specs.LinuxCPU{Quota: &quota, Period: &period}
	}
	if c.PidsLimit > 0 { // 0 and -1 are no limit, as in Docker
		o.resources.Pids = &specs.LinuxPids{Limit: &c.PidsLimit}
	} else if c.PidsLimit < -1 {
		return bad("pids-limit", fmt.Sprint(c.PidsLimit), errors.New("a number of processes is not negative"))
	}
	available := container.Features().Linux.Capabilities
	if c.Userns == "host" {
		available = ownCapabilities(available)
	}
	if o.capabilities, err = capabilities(c.CapAdd, c.CapDrop, available); err != nil {
		return o, err
	}
	o.seccomp = seccomp.Default
	for _, opt := range c.SecurityOpt {
		if err := o.security(opt); err != nil {
			return bad("security-opt", opt, err)
		}
	}
	return o, nil
}

// security reads one --security-opt. Docker takes a colon in the place of the
// equals sign too.
func (o *options) security(opt string) error {
	i := strings.IndexAny(opt, "=:")
	key, value := opt, ""
	if i >= 0 {
		key, value = opt[:i], opt[i+1:]
	}
	switch {
	case key == "no-new-privileges":
		on, err := strconv.ParseBool(value)
		if i < 0 {
			on, err = true, nil
		}
		o.noNewPrivs = on
		return err
	case key == "seccomp" && value == "unconfined":
		o.seccomp = func([]string) (*specs.LinuxSeccomp, error) { return nil, nil }
	case key == "seccomp" && value == "builtin":
	case key == "seccomp" && value != "":
		profile, err := os.ReadFile(value)
		if err != nil {
			return err
		}
		o.seccomp = func(capabilities []string) (*specs.LinuxSeccomp, error) {
			s, err := seccomp.Load(profile, capabilities)
			if err != nil {
				return nil, fmt.Errorf("--security-opt %s: %w", opt, err)
			}
			return s, nil
		}
	case key == "apparmor" && value == "unconfined":
	case key == "apparmor" && value != "":
		o.apparmor = value
	default:
		return errors.New("known are no-new-privileges, seccomp=FILE, seccomp=unconfined and apparmor=PROFILE")
	}
	return nil
}

// ownCapabilities are those of names that this process can hand on: a user
// namespace has all of its own, but the root of the host may lack some, as in a
// container.
func ownCapabilities(names []string) []string {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return names
	}
	permitted := uint64(data[0].Permitted) | uint64(data[1].Permitted)<<32
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return permitted&(1<<container.CapabilityNumber(name)) == 0
	})
}

// capabilities are Docker's default, more and less. ALL are those that are
// available.
func capabilities(add, drop, available []string) ([]string, error) {
	known := container.Features().Linux.Capabilities
	set := map[string]bool{}
	apply := func(flag string, names []string, to bool) error {
		for _, name := range names {
			n := strings.ToUpper(name)
			if n == "ALL" {
				continue
			}
			if !strings.HasPrefix(n, "CAP_") {
				n = "CAP_" + n
			}
			if !slices.Contains(known, n) {
				return fmt.Errorf("--%s %s: there is no such capability (capabilities(7))", flag, name)
			}
			set[n] = to
		}
		return nil
	}
	isAll := func(s string) bool { return strings.EqualFold(s, "all") }
	base := container.DefaultCapabilities
	switch {
	case slices.ContainsFunc(add, isAll):
		base = available
	case slices.ContainsFunc(drop, isAll):
		base = nil
	}
	for _, n := range base {
		set[n] = true
	}
	if err := errors.Join(apply("cap-add", add, true), apply("cap-drop", drop, false)); err != nil {
		return nil, err
	}
	list := []string{}
	for _, n := range known {
		if set[n] {
			list = append(list, n)
		}
	}
	return list, nil
}

// parseVolume reads HOST:CONTAINER[:OPTIONS], and makes the host's folder if it
// is missing.
func parseVolume(v string) (specs.Mount, error) {
	parts := strings.Split(v, ":")
	if len(parts) < 2 || len(parts) > 3 || parts[0] == "" {
		return specs.Mount{}, errors.New("the form is HOST:CONTAINER[:ro]")
	}
	host, dest := parts[0], parts[1]
	if !strings.HasPrefix(host, "/") && !strings.HasPrefix(host, ".") {
		return specs.Mount{}, fmt.Errorf("%q is the name of a volume, and there are none: a path begins with a slash or a dot", host)
	}
	if !path.IsAbs(dest) || path.Clean(dest) == "/" {
		return specs.Mount{}, fmt.Errorf("the path in the container, %q, is not an absolute one below the root", dest)
	}
	host, err := filepath.Abs(host)
	if err != nil {
		return specs.Mount{}, err
	}
	m := specs.Mount{Destination: dest, Type: "bind", Source: host, Options: []string{"rbind"}}
	if len(parts) == 3 {
		for _, opt := range strings.Split(parts[2], ",") {
			switch opt {
			case "ro":
				m.Options = append(m.Options, "rro")
			case "rw", "z", "Z": // labels of SELinux, which nothing is changed for
			default:
				return m, fmt.Errorf("there is no option %q: ro and rw are known", opt)
			}
		}
	}
	if _, err := os.Stat(host); errors.Is(err, os.ErrNotExist) {
		err = os.MkdirAll(host, 0o755)
		return m, err
	} else if err != nil {
		return m, err
	}
	return m, nil
}

// parsePort reads [[IP:]HOST:]CONTAINER[/PROTOCOL]. Without a port of the host
// it is the container's.
func parsePort(s string) (p network.Port, err error) {
	form := errors.New("the form is [[IP:]HOST:]CONTAINER[/tcp|/udp], with ports from 1 to 65535")
	rest, protocol, given := strings.Cut(s, "/")
	if p.Protocol = protocol; !given {
		p.Protocol = "tcp"
	}
	parts := strings.Split(rest, ":")
	if len(parts) > 3 || p.Protocol != "tcp" && p.Protocol != "udp" {
		return p, form
	}
	number := func(s string) uint16 {
		n, e := strconv.ParseUint(s, 10, 16)
		if e != nil || n == 0 {
			err = form
		}
		return uint16(n)
	}
	p.Container = number(parts[len(parts)-1])
	p.Host = p.Container
	if len(parts) > 1 && parts[len(parts)-2] != "" {
		p.Host = number(parts[len(parts)-2])
	}
	if len(parts) == 3 && parts[0] != "" {
		a, e := netip.ParseAddr(parts[0])
		if e != nil || !a.Is4() {
			return p, fmt.Errorf("%q is no IPv4 address", parts[0])
		}
		if !a.IsUnspecified() {
			p.Address = a
		}
	}
	return p, err
}

// parseBytes reads a size as Docker does: 64m.
func parseBytes(s string) (int64, error) {
	s = strings.ToLower(s)
	number := strings.TrimRight(s, "bkmg")
	unit := strings.TrimSuffix(s[len(number):], "b")
	shift, ok := map[string]uint{"": 0, "k": 10, "m": 20, "g": 30}[unit]
	n, err := strconv.ParseInt(number, 10, 64)
	if !ok || err != nil || n <= 0 || n > (1<<62)>>shift {
		return 0, errors.New("a number of bytes is expected, or of kibi-, mebi- or gibibytes: 64m")
	}
	return n << shift, nil
}

func removeNamespace(s *specs.Spec, kind specs.LinuxNamespaceType) {
	s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == kind })
}
