package result

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// A Run is a journal that was read back.
type Run struct {
	Header    Header
	Images    []StoredImage
	Platforms []Platform // the last state of each, in the order of the header
	Samples   []Sample   // in the order taken
	Blocks    []Block
	Endings   []Ending
	Notes     []Note
	Resumes   []Resume
	End       *End // nil when the run was cut off, or goes on
	// Truncated says that the last line is not whole: the run was cut off
	// while writing it. The line is left out.
	Truncated bool

	// Of a lean run: what is kept for the keys of which not all samples are in Samples, and
	// which of those in Samples do not follow the one before them.
	columns map[Key]*column
	gaps    map[int]bool

	path  string // of a stream
	whole int64  // bytes of its lines that are whole
}

// maxLine bounds a line of the journal: the largest are some 10 KiB.
const maxLine = 16 << 20

var errLong = fmt.Errorf("it is longer than %d bytes, which no line of bench is", maxLine)

// Read reads the journal in the folder dir.
func Read(dir string) (*Run, error) { return readDir(dir, keepAll) }

// ReadLean reads it for a report, which needs all values and not all else. Of a large
// journal ([LeanFrom]) only the first [KeepWhole] samples of each key are in Samples, as many
// failed ones, and those that hold more than values and phases. Of the others the values are
// kept ([Run.ValuesOf]), and they are counted ([Run.Count], [Run.Folded]): 8 bytes for each value.
func ReadLean(dir string) (*Run, error) { return readDir(dir, keepSome) }

// keep is what a reader keeps of the samples.
type keep int

const (
	keepAll   keep = iota
	keepSome       // whole, and the values of all
	keepNames      // of the values
)

func readDir(dir string, k keep) (*Run, error) {
	path := filepath.Join(dir, FileName)
	f, err := os.Open(path)
	if err != nil {
		return nil, noJournal(dir, err)
	}
	defer f.Close()
	if k == keepSome {
		st, err := f.Stat()
		if err != nil {
			return nil, fmt.Errorf("reading the journal: %w", err)
		}
		if st.Size() < LeanFrom {
			k = keepAll
		}
	}
	run, whole, err := read(f, k)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if k == keepNames {
		run.path, run.whole = path, whole
	}
	return run, nil
}

// read also gives the length of the lines that are whole.
func read(r io.Reader, k keep) (run *Run, whole int64, err error) {
	run = &Run{}
	var l *lean
	if k != keepAll {
		l = newLean(run, k == keepNames)
	}
	br := bufio.NewReaderSize(r, 64<<10)
	for n := 1; ; n++ {
		line, err := readLine(br)
		// Append writes a line and its newline at once, so a rest without one was cut
		// off. JSON has no NUL: where one stands, the file had grown when the host lost
		// its power, and what was to be written there never reached the disk.
		nul := bytes.IndexByte(line, 0) >= 0
		switch {
		case err != nil && err != io.EOF && err != errLong:
			return nil, 0, fmt.Errorf("line %d: %w", n, err)
		case n == 1 && (err != nil || nul):
			return nil, 0, fmt.Errorf("line 1: %w", noHeader(line, err == io.EOF, err))
		case err == nil && nul && !lost(br):
			return nil, 0, fmt.Errorf("line %d: it holds NUL bytes, which no program wrote, and much follows: the disk or a copy is damaged; %s", n, without(n))
		case err == io.EOF || err == nil && nul:
			run.Truncated = len(line) > 0
			if l != nil {
				l.end()
			}
			run.sortPlatforms()
			return run, whole, nil
		case err != nil:
			return nil, 0, fmt.Errorf("line %d: %w", n, err)
		}
		counted := false
		if l != nil && n > 1 {
			var folded bool
			if folded, counted = l.line(line); folded {
				whole += int64(len(line)) + 1
				continue
			}
		}
		var rec Record
		if err := json.Unmarshal(line, &rec); err != nil {
			if n == 1 {
				return nil, 0, fmt.Errorf("line 1: %w", noHeader(line, false, err))
			}
			return nil, 0, fmt.Errorf("line %d: %w", n, damaged(n, line, err))
		}
		if n == 1 && rec.Run == nil {
			return nil, 0, fmt.Errorf("line 1: %w", noHeader(line, false, nil))
		}
		if n > 1 && rec.Run != nil {
			return nil, 0, fmt.Errorf("line %d: a second header: these are the journals of two runs, of which each needs a file of its own; the first ends with line %d", n, n-1)
		}
		if err := run.add(rec); err != nil {
			return nil, 0, fmt.Errorf("line %d: %w", n, err)
		}
		if l != nil && rec.Sample != nil && !counted {
			l.whole(rec.Sample)
		}
		whole += int64(len(line)) + 1
	}
}

// readLine returns a line without its newline, which lasts until the next one is read; or
// what is left and io.EOF.
func readLine(br *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := br.ReadSlice('\n')
		if err == nil && line == nil {
			return part[:len(part)-1], nil
		}
		line = append(line, part...)
		if len(line) > maxLine {
			return line, errLong
		}
		if err == nil {
			return bytes.TrimSuffix(line, []byte("\n")), nil
		}
		if err != bufio.ErrBufferFull {
			return line, err
		}
	}
}

func (r *Run) add(rec Record) error {
	if kinds := rec.kinds(); kinds > 1 {
		return fmt.Errorf("%d records in one line", kinds)
	}
	switch {
	case rec.Run != nil:
		if rec.Run.Schema > Schema {
			return fmt.Errorf("the journal has schema %d and this bench reads up to %d: use a newer bench", rec.Run.Schema, Schema)
		}
		if rec.Run.Schema < 1 {
			return fmt.Errorf("the header names no schema that there ever was (%d): it is not the journal of a bench run, or was changed", rec.Run.Schema)
		}
		r.Header = *rec.Run
	case rec.Image != nil:
		r.Images = append(r.Images, *rec.Image)
	case rec.Platform != nil:
		i := slices.IndexFunc(r.Platforms, func(p Platform) bool { return p.Name == rec.Platform.Name })
		if i < 0 {
			r.Platforms = append(r.Platforms, *rec.Platform)
		} else {
			r.Platforms[i] = *rec.Platform
		}
	case rec.Sample != nil:
		r.Samples = append(r.Samples, *rec.Sample)
	case rec.Block != nil:
		r.Blocks = append(r.Blocks, *rec.Block)
	case rec.Ending != nil:
		r.Endings = append(r.Endings, *rec.Ending)
	case rec.Note != nil:
		r.Notes = append(r.Notes, *rec.Note)
	case rec.Resume != nil:
		r.Resumes = append(r.Resumes, *rec.Resume)
		r.End = nil // that was the end of what was before
	case rec.End != nil:
		r.End = rec.End
	}
	// A record of none of these kinds is of a later bench with the same
	// schema: it adds something, and changes nothing that is here.
	return nil
}

// kinds counts the fields that are set.
func (r *Record) kinds() int {
	n := 0
	for _, set := range []bool{r.Run != nil, r.Image != nil, r.Platform != nil, r.Sample != nil, r.Note != nil, r.End != nil} {
		if set {
			n++
		}
	}
	return n
}

// Ran is how long the run has run, as far as its journal shows: nanoseconds.
func (r *Run) Ran() int64 {
	var last int64
	at := func(ns int64) { last = max(last, ns) }
	for i := range r.Samples {
		s := &r.Samples[i]
		at(s.AtNs)
		if len(s.Phases) > 0 {
			at(s.AtNs + s.Phases[len(s.Phases)-1].Ns)
		}
	}
	for _, b := range r.Blocks {
		at(b.AtNs + b.Ns)
	}
	for _, e := range r.Endings {
		at(e.AtNs)
	}
	for _, n := range r.Notes {
		at(n.AtNs)
	}
	for _, m := range r.Resumes {
		at(m.AtNs)
	}
	if r.End != nil {
		at(r.End.AtNs)
	}
	return last
}

// sortPlatforms puts the platforms in the order in which they were asked for.
func (r *Run) sortPlatforms() {
	place := func(name string) int {
		if i := slices.Index(r.Header.Platforms, name); i >= 0 {
			return i
		}
		return len(r.Header.Platforms)
	}
	slices.SortStableFunc(r.Platforms, func(a, b Platform) int { return place(a.Name) - place(b.Name) })
}
