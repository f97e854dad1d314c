package result

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// A Journal is a result file that is being written.
type Journal struct {
	mu   sync.Mutex
	f    *os.File
	good int64 // length of the complete lines
}

// ErrOccupied is why [Create] refuses a folder that holds a run.
var ErrOccupied = errors.New("it holds the results of another run")

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
	// Held as long as the run lives, so that another program can tell a run
	// that goes on from one that was cut off (flock(2)).
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	j := &Journal{f: f}
	h.Schema = Schema
	if err := j.Append(Record{Run: &h}); err != nil {
		f.Close()
		os.Remove(path) // not even a header: there is no run to keep
		return nil, err
	}
	return j, nil
}

// Append writes one record. Each line goes to the kernel in one write(2), so
// that a bench that is killed leaves whole lines; when the disk is full, what
// was written of the line is taken back.
func (j *Journal) Append(r Record) error {
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encoding a record: %w", err)
	}
	line = append(line, '\n')
	j.mu.Lock()
	defer j.mu.Unlock()
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
