package interference

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/bench/isolation/errno"
)

// Neighbour waits for an order, does it until who gave it hangs up or its time is over, and
// ends.
func Neighbour(out io.Writer, address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	defer listener.Close()
	// Who hangs does not stay: not without an order, and not after it.
	time.AfterFunc(MostWait+MostTime+2*time.Second, func() { os.Exit(3) })
	print := json.NewEncoder(out)
	if err := print.Encode(Report{State: Ready}); err != nil {
		return err
	}
	if err := listener.(*net.TCPListener).SetDeadline(time.Now().Add(MostWait)); err != nil {
		return err
	}
	conn, err := listener.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	var order Order
	if line, err := in.ReadBytes('\n'); err != nil {
		return fmt.Errorf("reading the order: %w", err)
	} else if err := json.Unmarshal(line, &order); err != nil {
		return fmt.Errorf("the order %.200q: %w", line, err)
	}
	order = order.bounded()
	ctx, cancel := context.WithTimeout(context.Background(), order.For)
	defer cancel()
	go func() {
		io.Copy(io.Discard, in) // until it hangs up
		cancel()
	}()
	if err := print.Encode(Report{State: Working}); err != nil {
		return err
	}
	return print.Encode(Do(ctx, order))
}

// Do carries out an order, until ctx ends or its time is over.
func Do(ctx context.Context, order Order) (r Report) {
	order = order.bounded()
	ctx, cancel := context.WithTimeout(ctx, order.For)
	defer cancel()
	restrain(order)
	begin := time.Now()
	var err error
	switch order.Kind {
	case "spin":
		spin(ctx)
	case "alloc":
		r, err = alloc(ctx, order)
	case "fork":
		r, err = forkOn(ctx, order)
	case "sync":
		r, err = syncOn(ctx, order)
	case "flood":
		r, err = flood(ctx, order)
	default:
		err = fmt.Errorf("there is no neighbour %q", order.Kind)
	}
	r.State, r.Ns = Done, int64(time.Since(begin))
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if unix.Getrusage(who, &u) == nil {
			r.CPUNs += u.Utime.Nano() + u.Stime.Nano()
		}
	}
	if err != nil {
		r.Error = err.Error()
	}
	return r
}

// restrain has the kernel hold this process and its children to what they promise, and
// kill them first if the memory of whatever they are in is out. What it refuses to restrain
// has the program's own limits still.
func restrain(o Order) {
	os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
	lower := func(what int, to uint64) {
		var l unix.Rlimit
		if unix.Getrlimit(what, &l) == nil && l.Max > to {
			unix.Setrlimit(what, &unix.Rlimit{Cur: to, Max: to})
		}
	}
	lower(unix.RLIMIT_CPU, uint64(o.For.Seconds()+1)*uint64(runtime.NumCPU())+1) // seconds
	lower(unix.RLIMIT_FSIZE, MostFile)
	lower(unix.RLIMIT_CORE, 0)
}

// spin computes on every processor.
func spin(ctx context.Context) {
	ended := make(chan struct{})
	for range runtime.NumCPU() {
		go func() {
			defer func() { ended <- struct{}{} }()
			for x := uint64(1); ; {
				for range 1 << 16 {
					x = x*6364136223846793005 + 1442695040888963407
				}
				if ctx.Err() != nil || x == 0 {
					return
				}
			}
		}()
	}
	for range runtime.NumCPU() {
		<-ended
	}
}

// syncOn writes a file, by a MiB at a time, and has each put on the disk. The file has no
// name: it is gone with the process.
func syncOn(ctx context.Context, o Order) (r Report, err error) {
	f, err := os.CreateTemp(".", "neighbour-")
	if err != nil {
		return r, err
	}
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil {
		return r, err
	}
	block := make([]byte, 1<<20)
	for at := int64(0); ctx.Err() == nil && r.Did < MostWritten; {
		if at+int64(len(block)) > o.Bytes {
			if r.Ceiling = true; at == 0 {
				return r, errors.New("its order allows it no file")
			}
			at = 0
		}
		_, err := f.WriteAt(block, at)
		if err == nil {
			err = f.Sync()
		}
		if err != nil {
			r.Refused, r.Errno = r.Refused+1, errno.Name(err)
			if at == 0 {
				return r, err
			}
			if err := f.Truncate(0); err != nil { // full: it begins anew
				return r, err
			}
			at = 0
			continue
		}
		at += int64(len(block))
		r.Did, r.Most = r.Did+int64(len(block)), max(r.Most, at)
	}
	return r, nil
}
