// Package peer runs a container's bundle under other OCI runtimes, so that they
// can be compared with package container: the same config.json, over an overlay
// of the same layers.
//
// An engine gives a runtime a bundle, a folder with config.json and the root
// file system (runtime-spec bundle.md), and has mounted the latter itself. Here
// a [Room] is where it is mounted: a mount namespace that only the runtimes
// started from it see. So nothing is left mounted, however this process ends.
package peer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// A Runtime is a program with the command line of runc.
type Runtime struct {
	Name string // "runc"
	Path string // of the program
}

// Find looks for a runtime on PATH, and where administrators' programs are.
func Find(name string) (Runtime, error) {
	path, err := exec.LookPath(name)
	for _, dir := range []string{"/usr/sbin/", "/usr/local/sbin/", "/sbin/"} {
		if err != nil { // not in an ordinary user's PATH, and not in that of every root
			path, err = exec.LookPath(dir + name)
		}
	}
	if err != nil {
		return Runtime{}, fmt.Errorf("%s is not installed", name)
	}
	return Runtime{name, path}, nil
}

// Version is the first line of what the program says of itself.
func (r Runtime) Version(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, r.Path, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", r.Path, err)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line), nil
}

// Run starts "RUNTIME run" with a bundle of the room, and does not wait for it.
// The runtime stays, as the parent of the container, until that has ended.
//
// When this process ends, the runtime gets SIGTERM, which it passes on to the
// container, and removes what there is when that has ended.
func (r Runtime) Run(room *Room, b *Bundle, stdin, stdout, stderr *os.File) (p *os.Process, err error) {
	err = room.Do(func() error {
		p, err = os.StartProcess(r.Path, r.Command(room, b), &os.ProcAttr{
			Dir: "/", Env: os.Environ(), Files: []*os.File{stdin, stdout, stderr},
			Sys: &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGTERM},
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", r.Name, err)
	}
	return p, nil
}

// Command is the command line of Run, for a process in the room.
func (r Runtime) Command(room *Room, b *Bundle) []string {
	return []string{r.Path, "--root", room.state(), "run", "--bundle", b.path, b.name}
}

// Delete removes what a runtime that was killed has left of a container.
func (r Runtime) Delete(ctx context.Context, room *Room, b *Bundle) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var out []byte
	err := room.Do(func() (err error) {
		out, err = exec.CommandContext(ctx, r.Path, "--root", room.state(), "delete", "--force", b.name).CombinedOutput()
		return err
	})
	if err != nil {
		return fmt.Errorf("%s delete --force: %w: %s", r.Name, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// NoInput is a standard input without content: a pipe that nobody writes to.
// /dev/null would do, but crun 1.8 gives the standard streams of a container to
// its user, and so the host's device too.
func NoInput() (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, os.NewSyscallError("pipe", err)
	}
	return r, w.Close()
}

// Try runs a bundle whose program ends by itself, and gives what it has
// printed. The error tells what the runtime says.
func (r Runtime) Try(ctx context.Context, room *Room, b *Bundle) (output string, err error) {
	defer func() { err = errors.Join(err, b.Unmount()) }()
	if err := b.Mount(); err != nil {
		return "", err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer read.Close()
	said, err := os.CreateTemp(room.dir, "stderr")
	if err != nil {
		write.Close()
		return "", err
	}
	defer os.Remove(said.Name())
	defer said.Close()
	none, err := NoInput()
	if err != nil {
		write.Close()
		return "", err
	}
	defer none.Close()
	p, err := r.Run(room, b, none, write, said)
	write.Close()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { p.Kill(); read.SetReadDeadline(time.Now()) })
	defer stop()
	var text strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := read.Read(buf)
		text.Write(buf[:n])
		if err != nil {
			break
		}
	}
	st, err := p.Wait()
	if err != nil {
		return text.String(), err
	}
	if !st.Success() {
		b, _ := os.ReadFile(said.Name())
		return text.String(), fmt.Errorf("%s run: %v: %s", r.Name, st, strings.TrimSpace(string(b)))
	}
	return text.String(), nil
}
