// Package calls finds out how far each system call of a program comes: whether a seccomp
// filter answers it, whether the kernel has it, and whether that asks for a privilege.
//
// That is two questions, in this order. What a filter says is asked without executing
// anything (filter.go). What is let through is then executed with arguments that make no
// sense (execute.go), in a process that it may end or stop.
//
// It belongs behind walls, or in a machine that is thrown away: a few calls do something
// whatever their arguments are.
package calls

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/bench/isolation/errno"
	"vmctr/report/result/isolation"
)

// The verbs of the program that make it a process which tries calls.
const (
	FilterVerb  = "calls-filter"
	ExecuteVerb = "calls-execute"
)

const (
	// patience is how long one call may take, and the start of the process that makes it.
	patience = 5 * time.Second
	// allPatience is for all: a filter that ends the process at most calls costs a new
	// process for each.
	allPatience = 40 * time.Second
)

// passed is the answer to a call that no filter has answered.
const passed = "passed"

// Try tries all calls from number 0 to last.
func Try(last int) (all []isolation.Call, err error) {
	var numbers []int
	for n := range last + 1 {
		numbers = append(numbers, n)
	}
	end := time.Now().Add(allPatience)
	filtered, err := ask(FilterVerb, numbers, end)
	if err != nil {
		return nil, fmt.Errorf("asking what a filter says: %w", err)
	}
	var through []int
	for _, n := range numbers {
		if filtered[n] == passed && !dangerous[n] {
			through = append(through, n)
		}
	}
	served, err := ask(ExecuteVerb, through, end)
	if err != nil {
		err = fmt.Errorf("executing them: %w", err)
	}
	for _, n := range numbers {
		c := isolation.Call{Number: n}
		c.Class, c.Answer = classify(n, filtered[n], served[n])
		all = append(all, c)
	}
	return all, err
}

// classify tells how far a call comes, by what it answered to both questions; "" is none.
func classify(number int, filter, kernel string) (isolation.Class, string) {
	switch {
	case filter == "":
		return isolation.Unclear, ""
	case unfiltered(number, filter):
		return isolation.Served, filter
	case filter != passed:
		return isolation.Filtered, filter
	case dangerous[number]:
		return isolation.NotTried, ""
	case kernel == "":
		return isolation.Unclear, ""
	case kernel == "ENOSYS":
		return isolation.NotInKernel, ""
	case kernel == "EPERM", kernel == "EACCES":
		return isolation.Denied, kernel
	}
	return isolation.Served, kernel
}

// unfiltered tells of the calls that the kernel has made for its own probes, and that it
// asks no filter about (kernel/seccomp.c, seccomp_uprobe_exception; Linux 6.14): what comes
// back is its own answer to whoever is not such a probe.
func unfiltered(number int, answer string) bool {
	switch number {
	case unix.SYS_URETPROBE:
		return answer == "ended by SIGILL"
	case unix.SYS_UPROBE:
		return answer == "ENXIO" || answer == "ended by SIGILL"
	}
	return false
}

// ask has processes of this program answer for each number, one after the other. The
// answer to one that ends its process says so.
func ask(verb string, numbers []int, end time.Time) (map[int]string, error) {
	answers := map[int]string{}
	for len(numbers) > 0 {
		if time.Now().After(end) {
			return answers, fmt.Errorf("they were not all tried within %v", allPatience)
		}
		done, why, err := askOne(verb, numbers, answers)
		if err != nil {
			return answers, err
		}
		numbers = numbers[done:]
		if len(numbers) > 0 {
			answers[numbers[0]] = why
			numbers = numbers[1:]
		}
	}
	return answers, nil
}

// askOne has one process answer, until a call ends it or does not come back, and tells how
// many it has answered for and what became of it then.
func askOne(verb string, numbers []int, answers map[int]string) (done int, why string, err error) {
	// It ends with this thread (PR_SET_PDEATHSIG(2const)).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var complaint strings.Builder
	cmd := exec.Command("/proc/self/exe", verb)
	cmd.Stderr = &complaint
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
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
	stuck := false
	timer := time.AfterFunc(patience, func() { stuck = true; cmd.Process.Kill() })
	defer timer.Stop()
	lines := bufio.NewScanner(out)
	ready := lines.Scan() && lines.Text() == "ready"
	for ready && done < len(numbers) {
		timer.Reset(patience)
		if _, err := fmt.Fprintln(in, numbers[done]); err != nil || !lines.Scan() {
			break
		}
		answers[numbers[done]] = lines.Text()
		done++
	}
	in.Close()
	timer.Reset(patience)
	err = cmd.Wait()
	switch exit, ok := errors.AsType[*exec.ExitError](err); {
	case !ready:
		return 0, "", fmt.Errorf("%s did not begin: %v: %s", verb, err, strings.TrimSpace(complaint.String()))
	case stuck:
		why = "did not return"
	case ok && exit.Sys().(syscall.WaitStatus).Signaled():
		why = "ended by " + unix.SignalName(exit.Sys().(syscall.WaitStatus).Signal())
	case ok && strings.HasPrefix(complaint.String(), "SIG"):
		// Go's runtime took the signal, and says which.
		name, _, _ := strings.Cut(complaint.String(), ":")
		why = "ended by " + name
	default:
		why = "its process ended"
	}
	return done, why, nil
}

// answer answers for each number that is read.
func answer(in io.Reader, out io.Writer, try func(number int) string) error {
	if _, err := fmt.Fprintln(out, "ready"); err != nil {
		return err
	}
	for numbers := bufio.NewScanner(in); numbers.Scan(); {
		n, err := strconv.Atoi(numbers.Text())
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(out, try(n)); err != nil {
			return err
		}
	}
	return nil
}

// Child is what a process does that tries calls.
func Child(verb string) error {
	runtime.LockOSThread()
	if verb == FilterVerb {
		return filter(os.Stdin, os.Stdout)
	}
	return answer(os.Stdin, os.Stdout, execute)
}

// errnoName is the answer of a call: "0" is that of one that was carried out.
func errnoName(e syscall.Errno) string {
	if e == 0 {
		return "0"
	}
	return errno.Name(e)
}
