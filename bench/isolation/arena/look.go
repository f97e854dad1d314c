package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"vmctr/report/result/isolation"
)

func init() { verbs["look"] = lookAround }

// lookPatience is for one process to try all system calls.
const lookPatience = 50 * time.Second

// lookAround has a process with nothing in its way find out what it may do, and a
// container without its filter: arena look LAST, as the program inside has it. It prints a
// line of JSON for each.
func lookAround(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: arena look LAST")
	}
	out := json.NewEncoder(os.Stdout)
	for _, variant := range []string{isolation.Bare, isolation.Without("seccomp")} {
		p, err := privileges(variant, args[0])
		p.Variant = variant
		if err != nil {
			p.Error = err.Error()
		}
		if err := out.Encode(p); err != nil {
			return err
		}
	}
	return nil
}

func privileges(variant, last string) (p isolation.Privileges, err error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), lookPatience, fmt.Errorf("it was not done within %v", lookPatience))
	defer cancel()
	r, err := start(ctx, variant, "look", last)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, r.Stop()) }()
	defer r.Until(ctx)()
	in := bufio.NewScanner(r.Stdout)
	in.Buffer(nil, 1<<20)
	for range 3 { // its sign, what it sees, what it may do
		if !in.Scan() {
			if ctx.Err() != nil {
				return p, context.Cause(ctx)
			}
			return p, fmt.Errorf("the process ended before it had told what it may do: %v", in.Err())
		}
	}
	return p, json.Unmarshal(in.Bytes(), &p)
}
