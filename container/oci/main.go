// Bench-oci is package container as an OCI runtime: a program that an engine
// calls, once for each step in the life of a container, with the command line
// of runc (runtime-spec runtime.md; opencontainers/runtime-tools,
// docs/command-line-interface.md).
//
// It is small, and imports only what it needs: an engine starts it several
// times for each container, and its own start is part of every container's.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"vmctr/container"
	"vmctr/container/rootfs"
)

// version is set by scripts/build.
var version = ""

func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// The exit codes are runc's. Run and exec end with the code of the program; so
// that a failure of ours can be told from one of a program, exec's is 255.
const (
	exitFailed     = 1
	exitNoCommand  = 3
	exitExecFailed = 255
)

// globals are the options before the command.
type globals struct {
	root      string
	log       string
	logFormat string
	debug     bool
	stdout    io.Writer
	stderr    io.Writer
}

// A command of the command line.
type command struct {
	name, args, help string
	run              func(ctx context.Context, g *globals, args []string) (code int, err error)
}

func commands() []command {
	return []command{
		{"create", "[flags] ID", "make a container that waits to be started", create},
		{"start", "ID", "let a created container execute its program", start},
		{"run", "[flags] ID", "create and start, and wait for the program", runContainer},
		{"exec", "[flags] ID PROGRAM [ARG...]", "start another program in a container", execute},
		{"state", "ID", "print the state of a container as JSON", state},
		{"kill", "[--all] ID [SIGNAL]", "send a signal to a container", kill},
		{"pause", "ID", "stop all processes of a container", pause},
		{"resume", "ID", "let them go on", resume},
		{"delete", "[--force] ID", "remove a container", remove},
		{"list", "[--format json] [--quiet]", "list the containers", list},
		{"ps", "[--format json] ID [PS OPTION...]", "list the processes of a container", ps},
		{"update", "[flags] ID", "change limits of a container", update},
		{"events", "[--stats] [--interval TIME] ID", "print statistics, as lines of JSON", events},
		{"spec", "[--bundle DIR] [--rootless]", "write a config.json to begin with", spec},
		{"features", "", "print what this runtime can, as JSON", features},
	}
}

// errUsage is a command line that makes no sense.
type errUsage struct{ text string }

func (e errUsage) Error() string { return e.text }

func run(args []string, stdout, stderr io.Writer) int {
	g := &globals{root: defaultRoot(), stdout: stdout, stderr: stderr}
	fs := flags("bench-oci")
	fs.StringVar(&g.root, "root", g.root, "")
	fs.StringVar(&g.log, "log", "", "")
	fs.StringVar(&g.logFormat, "log-format", "text", "")
	fs.BoolVar(&g.debug, "debug", false, "")
	version := fs.Bool("version", false, "")
	fs.BoolVar(version, "v", false, "")
	// Engines pass these, and they change nothing: a path of systemd's form is
	// translated either way, who is rootless is seen, and nothing is
	// checkpointed.
	fs.Bool("systemd-cgroup", false, "")
	fs.String("rootless", "auto", "")
	fs.String("criu", "", "")
	err := fs.Parse(args)
	rest := fs.Args()
	switch {
	case errors.Is(err, flag.ErrHelp) || err == nil && len(rest) > 0 && (rest[0] == "help"):
		help(stdout)
		return 0
	case err != nil:
		return g.fail(errUsage{err.Error()})
	case *version:
		fmt.Fprintf(stdout, "bench-oci version %s\nspec: %s\n", buildVersion(), specs.Version)
		return 0
	case len(rest) == 0:
		help(stdout)
		return 0
	case g.logFormat != "text" && g.logFormat != "json":
		return g.fail(errUsage{fmt.Sprintf("--log-format %q: text or json is expected", g.logFormat)})
	}
	all := commands()
	i := slices.IndexFunc(all, func(c command) bool { return c.name == rest[0] })
	if i < 0 {
		g.fail(errUsage{fmt.Sprintf("there is no command %q", rest[0])})
		return exitNoCommand
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	if c := all[i].name; c == "run" || c == "exec" || c == "events" { // they last as long as the program does
		cancel()
		ctx, cancel = context.WithCancel(context.Background())
	}
	defer cancel()
	code, err := all[i].run(ctx, g, rest[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		help(stdout)
		return 0
	case err != nil:
		code = g.fail(err)
		if all[i].name == "exec" {
			code = exitExecFailed
		}
	}
	return code
}

// flags are a set of flags whose errors are ours to print.
func flags(name string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	return fs
}

// parse reads the flags of a command, which has as many arguments as least and
// most say.
func parse(fs *flag.FlagSet, args []string, least, most int) ([]string, error) {
	var rest []string
	for len(args) > 0 { // flags may stand after arguments, as runc's may
		if err := fs.Parse(args); err != nil {
			return nil, wrongFlag(fs, err)
		}
		next := fs.Args()
		if n := len(args) - len(next); n > 0 && args[n-1] == "--" {
			rest = append(rest, next...)
			break
		}
		if len(next) == 0 {
			break
		}
		rest, args = append(rest, next[0]), next[1:]
	}
	if n := len(rest); n < least || n > most {
		return nil, errUsage{fmt.Sprintf("%s: %d arguments given", fs.Name(), n)}
	}
	return rest, nil
}

func wrongFlag(fs *flag.FlagSet, err error) error {
	if errors.Is(err, flag.ErrHelp) {
		return err
	}
	return errUsage{fmt.Sprintf("%s: %v", fs.Name(), err)}
}

// fail tells an error to people and, where an engine has asked for it, to its
// log.
func (g *globals) fail(err error) int {
	fmt.Fprintln(g.stderr, "bench-oci:", err)
	if _, ok := errors.AsType[errUsage](err); ok {
		fmt.Fprintln(g.stderr, "Try: bench-oci help")
	}
	g.tell("error", err)
	return exitFailed
}

// warn tells an error that is only a warning, and gives any other back.
func (g *globals) warn(err error) error {
	w, ok := errors.AsType[container.Warning](err)
	if !ok {
		return err
	}
	fmt.Fprintln(g.stderr, "bench-oci: warning:", w)
	g.tell("warning", w)
	return nil
}

// tell writes to the log, if there is one.
func (g *globals) tell(level string, err error) {
	if g.log != "" {
		if logErr := g.writeLog(level, err); logErr != nil {
			fmt.Fprintln(g.stderr, "bench-oci: writing the log:", logErr)
		}
	}
}

func (g *globals) writeLog(level string, err error) error {
	f, openErr := os.OpenFile(g.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if openErr != nil {
		return openErr
	}
	defer f.Close()
	at := time.Now().UTC().Format(time.RFC3339)
	if g.logFormat == "json" {
		// The fields are those that engines read (containerd's go-runc).
		return writeJSON(f, map[string]string{"level": level, "msg": err.Error(), "time": at})
	}
	_, printErr := fmt.Fprintf(f, "time=%q level=%s msg=%q\n", at, level, err.Error())
	return printErr
}

func help(w io.Writer) {
	fmt.Fprint(w, "bench-oci starts OCI containers.\n\nUsage: bench-oci [--root DIR] [--log FILE] [--log-format text|json] COMMAND ...\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-42s %s\n", c.name+" "+c.args, c.help)
	}
	fmt.Fprint(w, `
Flags of create and run:
  --bundle DIR             the folder with config.json (-b; default: this one)
  --pid-file FILE          where to write the PID of the first process
  --console-socket SOCKET  where to send the terminal
  --pidfd-socket SOCKET    where to send a pidfd of the first process
  --preserve-fds N         descriptors, from 3 on, to pass on
  --no-pivot               for a root that pivot_root(2) refuses, as an initramfs is; less secure
  --no-new-keyring         leave the container the session keyring of the caller
  --detach, --keep         of run: do not wait (-d); do not remove it at its end
Flags of exec:
  --process FILE           the process as JSON (-p), or:
  --cwd DIR, --env NAME=VALUE (-e), --user UID[:GID] (-u), --additional-gids GID (-g), --tty (-t),
  --cap CAPABILITY (-c), --no-new-privs, --apparmor PROFILE, --process-label LABEL
  --detach (-d), --pid-file, --console-socket, --pidfd-socket, --preserve-fds as above
  --ignore-paused          wait for the container to be resumed
  --cgroup [CONTROLLER[,CONTROLLER...]:]PATH   a group below the container's
Flags of update:
  --resources FILE         linux.resources as JSON, - for standard input (-r), or:
  --memory, --memory-reservation, --memory-swap, --pids-limit, --blkio-weight,
  --cpu-share, --cpu-quota, --cpu-period, --cpu-burst, --cpu-idle, --cpu-rt-runtime, --cpu-rt-period, --cpuset-cpus, --cpuset-mems
`)
}

// defaultRoot is where the state of containers is kept.
func defaultRoot() string {
	user := os.Geteuid() != 0
	// Root of a user namespace, as of an engine's without root, is a user here.
	if d := os.Getenv("XDG_RUNTIME_DIR"); d != "" && (user || rootfs.Nested()) {
		return filepath.Join(d, "bench-oci")
	}
	if user {
		return filepath.Join(os.TempDir(), fmt.Sprintf("bench-oci-%d", os.Geteuid()))
	}
	return "/run/bench-oci"
}

// list of values of a flag that can be given several times.
type values []string

func (v *values) String() string     { return strings.Join(*v, ",") }
func (v *values) Set(s string) error { *v = append(*v, s); return nil }
