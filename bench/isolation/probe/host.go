package probe

import (
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

// process starts a process that is a canary, with a word among its arguments, and gives
// its PID. It does not outlive the host's program ([Sleep]).
func (h *Host) process(word string) (pid int, err error) {
	cmd := exec.Command(h.Program, SleepVerb, strconv.Itoa(os.Getpid()), word)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	h.Later(func() error {
		cmd.Process.Kill()
		cmd.Wait()
		return nil
	})
	return cmd.Process.Pid, nil
}

// sleepFor is how long such a process lives at most.
const sleepFor = 2 * time.Minute

// Sleep is what it does, as long as its parent lives. A signal at the parent's death
// (PR_SET_PDEATHSIG) would come at that of the thread that has started it.
func Sleep(parent int) error {
	for begin := time.Now(); time.Since(begin) < sleepFor && os.Getppid() == parent; {
		time.Sleep(50 * time.Millisecond)
	}
	return nil
}
