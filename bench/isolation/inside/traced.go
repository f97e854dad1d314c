package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/report/result/isolation"
)

func init() { verbs[isolation.FunctionsWork] = traced }

// traced waits, so that whoever traces it can begin: for SIGUSR1, or for some time where no
// signal comes through. Then it works, and then it idles.
func traced(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: inside " + isolation.FunctionsWork + " " + isolation.FunctionsOnSignal + "|DURATION")
	}
	wait := time.Minute
	told := make(chan os.Signal, 1)
	if args[0] == isolation.FunctionsOnSignal {
		signal.Notify(told, unix.SIGUSR1)
	} else {
		var err error
		if wait, err = time.ParseDuration(args[0]); err != nil {
			return err
		}
	}
	begun()
	select {
	case <-told:
	case <-time.After(wait):
		if args[0] == isolation.FunctionsOnSignal {
			return errors.New("no signal came within a minute")
		}
	}
	fmt.Println(isolation.FunctionsBegin)
	if err := tracedWork(); err != nil {
		return err
	}
	fmt.Println(isolation.FunctionsDone)
	time.Sleep(time.Minute)
	return nil
}
