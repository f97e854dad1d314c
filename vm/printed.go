package vm

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// What a guest's kernel and QEMU print is kept in files in memory (memfd_create(2)),
// which last when QEMU crashes. A guest may print without end: of each file the two
// ends are kept, where a boot begins and where the last words are.
const (
	printedEnd   = 1 << 20 // bytes of each end
	printedPause = time.Second
)

// boundPrinted gives back, every second until done is closed, what files in memory have
// between their ends.
func boundPrinted(done <-chan struct{}, files ...*os.File) {
	tick := time.NewTicker(printedPause)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			for _, f := range files {
				freeMiddle(f, printedEnd)
			}
		}
	}
}

// freeMiddle leaves a hole in a file, all but its ends (fallocate(2)): it is as long as
// before, and who writes to it goes on where they were.
func freeMiddle(f *os.File, end int64) error {
	st, err := f.Stat()
	if err != nil || st.Size() <= 2*end {
		return err
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	controlErr := conn.Control(func(fd uintptr) {
		err = unix.Fallocate(int(fd), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, end, st.Size()-2*end)
	})
	return errors.Join(err, controlErr)
}
