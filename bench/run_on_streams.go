package main

import (
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/vm"
)

// outputPatience is how long the program's last output may take, once the machine is
// off: longer only if our own output is stuck.
const outputPatience = 10 * time.Second

// hangUpPatience is how long a machine may last whose user's terminal is gone. Its
// program has been told so, and a guest that does not listen has to end too.
const hangUpPatience = 5 * time.Second

// machineStreams join the standard streams of a machine's program, or its terminal,
// with ours.
type machineStreams struct {
	m       *vm.Machine
	files   []*os.File
	copied  sync.WaitGroup
	restore func()
}

// joinStreams copies the program's output and its errors, each to ours. When ours is
// taken no more, the program learns it by a signal, as with a pipe or a terminal.
func joinStreams(s streams, m *vm.Machine, tty bool) *machineStreams {
	gone := unix.SIGPIPE
	if tty {
		gone = unix.SIGHUP
	}
	j := &machineStreams{m: m, files: []*os.File{m.Output(), m.ErrorOutput()}, restore: func() {}}
	for i, to := range []io.Writer{s.out, s.err} {
		j.copied.Go(func() {
			if _, err := io.Copy(to, j.files[i]); err != nil {
				m.Signal(gone)
				io.Copy(io.Discard, j.files[i])
			}
		})
	}
	return j
}

// joinTerminal makes our terminal that of the program, which runs. It is not before:
// while the machine boots, Ctrl-C is for us. The result tells the program the size of
// our window.
func (j *machineStreams) joinTerminal(interactive bool) (resize func(), err error) {
	resize = func() {
		if size := windowSize(); size != nil {
			j.m.Resize(uint16(size.Height), uint16(size.Width))
		}
	}
	resize() // it may have changed since the machine was made
	if !interactive {
		return resize, nil
	}
	if j.restore, err = rawTerminal(); err != nil {
		return nil, err
	}
	go func() { // for as long as bench runs
		j.m.Input(os.Stdin)
		// A raw terminal has an end only when it is gone.
		select {
		case <-j.m.Done():
		case <-time.After(hangUpPatience):
			j.m.Kill()
		}
	}()
	return resize, nil
}

// stubborn is a machine whose guest may not listen to its last signal.
type stubborn struct{ *vm.Machine }

// killPatience is how long a guest may take to kill its program.
const killPatience = 5 * time.Second

func (m stubborn) Signal(sig unix.Signal) error {
	if sig == unix.SIGKILL {
		time.AfterFunc(killPatience, func() { m.Kill() })
	}
	return m.Machine.Signal(sig)
}

// finish waits until all is copied, once the machine has ended.
func (j *machineStreams) finish() {
	done := make(chan struct{})
	go func() { j.copied.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(outputPatience):
	}
}

// close ends who reads, and makes our terminal what it was.
func (j *machineStreams) close() {
	j.restore()
	for _, f := range j.files {
		f.Close()
	}
}
