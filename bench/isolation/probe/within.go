package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// WithinVerb is that of a process which makes some attempts apart: since they change what all
// threads of a process share, or are to be made in namespaces of their own.
const WithinVerb = "probe-within"

// within are those attempts, by the name of the probe.
var within = map[string]func(canary string) Attempt{
	"mount-chroot":   leaveChroot,
	"cve-2022-0185":  configureFilesystem,
	"cve-2024-1086":  ownFirewall,
	"cve-2020-14386": packetRing,
	"cve-2023-0386":  ownOverlay,
}

// Within makes the attempts that are named, one after the other, and prints what came of each.
func Within(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: inside " + WithinVerb + " CANARY PROBES, with commas between them")
	}
	out := json.NewEncoder(os.Stdout)
	for _, name := range strings.Split(args[1], ",") {
		try := within[name]
		if try == nil {
			return fmt.Errorf("the probe %q is not made apart", name)
		}
		if err := out.Encode(try(args[0])); err != nil {
			return err
		}
	}
	return nil
}

const cloning = "clone(2)"

// apart makes attempts in a process that attr says how to start.
func apart(canary string, attr *syscall.SysProcAttr, names ...string) []Attempt {
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second) // emulated, a start takes a while
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", WithinVerb, canary, strings.Join(names, ","))
	attr.Pdeathsig = syscall.SIGKILL
	cmd.SysProcAttr = attr
	out, err := cmd.Output()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		return slices.Repeat([]Attempt{refused(cloning, err)}, len(names))
	}
	all := slices.Repeat([]Attempt{{Broke: "the process that was to make the attempt did not come to it"}}, len(names))
	in := json.NewDecoder(strings.NewReader(string(out)))
	for n := range all {
		var a Attempt
		if in.Decode(&a) != nil {
			break
		}
		all[n] = a
	}
	return all
}

// asOwnRoot makes an attempt as root of a user namespace, and of a network and of mounts that
// belong to that (user_namespaces(7)): any user may become such a root, if the kernel lets
// users have such namespaces.
func asOwnRoot(name string) Attempt { return ownRootAttempts()[name] }

// ownRootAttempts makes all of these at once: to start a process takes longer than they do.
var ownRootAttempts = sync.OnceValue(func() map[string]Attempt {
	names := []string{"cve-2022-0185", "cve-2024-1086", "cve-2020-14386", "cve-2023-0386"}
	all := map[string]Attempt{}
	if self, _ := os.Readlink("/proc/self"); self != strconv.Itoa(os.Getpid()) {
		why := "/proc is that of another PID namespace: the users of a namespace of its own cannot be set there"
		for _, name := range names {
			all[name] = Attempt{Lacks: why}
		}
		return all
	}
	root := func(id int) []syscall.SysProcIDMap { return []syscall.SysProcIDMap{{HostID: id, Size: 1}} }
	made := apart("", &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		UidMappings: root(os.Getuid()), GidMappings: root(os.Getgid()),
	}, names...)
	for n, a := range made {
		if a.Call == cloning {
			a.Call += ", CLONE_NEWUSER"
		}
		all[names[n]] = a
	}
	return all
})
