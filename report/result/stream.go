package result

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"slices"
)

// Stream reads the journal for a format that has a line for each sample. No sample is in
// Samples, so that a large journal takes no more memory than a small one: [Run.Each] reads
// them again from the file, one at a time. That the journal is not damaged is known before.
func Stream(dir string) (*Run, error) { return readDir(dir, keepNames) }

// Each gives the samples in the order taken, of a run that was read by [Stream] from its
// journal. A sample is not to be kept beyond its turn.
func (r *Run) Each() iter.Seq2[*Sample, error] {
	return func(yield func(*Sample, error) bool) {
		if r.path == "" {
			for i := range r.Samples {
				if !yield(&r.Samples[i], nil) {
					return
				}
			}
			return
		}
		f, err := os.Open(r.path)
		if err != nil {
			yield(nil, fmt.Errorf("reading the journal: %w", err))
			return
		}
		defer f.Close()
		// A run that goes on has written more since.
		br := bufio.NewReaderSize(io.LimitReader(f, r.whole), 64<<10)
		for n := 1; ; n++ {
			line, err := readLine(br)
			if errors.Is(err, io.EOF) {
				return
			}
			var rec Record
			if err == nil {
				err = json.Unmarshal(line, &rec)
			}
			if err != nil {
				yield(nil, fmt.Errorf("%s: line %d: %w", r.path, n, err))
				return
			}
			if rec.Sample != nil && !yield(rec.Sample, nil) {
				return
			}
		}
	}
}

// ValueNames are the names of all values of a run, in the order of the alphabet.
func (r *Run) ValueNames() []string {
	names := map[string]bool{}
	for i := range r.Samples {
		for name := range r.Samples[i].Values {
			names[name] = true
		}
	}
	for _, c := range r.columns {
		for _, s := range c.series {
			names[s.name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}
