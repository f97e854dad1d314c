package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/images"
)

// apt asks the host's apt, without anything of the host's: it has lists of
// packages, a cache and a list of what is installed of its own, in dir. From the
// host come the programs, and the configuration of mirrors and proxies. It needs
// no root, and the architecture may be another than the host's.
type apt struct {
	dir     string
	arch    string // Debian's name of the architecture
	sources string // a file in place of the host's sources.list; "" for the host's
}

// origin is who makes the packages that recipes are written for. Those of others
// that the host has in its sources (Ubuntu's Node.js, a vendor's PostgreSQL) are
// others, with other files.
const origin = "Debian"

// configuration is what apt reads last, apt.conf(5): #clear takes away what the
// host has set, such as commands to run afterwards and lists that we do not need.
func (a apt) configuration(status string) string {
	var b strings.Builder
	set := func(name, value string) { fmt.Fprintf(&b, "%s %q;\n", name, value) }
	for _, name := range []string{
		"APT::Architectures", "APT::Update::Pre-Invoke", "APT::Update::Post-Invoke", "APT::Update::Post-Invoke-Success",
		"APT::Update::Post-Invoke-Stats", "Acquire::IndexTargets", "APT::NeverAutoRemove", "APT::Default-Release",
	} {
		fmt.Fprintf(&b, "#clear %s;\n", name)
	}
	set("Acquire::IndexTargets::deb::Packages::MetaKey", "$(COMPONENT)/binary-$(ARCHITECTURE)/Packages")
	set("Acquire::IndexTargets::deb::Packages::flatMetaKey", "Packages")
	set("Acquire::IndexTargets::deb::Packages::ShortDescription", "Packages")
	set("Acquire::IndexTargets::deb::Packages::Description", "$(RELEASE)/$(COMPONENT) $(ARCHITECTURE) Packages")
	set("Acquire::IndexTargets::deb::Packages::flatDescription", "$(RELEASE) Packages")
	set("Acquire::IndexTargets::deb::Packages::Optional", "false")
	set("Acquire::Languages", "none")
	set("Acquire::Retries", "3")
	set("Acquire::http::Timeout", "30")
	set("Acquire::https::Timeout", "30")
	set("APT::Architecture", a.arch)
	set("APT::Architectures::", a.arch)
	set("APT::Install-Recommends", "false")
	set("APT::Install-Suggests", "false")
	set("APT::Sandbox::User", "") // else root's apt becomes a user who may not write here
	set("Dir::State", a.dir)
	set("Dir::State::lists", filepath.Join(a.dir, "lists"))
	set("Dir::State::status", status)
	set("Dir::Cache", a.dir)
	set("Dir::Cache::archives", filepath.Join(a.dir, "archives"))
	set("Dir::Log", a.dir)
	set("Dir::Etc::preferences", filepath.Join(a.dir, "preferences"))
	set("Dir::Etc::preferencesparts", "/dev/null")
	if a.sources != "" {
		set("Dir::Etc::sourcelist", a.sources)
		set("Dir::Etc::sourceparts", "/dev/null")
	}
	return b.String()
}

// preferences allow no packages but Debian's (apt_preferences(5)).
const preferences = "Package: *\nPin: release o=" + origin + "\nPin-Priority: 990\n\nPackage: *\nPin: release o=*\nPin-Priority: -1\n"

// open makes the folder, and gives back a function that lets another process
// have it.
func (a apt) open(ctx context.Context) (unlock func(), err error) {
	for _, d := range []string{"lists/partial", "archives/partial"} {
		if err := os.MkdirAll(filepath.Join(a.dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	f, err := images.Lock(ctx, filepath.Join(a.dir, "bench.lock"), unix.LOCK_EX)
	if err != nil {
		return nil, err
	}
	err = os.WriteFile(filepath.Join(a.dir, "preferences"), []byte(preferences), 0o644)
	if err = errors.Join(err, a.write(nil)); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// write writes the configuration, with what is installed.
func (a apt) write(status []byte) error {
	file := filepath.Join(a.dir, "status")
	return errors.Join(os.WriteFile(file, status, 0o644),
		os.WriteFile(filepath.Join(a.dir, "apt.conf"), []byte(a.configuration(file)), 0o644))
}

// ErrUnavailable is what all errors are that tell that this host does not get
// Debian's packages: it has no apt, or one of another distribution, or no network.
var ErrUnavailable = errors.New("packages of Debian's cannot be had here")

var errNoApt = fmt.Errorf("%w: this host has no apt, which finds and downloads them: build on Debian or Ubuntu, or in a container of one, and copy the image with bench image export and import", ErrUnavailable)

// run runs one of apt's programs and gives its output.
func (a apt) run(ctx context.Context, program string, args ...string) ([]byte, error) {
	name, err := exec.LookPath(program)
	if err != nil {
		return nil, errNoApt
	}
	cmd := exec.CommandContext(ctx, name, append([]string{"-c", filepath.Join(a.dir, "apt.conf"), "-q"}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	cmd.WaitDelay = 5 * time.Second
	// It ends with us, whatever ends us. PR_SET_PDEATHSIG follows the thread that
	// forks, which is this one until it has ended.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("%s: %w: %s", cmd, err, strings.TrimSpace(errs.String()))
	}
	return out.Bytes(), nil
}

// An aptSource is one list of packages that apt has.
type aptSource struct {
	uri, origin, label, codename string
}

// lists are the lists of packages that apt knows of; update gets new ones.
func (a apt) lists(ctx context.Context) (list []aptSource, err error) {
	const separator = "|"
	out, err := a.run(ctx, "apt-get", "indextargets", "--format", strings.Join([]string{"$(REPO_URI)", "$(ORIGIN)", "$(LABEL)", "$(CODENAME)"}, separator), "Created-By: Packages")
	if err != nil {
		return nil, err
	}
	for line := range strings.FieldsSeq(string(out)) {
		if f := strings.Split(line, separator); len(f) == 4 && !strings.HasPrefix(f[1], "$") {
			list = append(list, aptSource{f[0], f[1], f[2], f[3]})
		}
	}
	return list, nil
}

// debian are the lists of Debian's. What is older than a day is fetched anew, as
// is everything if it must be.
func (a apt) debian(ctx context.Context, must bool) (list []aptSource, err error) {
	const fresh = 24 * time.Hour
	stamp := filepath.Join(a.dir, "updated")
	st, err := os.Stat(stamp)
	if must || err != nil || time.Since(st.ModTime()) > fresh {
		if _, err := a.run(ctx, "apt-get", "update"); err != nil {
			if ctx.Err() != nil {
				return nil, err
			}
			return nil, fmt.Errorf("%w: getting the lists of packages: %w", ErrUnavailable, err)
		}
		if err := os.WriteFile(stamp, nil, 0o644); err != nil {
			return nil, err
		}
	}
	all, err := a.lists(ctx)
	if err != nil {
		return nil, err
	}
	var others []string
	for _, s := range all {
		if s.origin == origin {
			list = append(list, s)
		} else if !slices.Contains(others, s.origin) {
			others = append(others, s.origin)
		}
	}
	if len(list) > 0 {
		return list, nil
	}
	os.Remove(stamp) // whatever it was, it is not to last a day
	const how = "write a sources.list of Debian's (with its keys: Signed-By, from the package debian-archive-keyring; see sources.list(5)) and give it with --sources FILE"
	if len(others) > 0 {
		return nil, fmt.Errorf("%w: the recipes are made of them, and this host's apt has those of %s: %s", ErrUnavailable, strings.Join(others, " and "), how)
	}
	return nil, fmt.Errorf("%w: apt has no lists of packages for %s: does the network reach the mirrors, and do the host's sources allow the architecture? Or %s", ErrUnavailable, a.arch, how)
}

var (
	releaseOrigin = regexp.MustCompile(`(?m)^Origin: (.+)$`)
	releaseDate   = regexp.MustCompile(`(?m)^Date: (.+)$`)
)

// date is when Debian last published one of the lists that are here.
func (a apt) date() (date time.Time, err error) {
	files, err := filepath.Glob(filepath.Join(a.dir, "lists", "*Release"))
	if err != nil {
		return date, err
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return date, err
		}
		o, d := releaseOrigin.FindSubmatch(b), releaseDate.FindSubmatch(b)
		if o == nil || d == nil || string(o[1]) != origin {
			continue
		}
		t, err := time.Parse(time.RFC1123, strings.TrimSpace(string(d[1])))
		if err != nil {
			return date, fmt.Errorf("the date of %s: %w", f, err)
		}
		if t.After(date) {
			date = t.UTC()
		}
	}
	if date.IsZero() {
		return date, errors.New("no list of packages says when it was published")
	}
	return date, nil
}

// resolve finds what has to be installed for packages to work, beside what is
// installed below. The packages that the image does without count as installed.
func (a apt) resolve(ctx context.Context, packages, without []string, below []installed, from []aptSource) (list []LockedPackage, err error) {
	var pretended []byte
	for _, p := range without {
		// Newer than any, and for any architecture.
		pretended = fmt.Appendf(pretended, "Package: %s\nStatus: install ok installed\nArchitecture: %s\nMulti-Arch: allowed\nVersion: 999:0\nMaintainer: -\nDescription: -\n\n", p, a.arch)
	}
	if err := a.write(append(status(below), pretended...)); err != nil {
		return nil, err
	}
	args := []string{"-qq", "-y", "--print-uris", "-o", "Acquire::ForceHash=SHA256", "--no-remove", "install", "--"}
	out, err := a.run(ctx, "apt-get", append(args, packages...)...)
	if err != nil {
		return nil, fmt.Errorf("resolving %s: %w", strings.Join(packages, " "), err)
	}
	if list, err = parseURIs(string(out), from); err != nil {
		return nil, err
	}
	for _, p := range list {
		for _, b := range below {
			if b.name() == p.Name {
				return nil, fmt.Errorf("%s is needed in place of version %s, which is in the image's base: make that anew, with --update", p, b.control.Get("Version"))
			}
		}
	}
	return list, nil
}

// uriLine is a line of apt-get --print-uris: 'URI' FILE SIZE HASH.
var uriLine = regexp.MustCompile(`^'([^']+)' ([^ ]+) ([0-9]+) SHA256:([0-9a-f]{64})$`)

// parseURIs reads the answer of apt-get. A file is named PACKAGE_VERSION_ARCH.deb.
func parseURIs(out string, from []aptSource) (list []LockedPackage, err error) {
	for line := range strings.Lines(out) {
		m := uriLine.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			return nil, fmt.Errorf("apt-get --print-uris says %q, which makes no sense here", strings.TrimSpace(line))
		}
		f := strings.Split(strings.TrimSuffix(m[2], ".deb"), "_")
		if len(f) != 3 {
			return nil, fmt.Errorf("apt-get names a file %q", m[2])
		}
		p := LockedPackage{Name: f[0], Architecture: f[2], SHA256: m[4]}
		if p.Version, err = url.PathUnescape(f[1]); err != nil {
			return nil, fmt.Errorf("apt-get names a file %q: %w", m[2], err)
		}
		if p.Size, err = strconv.ParseInt(m[3], 10, 64); err != nil {
			return nil, err
		}
		for _, s := range from {
			if rest, ok := strings.CutPrefix(m[1], s.uri); ok {
				p.Archive, p.Path = s.label, path.Clean(strings.TrimPrefix(rest, "/"))
				break
			}
		}
		if p.Path == "" {
			return nil, fmt.Errorf("%s would come from %s, which is none of Debian's mirrors here", p, m[1])
		}
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b LockedPackage) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}
