package experiment

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"vmctr/bench/harness"
	"vmctr/bench/platform"
	"vmctr/report/result"
)

// An application is a program that people run in containers and machines, with what it
// answers when it serves.
type application struct {
	name  string // of the series
	image string // of Subject.Image
	port  uint16
	args  []string // in place of the image's command; nil for that
	// asks asks it once, over a connection of its own: nil for the right answer.
	asks func(ctx context.Context, address netip.AddrPort) error
}

var applicationList = []application{
	{"redis", "redis", 6379, nil, func(ctx context.Context, a netip.AddrPort) error { return converse(ctx, a, redisPong) }},
	// Its logs are links to /dev/stdout, which is opened anew: that a pipe of its own
	// allows on every platform, and neither a pipe of the host's nor a machine's channel.
	{"nginx", "nginx", 80, []string{"sh", "-c", "nginx -g 'daemon off;' 2>&1 | cat"}, request},
	{"postgres", PostgresWithData, 5432, nil, func(ctx context.Context, a netip.AddrPort) error { return converse(ctx, a, postgresOne) }},
}

// PostgresWithData is the image of a PostgreSQL that has its database already: to make
// one is no part of a start, and takes a second.
const PostgresWithData = "postgres-with-data"

// What an instance may use: twice the memory that the workload has elsewhere, since
// PostgreSQL alone wants 128 MiB for its buffers (shared_buffers).
const applicationMemory = 512 << 20

// applications is the time until a real application answers: redis PING, nginx a
// request for a page, postgres a query. A client asks from the moment that the instance
// is asked for, as one does that cannot wait.
var applications = Experiment{
	Name:     "applications",
	About:    "time until redis, nginx and postgres give their first answer, in a container and in a machine",
	Weight:   6,
	From:     "standard",
	stand:    true,
	value:    "answer_ns",
	warmups:  1,
	deadline: time.Minute,
	trials: func(s Subject, _ Limits) (list []harness.Trial) {
		if !runsApplications(s.Name) {
			return nil
		}
		for _, a := range applicationList {
			list = append(list, a.trial(s))
		}
		return list
	},
}

// runsApplications tells whether a platform has what it takes: a file system of the
// image's own, for the programs' libraries and users, and a network.
func runsApplications(name string) bool {
	i := infoOf(name)
	return i.Kind != "process" && !i.Loopback && !i.NoSystem
}

// prepareFor is how long it may take to make an image and prepare a platform for it.
const prepareFor = 5 * time.Minute

func (a application) trial(s Subject) harness.Trial {
	var prepared platform.Prepared
	return harness.Trial{
		Series: a.name,
		Enter: func(ctx context.Context) (err error) {
			ctx, cancel := context.WithTimeoutCause(ctx, prepareFor, fmt.Errorf("it was not ready within %v", prepareFor))
			defer cancel()
			prepared, err = a.prepare(ctx, s)
			return err
		},
		Measure: func(ctx context.Context) (result.Sample, error) { return a.measure(ctx, prepared) },
	}
}

// prepare makes the platform ready for the application. All is prepared that is for the
// workload: what is left is the start.
func (a application) prepare(ctx context.Context, s Subject) (platform.Prepared, error) {
	image, err := s.Image(ctx, a.image)
	if err != nil {
		return nil, &harness.OutOfReach{Reason: fmt.Sprintf("%s is not measured: %v", a.name, err)}
	}
	p, err := s.Variant(ctx, a.name, func(w *platform.Workload) (err error) {
		w.Image, w.Port, w.Memory = image, a.port, applicationMemory
		w.Process, err = image.Process(a.args)
		return err
	})
	if err == nil && !platform.HasNetwork(p) {
		err = &harness.OutOfReach{Reason: a.name + " is not measured: the platform has no network here that the host reaches"}
	}
	return p, err
}

// measure starts an instance and asks until the answer comes.
func (a application) measure(ctx context.Context, p platform.Prepared) (result.Sample, error) {
	return observed(ctx, p, func(ctx context.Context, i platform.Instance, begin int64, s *result.Sample) error {
		asking, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		var address netip.AddrPort
		at, unseen, err := firstAnswer(asking, begin, func(ctx context.Context) (err error) {
			if i.Output().Ended() {
				cancel(errors.New("its output has ended"))
				return nil
			}
			if !address.IsValid() { // an engine tells it when there is a container
				if address, err = i.Address(ctx); err != nil {
					return err
				}
			}
			return a.asks(ctx, address)
		})
		if err != nil {
			return fmt.Errorf("waiting for the first answer of %s at %v: %w", a.name, address, err)
		}
		s.Values["answer_ns"], s.Values["answer_unseen_ns"], s.Values["memory_limit_bytes"] = float64(at-begin), float64(unseen), applicationMemory
		return nil
	})
}
