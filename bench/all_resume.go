package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"vmctr/bench/experiment"
	"vmctr/bench/harness"
	"vmctr/images"
	"vmctr/report/result"
)

// A stopped run, which goes on: from its journal alone.
type stopped struct {
	journal *result.Journal
	run     *result.Run
	cut     int64 // bytes of a line that was not whole
}

// errComplete is why there is nothing to go on with.
var errComplete = errors.New("complete")

// openStopped opens the journal of --resume and sets the other flags to what that run
// was asked for.
func (c *allCommand) openStopped() (_ *stopped, err error) {
	s := &stopped{}
	if s.journal, s.run, s.cut, err = result.Open(c.Resume); err != nil {
		return nil, fmt.Errorf("--resume: %w", err)
	}
	defer func() {
		if err != nil {
			s.journal.Close()
		}
	}()
	if e := s.run.End; e != nil && e.Reason == "complete" {
		return nil, errComplete
	}
	h := s.run.Header
	if v := buildVersion(); h.Version != v {
		return nil, fmt.Errorf("--resume: the run in %s was begun by bench %s, and this is bench %s: what the two measure is not the same, since a version may change the program, the runtime and the clock. Go on with that version, or make a new run; bench report %s shows what there is",
			c.Resume, h.Version, v, c.Resume)
	}
	if err := c.contradictions(h); err != nil {
		return nil, &exitError{exitUsage, err}
	}
	c.Out, c.Profile, c.Seed, c.Rounds = c.Resume, h.Profile, &h.Seed, h.Rounds
	c.Platforms, c.Experiments, c.Images, c.Kernel, c.Image = h.Platforms, h.Experiments, h.Images, h.Kernel, h.Base
	return s, nil
}

// contradictions says which flag asks for another run than the one that is to go on. One
// that asks for the same is no harm.
func (c *allCommand) contradictions(h result.Header) error {
	differs := func(flag string, given, has any) error {
		return fmt.Errorf("%s %v contradicts the run in %s, which has %v: leave the flag out, or make a new run", flag, given, c.Resume, has)
	}
	set := func(names ...string) string {
		return strings.Join(slices.Compact(slices.Sorted(slices.Values(names))), ",")
	}
	experiments := slices.Clone(c.Experiments)
	for _, e := range experiment.All() {
		if e.Always {
			experiments = append(experiments, e.Name)
		}
	}
	switch {
	case c.Out != "" && c.Out != c.Resume:
		return fmt.Errorf("--out %s: a run that is resumed goes on in its own folder, %s", c.Out, c.Resume)
	case c.Profile != "" && c.Profile != h.Profile:
		return differs("--profile", c.Profile, h.Profile)
	case c.Seed != nil && *c.Seed != h.Seed:
		return differs("--seed", *c.Seed, h.Seed)
	case c.Rounds != 0 && c.Rounds != h.Rounds:
		return differs("--rounds", c.Rounds, cmpOr(h.Rounds, "as many as its time allows"))
	case len(c.Platforms) > 0 && set(c.Platforms...) != set(h.Platforms...):
		return differs("--platforms", set(c.Platforms...), set(h.Platforms...))
	case len(c.Experiments) > 0 && set(experiments...) != set(h.Experiments...):
		return differs("--experiments", set(c.Experiments...), set(h.Experiments...))
	case len(c.Images) > 0 && set(c.Images...) != set(h.Images...):
		return differs("--images", set(c.Images...), cmpOr(set(h.Images...), "none"))
	case c.Kernel != "" && c.Kernel != h.Kernel:
		return differs("--kernel", c.Kernel, cmpOr(h.Kernel, "the one that was found"))
	case c.Image != "" && familiar(c.Image) != h.Base:
		return differs("--image", c.Image, cmpOr(h.Base, "the image of bench"))
	}
	return nil
}

// familiar is the name that an image has in the journal.
func familiar(name string) string {
	if f, err := images.FamiliarName(name); err == nil {
		return f
	}
	return name
}

// cmpOr is a value, or words for the zero one.
func cmpOr[T comparable](v T, words string) any {
	if v == *new(T) {
		return words
	}
	return v
}

// goOn checks that what would be measured now is the same, and records that the run goes
// on.
func (s *stopped) goOn(run *harness.Run, image *images.Image, host result.Host) error {
	h := s.run.Header
	if image.Digest != h.Image.Digest {
		return fmt.Errorf("--resume: the image %s is now %s, and the run has measured %s: samples of two images are not mixed. Make a new run, or bring that image back", image.Name, image.Digest, h.Image.Digest)
	}
	changed, err := harness.SameHost(h.Host, host)
	if err != nil {
		return fmt.Errorf("--resume: samples from here would not be comparable with those of the run: %w. Make a new run", err)
	}
	return s.journal.Append(result.Record{Resume: &result.Resume{
		AtNs: s.run.Ran(), Time: time.Now().UTC().Truncate(time.Second), ID: run.ID, Cut: s.cut, Changed: changed,
	}})
}

// substance are those details of a platform that its figures depend on; others are of one
// preparation.
var substance = []string{"machine type", "guest kernel", "kernel format", "firmware", "guest channel", "guest memory", "runtime", "engine", "seccomp", "cgroups"}

// changedSince says what of a platform is not as it was before the run was stopped: its
// samples could not be put together. "" for nothing.
func (s *stopped) changedSince(now result.Platform) string {
	i := slices.IndexFunc(s.run.Platforms, func(p result.Platform) bool { return p.Name == now.Name })
	if i < 0 || s.run.Platforms[i].Details == nil {
		return ""
	}
	was := s.run.Platforms[i]
	differs := func(name, a, b string) string {
		return fmt.Sprintf("since the run was stopped its %s has changed from %q to %q: samples of both cannot be put together", name, a, b)
	}
	if was.Accelerator != now.Accelerator { // the detail of that name tells how long a probe took, too
		return differs("accelerator", was.Accelerator, now.Accelerator)
	}
	for _, name := range substance {
		if a, b := was.Details[name], now.Details[name]; a != b {
			return differs(name, a, b)
		}
	}
	return ""
}

// has tells whether the run had recorded an image.
func (s *stopped) has(i result.StoredImage) bool {
	return s != nil && slices.ContainsFunc(s.run.Images, func(o result.StoredImage) bool {
		return o.Name == i.Name && o.Platform == i.Platform && o.Digest == i.Digest
	})
}

// hasNote tells whether the run had noted something.
func (s *stopped) hasNote(text string) bool {
	return s != nil && slices.ContainsFunc(s.run.Notes, func(n result.Note) bool { return n.Text == text })
}

// sayResumed tells the user what is gone on with.
func (s *stopped) sayResumed(w streams, total time.Duration) {
	line := fmt.Sprintf("bench: going on with the run in %s: %d samples are there, and of its %v %v are left", s.journal.Path(), len(s.run.Samples), total,
		max(0, total-time.Duration(s.run.Ran())).Round(time.Second))
	if s.cut > 0 {
		line += fmt.Sprintf("; the last line was not whole and is cut off (%d bytes)", s.cut)
	}
	fmt.Fprintln(w.err, line)
}

// howToGoOn is what a user is told whose run ended before its end.
func howToGoOn(err error, dir string) error {
	first := "to go on with it: "
	if !errors.Is(err, harness.ErrInterrupted) {
		first = "to go on with it once that is mended: "
	}
	return fmt.Errorf("%w; what was measured is in %s, and can be read: bench report %s; %sbench all --resume %s", err, dir+string(os.PathSeparator)+result.FileName, dir, first, dir)
}
