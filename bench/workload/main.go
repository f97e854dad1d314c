// Workload is the program that is measured: the same bytes run as a process,
// in a container and in a virtual machine.
//
// Its first instruction writes the line "first-instruction" to standard output
// (entry_amd64.s), before Go's runtime starts: that is the end of every startup
// time. Then it writes one line of JSON, an [identity.Identity]: who and where
// it is. What it does after that is its arguments:
//
//	workload exit             ends with status 0
//	workload idle             waits for SIGTERM or SIGINT
//	workload serve ADDRESS    answers HTTP on ADDRESS, as idle
//
// It expects to be started in the folder that holds its data file.
package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) < 2 {
		fail("usage: workload exit | idle | serve ADDRESS")
	}
	// As PID 1, a program gets no signal that it does not handle.
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)

	me, err := json.Marshal(look())
	if err != nil {
		fail("%v", err)
	}
	if _, err := os.Stdout.Write(append(me, '\n')); err != nil {
		fail("%v", err)
	}
	switch verb := os.Args[1]; {
	case verb == "exit" && len(os.Args) == 2:
	case verb == "idle" && len(os.Args) == 2:
		<-stop
	case verb == "serve" && len(os.Args) == 3:
		l, err := net.Listen("tcp", os.Args[2])
		if err != nil {
			fail("%v", err)
		}
		fmt.Println("serving", l.Addr())
		go serve(l)
		<-stop
	default:
		fail("unknown arguments %q; usage: workload exit | idle | serve ADDRESS", os.Args[1:])
	}
}

// serve answers every HTTP/1 request with one line (RFC 9112). It is a few
// lines of its own because net/http would make the program three times as
// large, and the program's size is part of what is measured.
func serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			fail("%v", err)
		}
		go func() {
			defer c.Close()
			c.SetDeadline(time.Now().Add(5 * time.Second))
			// The whole request has to be read, or closing would reset the
			// connection and could take the answer with it.
			if !readHead(c) {
				return
			}
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n")
		}()
	}
}

// readHead reads up to the empty line that ends a request without a body.
func readHead(c net.Conn) bool {
	b := make([]byte, 0, 4096)
	for len(b) < cap(b) {
		n, err := c.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if len(b) >= 4 && string(b[len(b)-4:]) == "\r\n\r\n" {
			return true
		}
		if err != nil {
			return false
		}
	}
	return false
}

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "workload: "+format+"\n", args...)
	os.Exit(1)
}
