package probe

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The verbs of the program that make it do this package's part of the work: Batch, and
// the process that is a canary.
const (
	BatchVerb = "probe-batch"
	SleepVerb = "probe-sleep"
)

// patience is how long one attempt may take. An emulated machine needs a second to start
// the process that makes it.
var patience = 10 * time.Second

// Try makes all attempts of a plan, and writes an [Attempt] for each to out, a line of JSON.
//
// They are made by another process, one after the other, since one may end the process
// that makes it, or never end: the next process then goes on with the one after it.
func Try(plan Plan, out io.Writer) error {
	var left []string
	for _, p := range All {
		if _, ok := plan[p.Name]; ok {
			left = append(left, p.Name)
		}
	}
	if len(left) < len(plan) {
		return fmt.Errorf("the plan has probes that this program does not know: %q", slices.Sorted(maps.Keys(plan)))
	}
	enc := json.NewEncoder(out)
	for len(left) > 0 {
		done, why, err := tryBatch(plan, left, enc)
		if err != nil {
			return err
		}
		if left = left[done:]; len(left) > 0 {
			if err := enc.Encode(Attempt{Probe: left[0], Broke: why}); err != nil {
				return err
			}
			left = left[1:]
		}
	}
	return nil
}

// job is what a batch reads: one attempt to make.
type job struct {
	Probe, Canary string
}

// tryBatch has one process make attempts until one breaks it, and tells how many it has
// made before and why it made no more.
func tryBatch(plan Plan, names []string, enc *json.Encoder) (done int, why string, err error) {
	cmd := exec.Command("/proc/self/exe", BatchVerb)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		return 0, "", err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, "", err
	}
	if err := cmd.Start(); err != nil {
		return 0, "", err
	}
	var killed atomic.Bool
	timer := time.AfterFunc(patience, func() { killed.Store(true); unix.Kill(-cmd.Process.Pid, unix.SIGKILL) })
	defer timer.Stop()
	jobs, answers := json.NewEncoder(in), bufio.NewScanner(out)
	answers.Buffer(nil, 1<<20)
	garbled := false
	for _, name := range names {
		timer.Reset(patience)
		if jobs.Encode(job{name, plan[name]}) != nil || !answers.Scan() {
			break
		}
		var a Attempt
		if garbled = json.Unmarshal(answers.Bytes(), &a) != nil; garbled {
			unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
			break
		}
		a.Probe = name
		if err := enc.Encode(a); err != nil {
			return done, "", err
		}
		done++
	}
	in.Close()
	timer.Reset(patience)
	err = cmd.Wait()
	switch {
	case garbled:
		why = "its answer was no answer"
	case killed.Load():
		why = fmt.Sprintf("it did not end within %v", patience)
	case err != nil:
		why = "its process ended: " + err.Error()
	default:
		why = "its process ended"
	}
	return done, why, nil
}

// Batch makes the attempts that it reads of, each on a thread of its own that ends with it:
// so an attempt may change the thread's namespaces, root and identity.
func Batch(in io.Reader, out io.Writer) error {
	jobs, answers := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var j job
		if err := jobs.Decode(&j); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		p := find(j.Probe)
		if p == nil {
			return fmt.Errorf("there is no probe %q", j.Probe)
		}
		made := make(chan Attempt)
		go func() {
			runtime.LockOSThread()
			unix.Unshare(unix.CLONE_FS) // its working directory and root are its own
			made <- p.Attempt(j.Canary)
		}()
		if err := answers.Encode(<-made); err != nil {
			return err
		}
	}
}
