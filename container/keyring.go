package container

import (
	"syscall"

	"golang.org/x/sys/unix"

	"vmctr/container/step"
)

// A process can reach the keys of its session (session-keyring(7)), and with its
// parent's session it would have inherited those of whoever started it. So a
// container has a session of its own, as runc names it.

func keyring(id string) string {
	if id == "" {
		return ""
	}
	return "_ses." + id
}

// newKeyring appends the call that leaves the parent's session, unless name is
// "". The keys of a user are limited in number (keyrings(7)): so it is made
// while the process is the host's root, where it can be.
func newKeyring(p *step.Program, name string) {
	if name == "" {
		return
	}
	p.Call("keyctl", unix.SYS_KEYCTL, step.Flag(unix.KEYCTL_JOIN_SESSION_KEYRING, "KEYCTL_JOIN_SESSION_KEYRING"), p.Str(name))
	p.Allow(syscall.ENOSYS) // a kernel without keys
}
