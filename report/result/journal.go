package result

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A Journal is a result file that is being written.
type Journal struct {
	mu   sync.Mutex
	f    *os.File
	good int64 // length of the complete lines
	torn bool  // behind them is a line that is not, which is cut off before the next
	// synced is when all lines before were on the disk.
	synced time.Time
}

// syncEvery is how long a line may be with the kernel alone: see the package's doc.
const syncEvery = time.Second

// ErrOccupied is why [Create] refuses a folder that holds a run.
var ErrOccupied = errors.New("it holds the results of another run")

// ErrBusy is why [Open] refuses a journal that another bench writes.
var ErrBusy = errors.New("another bench is writing to it")

// Create starts the journal of a new run in dir, which it makes if it is not
// there, and writes the header. It refuses a folder that holds a journal:
// nothing is ever overwritten.
func Create(dir string, h Header) (*Journal, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the result folder: %w", err)
	}
	path := filepath.Join(dir, FileName)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("result folder %s: %w; choose another with --out", dir, ErrOccupied)
	}
	if err != nil {
		return nil, fmt.Errorf("result folder %s cannot be written: %w", dir, err)
	}
	if err := lock(f); err != nil {
		f.Close()
		return nil, err
	}
	j := &Journal{f: f}
	h.Schema = Schema
	if err := j.Append(Record{Run: &h}); err != nil {
		f.Close()
		os.Remove(path) // not even a header: there is no run to keep
		return nil, err
	}
	// The folder has a new name in it, which is not on the disk with the file itself.
	if d, err := os.Open(dir); err == nil {
		d.Sync() // some file systems cannot, and the file is there all the same
		d.Close()
	}
	return j, nil
}

// lock is held as long as the run lives, so that another program can tell a run that
// goes on from one that was cut off (flock(2)).
func lock(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EWOULDBLOCK):
			return fmt.Errorf("%s: %w: wait for its end, or end it", f.Name(), ErrBusy)
		case !errors.Is(err, unix.EINTR):
			return fmt.Errorf("locking %s: %w", f.Name(), err)
		}
	}
}

// Open goes on with the journal of a run that was stopped, and gives what it holds. A
// last line that is not whole, of so many bytes, is cut off by the first [Journal.Append].
func Open(dir string) (j *Journal, run *Run, cut int64, err error) {
	path := filepath.Join(dir, FileName)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil, nil, 0, noJournal(dir, err)
	}
	if err != nil {
		return nil, nil, 0, fmt.Errorf("opening the journal to go on with it: %w", err)
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if err := lock(f); err != nil {
		return nil, nil, 0, err
	}
	run, whole, err := read(f, keepAll)
	if err != nil {
		return nil, nil, 0, fmt.Errorf("%s: %w", path, err)
	}
	st, err := f.Stat()
	if err != nil {
		return nil, nil, 0, err
	}
	cut = st.Size() - whole
	if _, err := f.Seek(whole, io.SeekStart); err != nil {
		return nil, nil, 0, err
	}
	run.Truncated = false
	return &Journal{f: f, good: whole, torn: cut > 0, synced: time.Now()}, run, cut, nil
}

// Append writes one record. Each line goes to the kernel in one write(2), so
// that a bench that is killed leaves whole lines; when the disk is full, what
// was written of the line is taken back. Once in [syncEvery] the call waits until all is
// on the disk.
func (j *Journal) Append(r Record) error {
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encoding a record: %w", err)
	}
	line = append(line, '\n')
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.torn {
		if err := j.f.Truncate(j.good); err != nil {
			return fmt.Errorf("cutting off a line of the journal that is not whole: %w", err)
		}
		j.torn = false
	}
	n, err := j.f.Write(line)
	if err != nil {
		if n > 0 {
			if err := j.f.Truncate(j.good); err == nil {
				j.f.Seek(j.good, 0)
			}
		}
		return fmt.Errorf("writing the journal, which is whole up to byte %d: %w", j.good, err)
	}
	j.good += int64(n)
	if r.Run == nil && r.Resume == nil && r.End == nil && time.Since(j.synced) < syncEvery {
		return nil
	}
	if err := j.f.Sync(); err != nil {
		return fmt.Errorf("putting the journal on the disk: %w", err)
	}
	j.synced = time.Now()
	return nil
}

// Path is where the journal is.
func (j *Journal) Path() string { return j.f.Name() }

// Close puts the journal on the disk (fsync(2)) and closes it.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return errors.Join(j.f.Sync(), j.f.Close())
}
