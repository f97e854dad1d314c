package calls

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/report/result/isolation"
)

// TestMain makes the test's program one that answers, as the program inside is.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && !strings.HasPrefix(os.Args[1], "-") {
		var err error
		switch os.Args[1] {
		case FilterVerb:
			err = Child(FilterVerb)
		case "test-answers":
			err = answer(os.Stdin, os.Stdout, func(n int) string {
				switch n {
				case 2:
					unix.Kill(os.Getpid(), unix.SIGKILL)
				case 4:
					os.Exit(3)
				}
				return "yes"
			})
		default:
			err = errors.New("there is no such verb")
		}
		if err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestClassify(t *testing.T) {
	for _, tt := range []struct {
		number         int
		filter, kernel string
		class          isolation.Class
		answer         string
	}{
		{unix.SYS_MOUNT, "EPERM", "", isolation.Filtered, "EPERM"},
		{unix.SYS_CLONE3, "ENOSYS", "", isolation.Filtered, "ENOSYS"},
		{unix.SYS_MOUNT, "ended by SIGSYS", "", isolation.Filtered, "ended by SIGSYS"},
		{unix.SYS_MOUNT, passed, "EPERM", isolation.Denied, "EPERM"},
		{unix.SYS_MOUNT, passed, "EACCES", isolation.Denied, "EACCES"},
		{unix.SYS_MOUNT, passed, "ENODEV", isolation.Served, "ENODEV"},
		{unix.SYS_GETPID, passed, "0", isolation.Served, "0"},
		{unix.SYS_READ, passed, "did not return", isolation.Served, "did not return"},
		{unix.SYS_AFS_SYSCALL, passed, "ENOSYS", isolation.NotInKernel, ""},
		{unix.SYS_EXIT, passed, "", isolation.NotTried, ""},
		{unix.SYS_EXIT, "EPERM", "", isolation.Filtered, "EPERM"},
		{unix.SYS_READ, "", "", isolation.Unclear, ""},
		{unix.SYS_READ, passed, "", isolation.Unclear, ""},
		{unix.SYS_URETPROBE, "ended by SIGILL", "", isolation.Served, "ended by SIGILL"},
		{unix.SYS_UPROBE, "ENXIO", "", isolation.Served, "ENXIO"},
		{unix.SYS_UPROBE, "EPERM", "", isolation.Filtered, "EPERM"},
	} {
		if class, answer := classify(tt.number, tt.filter, tt.kernel); class != tt.class || answer != tt.answer {
			t.Errorf("call %d, filter %q, kernel %q: %s, %q; want %s, %q", tt.number, tt.filter, tt.kernel, class, answer, tt.class, tt.answer)
		}
	}
}

// TestAsk: a call that ends its process is told of, and the next process goes on.
func TestAsk(t *testing.T) {
	got, err := ask("test-answers", []int{1, 2, 3, 4, 5}, time.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	want := map[int]string{1: "yes", 2: "ended by SIGKILL", 3: "yes", 4: "its process ended", 5: "yes"}
	for n, answer := range want {
		if got[n] != answer {
			t.Errorf("%d: %q, want %q", n, got[n], answer)
		}
	}
	if _, err := ask("no such verb", []int{1}, time.Now().Add(time.Minute)); err == nil || !strings.Contains(err.Error(), "did not begin") {
		t.Errorf("a process that never answers: %v", err)
	}
}

// TestFilter asks the filter that this test has, if any, what it says of calls that no
// sandbox refuses, and of one that would end the test: nothing is executed.
func TestFilter(t *testing.T) {
	numbers := []int{unix.SYS_GETPID, unix.SYS_WRITE, unix.SYS_EXIT_GROUP, unix.SYS_RT_SIGRETURN, unix.SYS_PAUSE}
	got, err := ask(FilterVerb, numbers, time.Now().Add(time.Minute))
	if err != nil {
		t.Skip(err) // another filter has a listener, or the kernel has none of these (Linux 5.0)
	}
	for _, n := range numbers {
		if got[n] != passed {
			t.Errorf("call %d: %q", n, got[n])
		}
	}
}

func TestArguments(t *testing.T) {
	for n := range dangerous {
		if a := arguments(n); a != [6]uintptr{} {
			t.Errorf("call %d, which is not executed, has arguments %x", n, a)
		}
	}
	if a := arguments(unix.SYS_REBOOT); a != [6]uintptr{bad, bad, bad, bad, bad, bad} {
		t.Errorf("reboot has arguments %x, with which it might do something", a)
	}
	var out bytes.Buffer
	if err := answer(strings.NewReader("x\n"), &out, execute); err == nil {
		t.Error("what is no number was tried")
	}
}
