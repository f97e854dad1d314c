package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"vmctr/images"
	"vmctr/images/registry"
)

// registryFlags are the flags of what talks to a registry.
type registryFlags struct {
	PlainHTTP bool `name:"plain-http" help:"Allow a registry without TLS: whoever is on the way sees what is sent."`
	Insecure  bool `help:"Accept any certificate of the registry."`
	Parallel  int  `default:"3" placeholder:"N" help:"How many layers are under way at once (${default})."`
	Quiet     bool `short:"q" help:"Print the name only."`
}

// client makes a client whose progress is shown, until the function is called.
func (f registryFlags) client(s streams) (*registry.Client, func()) {
	c := &registry.Client{PlainHTTP: f.PlainHTTP, Insecure: f.Insecure, Parallel: f.Parallel}
	if f.Quiet {
		return c, func() {}
	}
	t := newTransfer(s.err, isTerminal(s.err))
	c.Progress = t.event
	return c, t.close
}

// platformFlags choose, of an image for several platforms, what is meant.
type platformFlags struct {
	Platform     string `placeholder:"OS/ARCH" help:"The platform whose image is meant, such as linux/arm64, instead of this host's."`
	AllPlatforms bool   `help:"Take the images of all platforms."`
}

func (f platformFlags) platform() (v1.Platform, error) {
	if f.Platform == "" {
		return images.HostPlatform(), nil
	}
	if f.AllPlatforms {
		return v1.Platform{}, usageError("--platform and --all-platforms: one of them at most")
	}
	return images.ParsePlatform(f.Platform)
}

// choose is what of an index is fetched.
func (f platformFlags) choose(name string) (func([]v1.Descriptor) ([]v1.Descriptor, error), error) {
	p, err := f.platform()
	if f.AllPlatforms {
		return images.ForAll, err
	}
	return images.ForPlatform(name, p), err
}

func usageError(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// transfer shows how blobs come and go: a bar for each on a terminal, a line for
// each otherwise, and one now and then for those that take long.
type transfer struct {
	w    io.Writer
	bars *mpb.Progress

	mu    sync.Mutex
	moves map[v1.Hash]*move
}

// move is a blob under way.
type move struct {
	bar  *mpb.Bar
	last time.Time // that a line was printed
}

func newTransfer(w io.Writer, terminal bool) *transfer {
	t := &transfer{w: w, moves: map[v1.Hash]*move{}}
	if terminal {
		t.bars = mpb.New(mpb.WithOutput(w), mpb.WithAutoRefresh(), mpb.WithWidth(40), mpb.WithRefreshRate(150*time.Millisecond))
	}
	return t
}

func (t *transfer) event(e registry.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.Blob.MediaType.IsImage() || e.Blob.MediaType.IsIndex() {
		return // a moment's
	}
	id := e.Blob.Digest
	m := t.moves[id]
	switch e.State {
	case registry.Present:
		t.say("%s: already here, %s", shortDigest(id.String()), bytesText(e.Blob.Size))
	case registry.Retrying:
		t.say("%s: interrupted, trying again: %v", shortDigest(id.String()), e.Err)
	case registry.Complete:
		t.say("%s: complete, %s", shortDigest(id.String()), bytesText(e.Blob.Size))
		if m != nil && m.bar != nil {
			m.bar.Abort(true)
		}
		delete(t.moves, id)
	case registry.Moving:
		if m == nil {
			m = &move{last: time.Now()}
			t.moves[id] = m
			if t.bars != nil {
				m.bar = t.bars.New(e.Blob.Size, mpb.BarStyle().Lbound("[").Filler("=").Tip(">").Padding(" ").Rbound("]"),
					mpb.PrependDecorators(decor.Name(shortDigest(id.String())+" ")),
					mpb.AppendDecorators(decor.CountersKibiByte(" %.1f / %.1f")))
			}
		}
		if m.bar != nil {
			// Never to the end: that is when it is checked.
			m.bar.SetCurrent(max(0, min(e.Done, e.Blob.Size-1)))
		} else if time.Since(m.last) >= 10*time.Second {
			m.last = time.Now()
			t.say("%s: %s of %s", shortDigest(id.String()), bytesText(e.Done), bytesText(e.Blob.Size))
		}
	}
}

// say prints a line, above the bars.
func (t *transfer) say(format string, args ...any) {
	w := t.w
	if t.bars != nil {
		w = t.bars
	}
	fmt.Fprintf(w, format+"\n", args...)
}

// close takes the bars away.
func (t *transfer) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range t.moves {
		if m.bar != nil {
			m.bar.Abort(true)
		}
	}
	clear(t.moves)
	if t.bars != nil {
		t.bars.Wait()
	}
}
