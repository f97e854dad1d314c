package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"
)

// TestNoMachineOutlives: QEMU ends with the bench that has started it, even if that
// is killed, at whatever point of a machine's life.
func TestNoMachineOutlives(t *testing.T) {
	root := machineShell(t)
	t.Cleanup(func() { exec.Command("bench", "clean").Run() }) // of what is no process
	for _, tt := range []struct {
		name  string
		there func(cmdline []byte, printed string) bool // of QEMU's, and what bench has printed
	}{
		{"the accelerator is chosen", func(c []byte, _ string) bool { return bytes.Contains(c, []byte("\x00boot-sector\x00")) }},
		{"it boots", func(c []byte, _ string) bool { return bytes.Contains(c, []byte("\x00bench-")) }},
		{"it runs", func(c []byte, printed string) bool { return printed == "runs\n" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := os.Stat("/dev/kvm"); err != nil && tt.name == "the accelerator is chosen" {
				t.Skip("without /dev/kvm there is nothing to choose")
			}
			out, err := os.Create(filepath.Join(t.TempDir(), "out"))
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			args := []string{"run", "--on", "vm-q35", root, "sh", "-c", "echo runs; sleep 1000"}
			if tt.name == "the accelerator is chosen" {
				args = []string{"doctor"} // bench run takes a choice that was made before
			}
			cmd := exec.Command("bench", args...)
			// What it starts has this too, whatever else it is.
			mark := fmt.Sprintf("/nowhere-%d-%d", os.Getpid(), time.Now().UnixNano())
			cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":"+mark)
			var stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = out, &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				cmd.Process.Kill()
				cmd.Wait()
			}()
			waitFor(t, 2*time.Minute, func() bool {
				printed, err := os.ReadFile(out.Name())
				if err != nil {
					t.Fatal(err)
				}
				return slices.ContainsFunc(marked(t, mark), func(pid int) bool {
					cmdline, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
					return bytes.Contains(cmdline, []byte("qemu-system")) && tt.there(cmdline, string(printed))
				})
			})
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			cmd.Wait()
			waitFor(t, 5*time.Second, func() bool { return len(marked(t, mark)) == 0 })
		})
	}
}

// marked are the processes that have text in their environment.
func marked(t *testing.T, text string) (pids []int) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range all {
		environ, _ := os.ReadFile(filepath.Join(dir, "environ")) // it may have ended
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err == nil && bytes.Contains(environ, []byte(text)) && !gone(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}
