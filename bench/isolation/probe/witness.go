package probe

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// WitnessVerb is that of the program which makes it a witness: a process of the host's that
// is the canary of many attempts. It keeps secrets in its memory, its environment and its
// files, and tells the host which signals it got and what its memory holds now. What kills
// it or stops it would spoil the others' canary: such attempts have processes of their own.
const WitnessVerb = "probe-witness"

// secrets are what a witness is to keep, from its standard input.
type secrets struct {
	// Memory is what it has in its memory, each on a page of its own: a word, or nothing
	// yet; by probe.
	Memory map[string]string
	File   string // the content of a file that has no name
	Map    string // the name of such a file that is mapped into its memory
	// Pages are those of a range that it uses, and Files those of its descriptors that lead
	// to the same open file as the first: a bit for each.
	Pages, Files uint32
	// Count is how many bytes it waits for in read(2), and Robust where it says that it has
	// a list of futexes.
	Count, Robust uint64
}

// testimony is where it keeps them.
type testimony struct {
	Thread      int // that waits
	Memory      map[string]uint64
	File        int
	Pages       uint64
	Descriptors []int
}

// account is what a witness says when it is asked.
type account struct {
	Signals []int
	Memory  map[string]string
}

// slotSize is how much of its memory is for one word.
const slotSize = 64

// bits is how many pages and descriptors it has, for a pattern that nobody guesses.
const bits = 32

// The signals that do a witness no harm, by the attempt that sends it.
var signals = map[string]syscall.Signal{
	"signal-pidfd": 40, "signal-thread": 41, "signal-queue": 42, "signal-group": 43, "signal-io": 44,
}

// Witness is what such a process does, until its standard input ends: with the host, whatever
// ends that.
func Witness(in io.Reader, out io.Writer) error {
	time.AfterFunc(5*time.Minute, func() { os.Exit(1) })
	questions := bufio.NewScanner(in)
	var s secrets
	if !questions.Scan() {
		return errors.New("it was told no secrets")
	}
	if err := json.Unmarshal(questions.Bytes(), &s); err != nil {
		return err
	}
	var got []int
	heard := make(chan os.Signal, 64)
	for _, s := range signals {
		signal.Notify(heard, s)
	}
	t, memory, err := keep(s)
	if err != nil {
		return err
	}
	answers := json.NewEncoder(out)
	if err := answers.Encode(t); err != nil {
		return err
	}
	for questions.Scan() {
		for len(heard) > 0 {
			got = append(got, int((<-heard).(syscall.Signal)))
		}
		a := account{Signals: got, Memory: map[string]string{}}
		for name, b := range memory {
			a.Memory[name] = text(b)
		}
		if err := answers.Encode(a); err != nil {
			return err
		}
	}
	return nil
}

// text is what is before the first zero.
func text(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return s
}

// keep puts the secrets where they are to be.
func keep(s secrets) (t testimony, memory map[string][]byte, err error) {
	pageSize := os.Getpagesize()
	anonymous := func(pages int) ([]byte, error) {
		return unix.Mmap(-1, 0, pages*pageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	}
	t.Memory, memory = map[string]uint64{}, map[string][]byte{}
	for name, word := range s.Memory {
		page, err := anonymous(1)
		if err != nil {
			return t, nil, fmt.Errorf("mmap(2): %w", err)
		}
		copy(page, word)
		t.Memory[name], memory[name] = uint64(uintptr(unsafe.Pointer(&page[0]))), page[:slotSize]
	}

	pages, err := anonymous(bits)
	if err != nil {
		return t, nil, fmt.Errorf("mmap(2): %w", err)
	}
	unix.Madvise(pages, unix.MADV_NOHUGEPAGE) // which would fill them all; EINVAL: there are none
	for i := range bits {
		if s.Pages>>i&1 == 1 {
			pages[i*pageSize] = 1
		}
	}
	t.Pages = uint64(uintptr(unsafe.Pointer(&pages[0])))

	if t.File, err = nameless("secret", s.File); err != nil {
		return t, nil, err
	}
	other, err := nameless(s.Map, "not a secret")
	if err != nil {
		return t, nil, err
	}
	if _, err := unix.Mmap(other, 0, pageSize, unix.PROT_READ, unix.MAP_PRIVATE); err != nil {
		return t, nil, fmt.Errorf("mmap(2): %w", err)
	}
	t.Descriptors = []int{t.File}
	for i := range bits {
		from := other
		if s.Files>>i&1 == 1 {
			from = t.File
		}
		fd, err := unix.Dup(from)
		if err != nil {
			return t, nil, fmt.Errorf("dup(2): %w", err)
		}
		t.Descriptors = append(t.Descriptors, fd)
	}
	t.Thread, err = wait(s.Count, s.Robust)
	return t, memory, err
}

func nameless(name, content string) (fd int, err error) {
	fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return 0, fmt.Errorf("memfd_create(2): %w", err)
	}
	_, err = unix.Pwrite(fd, []byte(content), 0)
	return fd, err
}

// wait has a thread wait, for count bytes, and gives its ID.
func wait(count, robust uint64) (tid int, err error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return 0, fmt.Errorf("pipe2(2): %w", err)
	}
	begun := make(chan int)
	go func() {
		runtime.LockOSThread()
		// Nothing is there: the kernel looks when the thread ends, and lets it be.
		unix.Syscall(unix.SYS_SET_ROBUST_LIST, uintptr(robust), 24, 0)
		begun <- unix.Gettid()
		b := new([8]byte)
		unix.Syscall(unix.SYS_READ, uintptr(p[0]), uintptr(unsafe.Pointer(b)), uintptr(count))
	}()
	return <-begun, nil
}

// witness is a witness as the host has it.
type witness struct {
	testimony
	secrets
	pid       int
	questions *os.File
	answers   *os.File
	lines     *bufio.Scanner
}

// witness starts it, unless it was started before in this session. Its name is no secret.
func (h *Host) witness() (*witness, error) {
	if h.theWitness == nil && h.noWitness == nil {
		h.theWitness, h.noWitness = h.startWitness()
	}
	return h.theWitness, h.noWitness
}

func (h *Host) startWitness() (*witness, error) {
	w := &witness{secrets: secrets{
		Memory: map[string]string{},
		File:   h.wordOf("read-descriptor") + " " + h.wordOf("read-descriptor-taken"), Map: h.wordOf("trace-maps"),
		Pages: rand.Uint32(), Files: rand.Uint32(),
		Count: 1<<32 + rand.Uint64N(1<<40), Robust: 1<<40 + rand.Uint64N(1<<40)&^7,
	}}
	for _, name := range []string{"read-memory", "read-memory-vm", "trace-seize"} {
		w.secrets.Memory[name] = h.wordOf(name)
	}
	for _, name := range []string{"write-memory", "write-memory-vm"} {
		w.secrets.Memory[name] = ""
	}
	cmd := exec.Command(h.Program, WitnessVerb)
	cmd.Env = []string{"SECRET=" + h.wordOf("read-environ")}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a group of its own
	theirIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, in.Close(), theirIn.Close())
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirIn, theirOut, os.Stderr
	err = cmd.Start()
	theirIn.Close()
	theirOut.Close()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting a process that is a canary: %w", err), in.Close(), out.Close())
	}
	h.Later(func() error {
		cmd.Process.Kill()
		cmd.Wait()
		return errors.Join(in.Close(), out.Close())
	})
	w.pid, w.questions, w.answers, w.lines = cmd.Process.Pid, in, out, bufio.NewScanner(out)
	if err := w.ask(w.secrets, &w.testimony); err != nil {
		return nil, fmt.Errorf("a process that is to be a canary: %w", err)
	}
	return w, nil
}

// ask gives a witness a line, and takes one as its answer.
func (w *witness) ask(question, answer any) error {
	deadline := time.Now().Add(patience)
	w.questions.SetDeadline(deadline)
	w.answers.SetDeadline(deadline)
	if err := json.NewEncoder(w.questions).Encode(question); err != nil {
		return err
	}
	if !w.lines.Scan() {
		if err := w.lines.Err(); err != nil {
			return err
		}
		return errors.New("it has ended")
	}
	return json.Unmarshal(w.lines.Bytes(), answer)
}

// account asks a witness what has become of it.
func (w *witness) account() (a account, err error) {
	err = w.ask(struct{}{}, &a)
	return a, err
}

// wordOf is the secret word of another probe than the one at hand.
func (h *Host) wordOf(probe string) string {
	now := h.now
	h.now = probe
	word := h.Word()
	h.now = now
	return word
}

// atWitness is a plant for an attempt at a witness: what the attempt is told begins with
// its PID.
func atWitness(more func(h *Host, w *witness) string) func(*Host) (string, error) {
	return func(h *Host) (string, error) {
		w, err := h.witness()
		if err != nil {
			return "", err
		}
		return strings.TrimSpace(fmt.Sprintf("%d %s", w.pid, more(h, w))), nil
	}
}

// onlyPID is for one that needs no more.
func onlyPID(*Host, *witness) string { return "" }

// atWord is one at the memory that is there for the probe at hand.
func atWord(h *Host, w *witness) string {
	return fmt.Sprintf("%d %s", w.testimony.Memory[h.now], h.Word())
}

// A target is a process of the host's, as the attempt is told of it.
type target struct {
	pid  int
	rest string
}

// at calls an attempt at a process of the host's by its number. In a PID namespace it is
// another's number, or nobody's. What is in there is the instance's own affair, but for the
// processes that make the attempt, and those numbers of which kill(2) makes more than one.
func at(attempt func(t target) Attempt) func(string) Attempt {
	return func(canary string) Attempt {
		var t target
		if _, err := fmt.Sscan(canary, &t.pid); err != nil {
			return Attempt{Lacks: fmt.Sprintf("no process is to be found in %.100q", canary)}
		}
		_, t.rest, _ = strings.Cut(canary, " ")
		if t.pid <= 1 || t.pid == os.Getpid() || t.pid == os.Getppid() {
			return Attempt{Call: fmt.Sprintf("the number %d is the instance's own", t.pid), Errno: "ESRCH"}
		}
		return attempt(t)
	}
}

// address reads a number from what is told, and gives what follows it.
func (t target) address() (n uint64, rest string) {
	fmt.Sscan(t.rest, &n)
	_, rest, _ = strings.Cut(t.rest, " ")
	return n, rest
}

// gotSignal judges an attempt to send one of the signals.
func gotSignal(h *Host, _ string, attempt Attempt) (bool, string) {
	w, err := h.witness()
	if err != nil {
		return false, err.Error()
	}
	s := int(signals[h.now])
	for range 20 {
		a, err := w.account()
		if err != nil {
			return false, "the host's process does not say what it got: " + err.Error()
		}
		if slices.Contains(a.Signals, s) {
			return true, fmt.Sprintf("process %d of the host has got the signal %d", w.pid, s)
		}
		if !attempt.Did {
			break
		}
		time.Sleep(5 * time.Millisecond) // its own threads may have to run first
	}
	return false, fmt.Sprintf("process %d of the host has not got the signal %d", w.pid, s)
}

// wroteMemory judges an attempt to change the memory of a witness.
func wroteMemory(h *Host, _ string, _ Attempt) (bool, string) {
	w, err := h.witness()
	if err != nil {
		return false, err.Error()
	}
	a, err := w.account()
	if err != nil {
		return false, "the host's process does not say what it has: " + err.Error()
	}
	if a.Memory[h.now] != h.Word() {
		return false, "the memory of the host's process is as it was"
	}
	return true, "the host's process has the word in its memory"
}

// patternOf judges an attempt to learn which of a witness's bits are set.
func patternOf(what string, bits func(w *witness) uint32) func(*Host, string, Attempt) (bool, string) {
	return func(h *Host, _ string, a Attempt) (bool, string) {
		w, err := h.witness()
		if err != nil {
			return false, err.Error()
		}
		if want := fmt.Sprintf("%032b", bits(w)); a.Saw == want {
			return true, "it knows " + what + " of a process of the host: " + want
		}
		return false, ""
	}
}

// living tells whether a process of the host's that is a canary has not been ended. Nobody
// has waited for it, so the number is still its own.
func living(pid int) bool {
	b, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(pid), "stat"))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}
