package probe

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// WithinVerb is that of a process which makes one attempt: since that may change what all
// threads of a process share, or is to be made in namespaces of its own.
const WithinVerb = "probe-within"

// within are those attempts, by the name of the probe.
var within = map[string]func(canary string) Attempt{
	"mount-chroot":   leaveChroot,
	"cve-2022-0185":  configureFilesystem,
	"cve-2024-1086":  ownFirewall,
	"cve-2020-14386": packetRing,
	"cve-2023-0386":  ownOverlay,
}

// Within makes one, and prints what came of it.
func Within(args []string) error {
	if len(args) != 2 || within[args[0]] == nil {
		return errors.New("usage: inside " + WithinVerb + " PROBE CANARY")
	}
	return json.NewEncoder(os.Stdout).Encode(within[args[0]](args[1]))
}

// asOwnRoot makes an attempt as root of a user namespace of its own, and in other namespaces
// that belong to that (user_namespaces(7)): any user may become such a root, if the kernel
// lets users have such namespaces.
func asOwnRoot(name string, namespaces uintptr) Attempt {
	root := func(id int) []syscall.SysProcIDMap { return []syscall.SysProcIDMap{{HostID: id, Size: 1}} }
	return inProcess(name, "", &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | namespaces,
		UidMappings: root(os.Getuid()), GidMappings: root(os.Getgid()),
	})
}

func inProcess(name, canary string, attr *syscall.SysProcAttr) Attempt {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second) // emulated, a start takes a while
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", WithinVerb, name, canary)
	attr.Pdeathsig = syscall.SIGKILL
	cmd.SysProcAttr = attr
	out, err := cmd.Output()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		return refused("clone(2) with namespaces of its own", err)
	}
	var a Attempt
	if err := json.Unmarshal(out, &a); err != nil {
		return Attempt{Broke: "the process that was to make the attempt said nothing"}
	}
	return a
}
