package experiment

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"vmctr/bench/harness"
	"vmctr/bench/platform"
	"vmctr/images"
)

// TestSize: a larger image is made once, prepared once, and what that cost is in the
// first sample alone.
func TestSize(t *testing.T) {
	base, err := images.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer base.Close()
	program, err := images.Workload([]byte("#!/bin/sh\n" + healthy + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	image, err := base.Put(t.Context(), images.WorkloadName, program)
	if err != nil {
		t.Fatal(err)
	}
	store, err := images.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	process, err := platform.Find("process")
	if err != nil {
		t.Fatal(err)
	}
	var variants []string
	s := Subject{
		Name: "process", Prepared: prepared(t, healthy),
		Scratch: func(context.Context) (*images.Store, error) { return store, nil },
		Variant: func(ctx context.Context, name string, change func(*platform.Workload) error) (platform.Prepared, error) {
			variants = append(variants, name)
			w := platform.Workload{Image: image, Dir: t.TempDir()}
			w.Process, _ = image.Process(nil)
			w.Process.Env = []string{"PATH=" + os.Getenv("PATH")}
			if err := change(&w); err != nil {
				return nil, err
			}
			return process.Prepare(ctx, w)
		},
	}
	for subject, unpacked := range []bool{true, false} { // the second finds it in the store
		trials := size.Plan([]Subject{s}, Limits{}).Trials
		trial := trials[len(trials)-1]
		if trial.Series != seriesFiles || trial.N != 1000 {
			t.Fatalf("the last trial is %s, %d", trial.Series, trial.N)
		}
		for n := range 2 {
			if err := trial.Enter(t.Context()); err != nil {
				t.Fatal(err)
			}
			sample, err := trial.Measure(t.Context())
			if err != nil || sample.Values["first_instruction_ns"] <= 0 {
				t.Fatalf("%v, %v", sample.Values, err)
			}
			if first := n == 0; (sample.Values["prepare_ns"] > 0) != first || (sample.Values["unpack_ns"] > 0) != (first && unpacked) {
				t.Errorf("subject %d, sample %d: %v", subject, n, sample.Values)
			}
		}
	}
	if len(variants) != 2 {
		t.Errorf("variants were asked for: %q", variants)
	}
	i, err := store.Image("startup-size-files-1000", v1.Platform{})
	if err != nil {
		t.Fatal(err)
	}
	dirs, err := i.Unpack(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if files, err := filepath.Glob(filepath.Join(dirs[len(dirs)-1], "bench/more/*")); err != nil || len(files) != 1000 {
		t.Errorf("%d files, %v", len(files), err)
	}
}

// TestSizeRoom: an image for which the disk has no room is out of reach.
func TestSizeRoom(t *testing.T) {
	store, err := images.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err = sized{seriesData, 1 << 30}.image(ctx, store, nil, nil)
	if far, ok := err.(*harness.OutOfReach); !ok || !strings.Contains(far.Reason, "is too large here: it may need 6.00 PiB") && !strings.Contains(far.Reason, "TiB on the disk") {
		t.Errorf("error %v", err)
	}
}
