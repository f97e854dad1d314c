package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"time"
)

// raw is the file of all samples, each written at once.
type raw struct {
	f *os.File
	w *csv.Writer
}

func newRaw(path string) (*raw, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	r := &raw{f, csv.NewWriter(f)}
	return r, r.w.Write([]string{"series", "subject", "round", "position", "start_ns", "first_instruction_ns", "exit_ns", "error"})
}

func (r *raw) add(series, subject string, round, position int, t times, failure error) error {
	text := ""
	if failure != nil {
		text = failure.Error()
	}
	n := func(v int64) string {
		if v == 0 {
			return ""
		}
		return strconv.FormatInt(v, 10)
	}
	err := r.w.Write([]string{series, subject, strconv.Itoa(round), strconv.Itoa(position), n(t.start), n(t.first), n(t.exit), text})
	r.w.Flush()
	return errors.Join(err, r.w.Error())
}

func (r *raw) close() error { return r.f.Close() }

// The subjects, by the names in the tables and in the file.
const (
	benchOCI      = "bench-oci run"
	crun          = "crun run"
	runc          = "runc run"
	limitRun      = "C, executed"
	libraryLo     = "library"
	limitLo       = "C, one process"
	libraryVeth   = "library, veth"
	limitVeth     = "C, one process, veth"
	backToBack    = "back to back"
	afterIdling   = "after idling"
	firstEnd      = "to first instruction"
	exitEnd       = "to exit"
	warmups       = 3
	warmupsSeries = "warm-up"
)

// A subject is one of those that are compared.
type subject struct {
	name  string
	start func(context.Context) (times, error)
}

// samples are the counted times of all series, in nanoseconds.
type samples struct {
	order  []string // of the subjects
	values map[[3]string][]float64
	errs   map[[2]string][]error
}

// failed is how many samples failed.
func (s *samples) failed() int {
	n := 0
	for _, errs := range s.errs {
		n += len(errs)
	}
	return n
}

// subjects are made ready; close undoes it.
func (s *setup) subjects() (list []subject, close func() error, err error) {
	var closers []func() error
	close = func() error {
		var errs []error
		for _, c := range closers {
			errs = append(errs, c())
		}
		return errors.Join(errs...)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, close())
		}
	}()
	for _, rt := range s.runtimes {
		start, c, err := s.command(rt)
		if err != nil {
			return nil, nil, err
		}
		closers = append(closers, c)
		list = append(list, subject{rt.Name + " run", start})
	}
	start, err := s.limitCommand()
	if err != nil {
		return nil, nil, err
	}
	list = append(list, subject{limitRun, start})
	for _, x := range []struct {
		name, id string
		veth, c  bool
	}{{libraryLo, "lo", false, false}, {limitLo, "limit-lo", false, true}, {libraryVeth, "veth", true, false}, {limitVeth, "limit-veth", true, true}} {
		var st starter
		if x.c {
			st, err = s.limit(x.id, x.veth)
		} else {
			st, err = s.library(x.id, x.veth, nil)
		}
		if err != nil {
			return nil, nil, err
		}
		closers = append(closers, st.close)
		list = append(list, subject{x.name, once(st)})
	}
	return list, close, nil
}

// rounds measures both series.
func (s *setup) rounds(ctx context.Context, o options, raw *raw) (_ *samples, err error) {
	list, closeAll, err := s.subjects()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeAll()) }()
	got := &samples{values: map[[3]string][]float64{}, errs: map[[2]string][]error{}}
	for _, sub := range list {
		got.order = append(got.order, sub.name)
	}
	rng := rand.New(rand.NewPCG(o.seed, 0))
	for _, series := range []struct {
		name   string
		rounds int
		idle   time.Duration
	}{{warmupsSeries, warmups, 0}, {backToBack, o.rounds, 0}, {afterIdling, o.rounds, o.idle}} {
		for round := range series.rounds {
			for position, i := range rng.Perm(len(list)) {
				select {
				case <-ctx.Done():
					return got, errors.New("interrupted; samples.csv has what was measured")
				case <-time.After(series.idle):
				}
				sub := list[i]
				t, failure := sub.start(ctx)
				if err := raw.add(series.name, sub.name, round, position, t, failure); err != nil {
					return got, err
				}
				if failure != nil {
					fmt.Fprintf(os.Stderr, "peers: FAILED: %s, %s, round %d: %v\n", series.name, sub.name, round, failure)
					got.errs[[2]string{series.name, sub.name}] = append(got.errs[[2]string{series.name, sub.name}], failure)
					continue
				}
				if series.name == warmupsSeries {
					continue
				}
				for end, at := range map[string]int64{firstEnd: t.first, exitEnd: t.exit} {
					key := [3]string{series.name, sub.name, end}
					got.values[key] = append(got.values[key], float64(at-t.start))
				}
			}
		}
	}
	return got, nil
}
