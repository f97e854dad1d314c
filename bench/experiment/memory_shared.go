package experiment

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"vmctr/bench/embedded"
	"vmctr/bench/harness"
	"vmctr/bench/platform"
	"vmctr/report/result"
	"vmctr/vm"
)

// memoryShared is what two instances of one image have in common that two of different
// images have not. Containers of one image read the same files, of which the host keeps
// one copy in its page cache; a guest reads them into RAM of its own, where only a search
// for equal pages finds them. The images are equally large, and run the same program.
var memoryShared = Experiment{
	Name:     "memory-shared",
	About:    "what two instances of one image share, and what two of different images",
	Weight:   4,
	From:     "standard",
	most:     8,
	deadline: time.Minute,
	trials: func(s Subject, _ Limits) []harness.Trial {
		if !hasImage(s) {
			return nil
		}
		var list []harness.Trial
		for _, series := range []string{sameImage, differentImages} {
			p := &pair{subject: s, fleet: fleet{bound: bound(s)}}
			list = append(list, harness.Trial{
				Series:  series,
				Enter:   func(ctx context.Context) error { return p.start(ctx, series == differentImages) },
				Measure: p.measure,
				Leave:   p.stop,
			})
		}
		return list
	},
}

// The series of memory-shared.
const (
	sameImage       = "same"
	differentImages = "different"
)

// hasImage tells whether there is one in a subject's instances: not in a machine without a
// system.
func hasImage(s Subject) bool {
	for _, p := range s.Prepared.Facts().Parts {
		if p.WithImage {
			return true
		}
	}
	return !isMachine(s)
}

// A pair are two instances.
type pair struct {
	fleet
	subject Subject
	folders []string // of the files of their images, each once
}

func (p *pair) start(ctx context.Context, different bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, fleetDeadline, fmt.Errorf("two instances were not up within %v", fleetDeadline))
	defer cancel()
	one, err := p.subject.Variant(ctx, "the image", func(w *platform.Workload) error { w.Mergeable = true; return nil })
	if err != nil {
		return err
	}
	two := one
	if different {
		two, err = p.subject.Variant(ctx, "another image", func(w *platform.Workload) error {
			w.Mergeable = true
			program, err := embedded.Workload()
			if err != nil {
				return err
			}
			store, err := p.subject.Scratch(ctx)
			if err != nil {
				return err
			}
			w.Image, err = store.PutOther(ctx, program)
			return err
		})
		if err != nil {
			return err
		}
	}
	p.folders = nil
	for n, prepared := range []platform.Prepared{one, two} {
		if f, ok := prepared.(platform.Foldered); ok && (n == 0 || different) {
			p.folders = append(p.folders, f.Folders()...)
		}
	}
	return p.fleet.start(ctx, []platform.Prepared{one, two})
}

func (p *pair) measure(ctx context.Context) (result.Sample, error) {
	s, err := p.accounts(ctx)
	if err != nil {
		return s, err
	}
	cached, err := p.cached()
	if err != nil {
		return s, err
	}
	if cached > 0 {
		s.Values["files_cached_bytes"] = float64(cached)
	}
	first, ok := p.running[0].(platform.Comparable)
	if !ok {
		return s, nil
	}
	m, err := first.CompareRAM(ctx, p.running[1])
	if err != nil {
		return s, err
	}
	addMergeable(s.Values, m)
	return s, nil
}

func addMergeable(values map[string]float64, m vm.Mergeable) {
	values["mergeable_of_bytes"] = float64(m.Resident)
	values["mergeable_zero_bytes"] = float64(m.Zero)
	values["mergeable_within_bytes"] = float64(m.Within)
	values["mergeable_across_bytes"] = float64(m.Across)
}

// cached is how much of all files of the instances is in the host's page cache.
func (p *pair) cached() (bytes int64, err error) {
	seen := map[string]bool{}
	for _, i := range p.running {
		f, ok := i.(platform.CachedFiles)
		if !ok {
			continue
		}
		list, err := f.Cached()
		if err != nil {
			return 0, err
		}
		for _, f := range list {
			if !seen[f.Path] {
				seen[f.Path] = true
				bytes += f.Cached
			}
		}
	}
	for _, folder := range p.folders {
		n, err := cachedBelow(folder)
		if err != nil {
			return 0, err
		}
		bytes += n
	}
	return bytes, nil
}

// cachedBelow is how much of the files below a folder is in the host's page cache.
func cachedBelow(folder string) (bytes int64, err error) {
	err = filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		n, err := vm.PageCache(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		bytes += n
		return err
	})
	return bytes, err
}
