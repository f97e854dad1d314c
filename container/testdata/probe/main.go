// Probe runs inside the containers of the tests and prints what it sees.
package main

import (
	"fmt"
	"os"
	"strings"
)

func main() {
	fmt.Println("pid", os.Getpid(), "uid", os.Getuid())
	for _, f := range []string{"/proc/self/status", "/proc/self/mountinfo", "/proc/self/cgroup", "/proc/self/uid_map"} {
		b, err := os.ReadFile(f)
		fmt.Println(f, err)
		fmt.Println(string(b))
	}
	for _, d := range []string{"/", "/dev", "/proc/acpi", "/proc/self/fd"} {
		e, err := os.ReadDir(d)
		var n []string
		for _, x := range e {
			n = append(n, x.Name())
		}
		fmt.Println(d, err, strings.Join(n, " "))
	}
}
