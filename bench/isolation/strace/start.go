package strace

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"vmctr/container/step"
)

// A Tracer is the process that traces.
type Tracer struct {
	cmd *exec.Cmd
	in  io.Closer
	out *bufio.Scanner
	err strings.Builder
}

// Start traces processes by a program that has the verbs, which ends with this one. It
// returns when all of their threads are traced.
func Start(program string, pids []int) (*Tracer, error) {
	args := []string{Verb}
	for _, pid := range pids {
		args = append(args, strconv.Itoa(pid))
	}
	t := &Tracer{cmd: exec.Command(program, args...)}
	t.cmd.Stderr = &t.err
	t.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	in, err := t.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := t.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	t.in, t.out = in, bufio.NewScanner(out)
	t.out.Buffer(nil, 1<<20)
	step.OnParentThread(func() { err = t.cmd.Start() })
	if err != nil {
		return nil, fmt.Errorf("starting the tracer: %w", err)
	}
	timer := time.AfterFunc(attachWithin+5*time.Second, t.kill)
	defer timer.Stop()
	if !t.out.Scan() {
		return nil, t.failed(t.end())
	}
	return t, nil
}

func (t *Tracer) kill() { t.cmd.Process.Kill() }

func (t *Tracer) end() error {
	t.in.Close()
	return t.cmd.Wait()
}

func (t *Tracer) failed(err error) error {
	if said := strings.TrimSpace(t.err.String()); said != "" {
		return fmt.Errorf("tracing: %s", said)
	}
	return fmt.Errorf("the tracer ended: %w", errors.Join(err, os.ErrProcessDone))
}

// Stop ends the tracing: what was traced goes on.
func (t *Tracer) Stop() (c Counts, err error) {
	timer := time.AfterFunc(5*time.Second, t.kill)
	defer timer.Stop()
	t.in.Close()
	line := t.out.Scan()
	if line {
		err = json.Unmarshal(t.out.Bytes(), &c)
	}
	if waitErr := t.cmd.Wait(); !line || waitErr != nil {
		return c, t.failed(waitErr)
	}
	return c, err
}
