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

// lookPatience is for the process to try all system calls.
const lookPatience = 60 * time.Second

// lookAround has a process with nothing in its way find out what it may do: arena look
// LAST, as the program inside has it. It prints that as a line of JSON.
func lookAround(args []string) (err error) {
	if len(args) != 1 {
		return errors.New("usage: arena look LAST")
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), lookPatience, fmt.Errorf("it was not done within %v", lookPatience))
	defer cancel()
	r, err := start(ctx, isolation.Bare, "look", args[0])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Stop()) }()
	stop := context.AfterFunc(ctx, func() { r.Stdout.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	in := bufio.NewScanner(r.Stdout)
	in.Buffer(nil, 1<<20)
	for n := 0; n < 3; n++ { // its sign, what it sees, what it may do
		if !in.Scan() {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return fmt.Errorf("the process ended before it had told what it may do: %v", in.Err())
		}
	}
	p := isolation.Privileges{}
	if err := json.Unmarshal(in.Bytes(), &p); err != nil {
		return err
	}
	p.Variant = isolation.Bare
	return json.NewEncoder(os.Stdout).Encode(p)
}
