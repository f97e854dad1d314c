package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestHold: the process is there before its program is executed, and an error of Hold
// ends it.
func TestHold(t *testing.T) {
	dev := null(t)
	layer, err := probeLayer()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{filepath.Join(layer, "probe"), "exit 0"}
	refused := errors.New("not now")
	for _, want := range []error{nil, refused} {
		var tasks string
		s := &specs.Spec{
			Version: specs.Version, Root: &specs.Root{Path: "/"},
			Process: &specs.Process{Args: args, Cwd: "/", User: specs.User{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}},
		}
		before := children(t)
		c, err := Start(t.Context(), Config{Spec: s, Stdin: dev, Stdout: dev, Stderr: dev, Hold: func() error {
			tasks = children(t)
			return want
		}})
		if !errors.Is(err, want) {
			t.Fatalf("error %v, want %v", err, want)
		}
		if len(strings.Fields(tasks)) != len(strings.Fields(before))+1 {
			t.Errorf("children while it is held: %q, before %q", tasks, before)
		}
		if err == nil {
			<-c.Done()
			if st := c.Status(); st.Code != 0 || st.Signal != 0 {
				t.Errorf("it ended with %v", st)
			}
			if err := c.Remove(context.Background()); err != nil {
				t.Error(err)
			}
		}
		if after := children(t); after != before {
			t.Errorf("children afterwards: %q, before %q", after, before)
		}
	}
	_, err = Start(t.Context(), Config{
		Spec:  &specs.Spec{Version: specs.Version, Root: &specs.Root{Path: "/"}, Process: &specs.Process{Args: args, Cwd: "/"}, Linux: &specs.Linux{Seccomp: &specs.LinuxSeccomp{DefaultAction: specs.ActAllow}}},
		Stdin: dev, Stdout: dev, Stderr: dev, Hold: func() error { return nil },
	})
	if err == nil || !strings.Contains(err.Error(), "linux.seccomp") {
		t.Errorf("held, and with a filter: %v", err)
	}
}

// children are the processes whose parent is any of this process's threads.
func children(t *testing.T) string {
	t.Helper()
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	var all string
	for _, thread := range threads {
		b, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%s/children", thread.Name()))
		if err == nil {
			all += string(b)
		}
	}
	return all
}
