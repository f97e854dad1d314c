package main

import (
	"errors"
	"fmt"
	"time"

	"vmctr/report/result/isolation"
)

func init() { verbs[isolation.FunctionsWork] = traced }

// traced waits, so that whoever traces it can begin, then works, and then idles.
func traced(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: inside " + isolation.FunctionsWork + " WAIT")
	}
	wait, err := time.ParseDuration(args[0])
	if err != nil {
		return err
	}
	begun()
	time.Sleep(wait)
	fmt.Println(isolation.FunctionsBegin)
	if err := tracedWork(); err != nil {
		return err
	}
	fmt.Println(isolation.FunctionsDone)
	time.Sleep(time.Minute)
	return nil
}
