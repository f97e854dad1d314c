package experiment

import (
	"context"
	"errors"
	"fmt"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"vmctr/bench/harness"
	"vmctr/bench/platform"
	"vmctr/images"
	"vmctr/report/result"
)

// size is startup from larger images: that of the workload with one more layer, which
// nothing reads. What is paid once for it, by whoever has pulled the image, is measured
// beside: to unpack the layers, which platforms share, and to prepare the platform.
var size = Experiment{
	Name:     "startup-size",
	About:    "startup from images of different size, and what is paid for that once",
	value:    "first_instruction_ns",
	Weight:   4,
	From:     "standard",
	stand:    true,
	deadline: time.Minute,
	trials: func(s Subject, l Limits) []harness.Trial {
		trials := []harness.Trial{{Series: seriesData, Measure: func(ctx context.Context) (result.Sample, error) { return start(ctx, s.Prepared) }}}
		for _, x := range []sized{{seriesData, 8}, {seriesData, 64}, {seriesData, 256}, {seriesFiles, 1000}} {
			var p platform.Prepared
			var cost map[string]float64 // of the sample after it was prepared
			trials = append(trials, harness.Trial{
				Series: x.series, N: x.n,
				Enter: func(ctx context.Context) (err error) {
					if p == nil {
						p, cost, err = x.prepare(ctx, s)
					}
					return err
				},
				Measure: func(ctx context.Context) (result.Sample, error) {
					sample, err := start(ctx, p)
					for name, v := range cost {
						sample.Values[name] = v
					}
					if err == nil {
						cost = nil
					}
					return sample, err
				},
			})
		}
		return trials
	},
}

// The series of startup-size: N counts MiB of data in one file, or files of 1 KiB.
const (
	seriesData  = "data"
	seriesFiles = "files"
)

// sized is one of the larger images.
type sized struct {
	series string
	n      int
}

func (x sized) name() string { return fmt.Sprintf("startup-size-%s-%d", x.series, x.n) }

func (x sized) shape() (files int, bytes int64) {
	if x.series == seriesFiles {
		return x.n, int64(x.n) << 10
	}
	return 1, int64(x.n) << 20
}

// copies is how often an image is on the disk at most: as a blob, unpacked into layers
// and into one tree, as a disk for machines, and in engines of their own.
const copies = 6

// prepare has the platform ready for the image, and tells what that cost.
func (x sized) prepare(ctx context.Context, s Subject) (p platform.Prepared, cost map[string]float64, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 5*time.Minute, errors.New("it was not ready within 5 minutes"))
	defer cancel()
	store, err := s.Scratch(ctx)
	if err != nil {
		return nil, nil, err
	}
	cost = map[string]float64{}
	begin := time.Now()
	p, err = s.Variant(ctx, x.name(), func(w *platform.Workload) (err error) {
		if w.Image, err = x.image(ctx, store, w.Image, cost); err != nil {
			return err
		}
		begin = time.Now()
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	cost["prepare_ns"] = float64(time.Since(begin))
	return p, cost, nil
}

// image is the larger image in the store: who comes first makes and unpacks it.
func (x sized) image(ctx context.Context, store *images.Store, base *images.Image, cost map[string]float64) (*images.Image, error) {
	var missing *images.NotFoundError
	i, err := store.Image(x.name(), v1.Platform{})
	if !errors.As(err, &missing) {
		return i, err
	}
	files, bytes := x.shape()
	var st unix.Statfs_t
	if err := unix.Statfs(store.Dir(), &st); err != nil {
		return nil, fmt.Errorf("looking for room in %s: %w", store.Dir(), err)
	}
	if free, need := int64(st.Bavail)*st.Bsize, copies*bytes; free < 2*need {
		return nil, &harness.OutOfReach{Reason: fmt.Sprintf("an image with %s more is too large here: it may need %s on the disk of %s, of which %s is free, and half is to stay so",
			result.FormatValue(float64(bytes), "bytes"), result.FormatValue(float64(need), "bytes"), store.Dir(), result.FormatValue(float64(free), "bytes"))}
	}
	img, err := images.WithData(base.V1(), files, bytes)
	if err != nil {
		return nil, err
	}
	if i, err = store.Put(ctx, x.name(), img); err != nil {
		return nil, err
	}
	begin := time.Now()
	if _, err := i.Unpack(ctx); err != nil {
		return nil, err
	}
	cost["unpack_ns"] = float64(time.Since(begin))
	return i, nil
}
