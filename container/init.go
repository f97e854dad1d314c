package container

import "errors"

// The first process of a PID namespace is its init (pid_namespaces(7)): it
// inherits orphans, and has to wait for each or a zombie stays; and it gets no
// signal for which it has no handler. Few programs are written for that. So a
// container can have a small one as its first process, which starts the program,
// sends the signals that it gets on to it, waits for whatever ends, and exits
// with the program's status (docker run --init).
//
// It is a static executable of less than a page, in memory, that no container
// can change. The child becomes it as it becomes the detour (detour.go), with
// the same arguments behind its name, and it tells of a program that cannot be
// executed in the same way. Its instructions are in init_amd64.s.

// openInit is that file for a child whose program gets n descriptors.
func openInit(n int, opened *[]int) (int, error) {
	fd, err := initFile()
	if err != nil {
		return -1, err
	}
	return aside(fd, n, opened)
}

var initFile = sealed("init", func() ([]byte, error) {
	code := initCode()
	if code == nil {
		return nil, errors.New("an init: its few instructions are not written for this CPU yet")
	}
	return code, nil
})
