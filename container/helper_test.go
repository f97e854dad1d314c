package container

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The tests start themselves again, as a process that can be killed.

type helperProcess struct {
	cmd *exec.Cmd
	out *bufio.Reader
}

// startHelper starts this program as a helper; it prints what to look at.
func startHelper(t *testing.T, what string) *helperProcess {
	t.Helper()
	layer := probe(t)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "CONTAINER_TEST_HELPER="+what, "CONTAINER_TEST_LAYER="+layer, "CONTAINER_TEST_DIR="+t.TempDir())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h := &helperProcess{cmd, bufio.NewReader(out)}
	t.Cleanup(func() {
		h.cmd.Process.Kill()
		h.wait()
		if left, err := sweepGroups(cmd.Process.Pid); err != nil {
			t.Error(left, err)
		}
	})
	return h
}

func (h *helperProcess) wait() error {
	if h.cmd.ProcessState == nil {
		return h.cmd.Wait()
	}
	return nil
}

// helperInside is what this program prints when it runs in a container.
const helperInside = "the runtime runs inside"

// helper is what the helper process does instead of tests.
func helper() {
	switch os.Getenv("CONTAINER_TEST_HELPER") {
	case "user":
		fmt.Println("helper:", becomeUser())
		os.Exit(1)
	case "inside":
		fmt.Println(helperInside)
		return
	}
	fail := func(err error) {
		if err != nil {
			fmt.Println("helper:", err)
			os.Exit(1)
		}
	}
	if os.Getenv("CONTAINER_TEST_HELPER") == "nothing" {
		return // a hook that does nothing
	}
	l, err := openLayers(os.Getenv("CONTAINER_TEST_LAYER"))
	fail(err)
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	fail(err)
	start := func(name string, op string) (*Container, error) {
		s := sample(op)
		if name == "least" {
			least := leastMemory(s.Process)
			s.Linux.Resources.Memory.Limit = &least
		}
		return Start(context.Background(), Config{Spec: s, Layers: l, Dir: filepath.Join(os.Getenv("CONTAINER_TEST_DIR"), name), Stdin: null, Stdout: null, Stderr: null})
	}
	switch os.Getenv("CONTAINER_TEST_HELPER") {
	case "least":
		// The probe, a Go program, may well die in so little.
		c, err := start("least", "exit 0")
		fail(err)
		fail(c.Remove(context.Background()))
		fmt.Println("survived")
	case "true":
		for range 20 {
			c, err := startTrue(Config{Layers: l, Dir: filepath.Join(os.Getenv("CONTAINER_TEST_DIR"), "true"), Stdin: null, Stdout: null, Stderr: null})
			fail(err)
			<-c.Done()
			fmt.Println(c.Status())
			fail(c.Remove(context.Background()))
		}
	case "pause":
		c, err := start("pause", "pause")
		fail(err)
		fmt.Println(c.PID(), c.cfg.Dir)
		select {}
	}
}
