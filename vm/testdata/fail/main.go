// Fail is a program that takes its machine down, in the way that its argument says.
// It can be PID 1, which then fails with it.
package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func main() {
	fmt.Println("about to", os.Args[1])
	switch os.Args[1] {
	case "spin":
		for {
		}
	case "reset": // at once, by the way that the kernel's parameter reboot= names
		os.MkdirAll("/proc", 0o755)
		unix.Mount("proc", "/proc", "proc", 0, "")
		if err := os.WriteFile("/proc/sysrq-trigger", []byte("b"), 0); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	case "restart": // in good order
		unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	case "eat":
		for {
			b, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_POPULATE)
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(3)
			}
			b[0] = 1
		}
	}
	select {}
}
