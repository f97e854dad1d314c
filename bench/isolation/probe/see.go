package probe

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

var see = []Probe{
	{
		Name: "see-process",
		Plant: func(h *Host) (string, error) {
			_, err := h.process(h.Word())
			return "", err
		},
		Attempt: func(string) Attempt {
			names, _ := filepath.Glob("/proc/[0-9]*/cmdline")
			var all bytes.Buffer
			for _, n := range names {
				b, _ := os.ReadFile(n)
				if bytes.Contains(b, []byte("canary-")) {
					all.Write(b)
				}
			}
			return did("reading /proc/*/cmdline", all.String())
		},
	},
}

// process starts a process that is a canary, with a word among its arguments, and gives
// its PID. It dies with the host's thread that has started it, and within a minute.
func (h *Host) process(word string) (pid int, err error) {
	cmd := exec.Command(h.Program, SleepVerb, word)
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
