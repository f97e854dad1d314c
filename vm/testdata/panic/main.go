// Panic is a workload that takes its kernel down: sysrq "c" makes it crash
// (Documentation/admin-guide/sysrq.rst).
package main

import (
	"fmt"
	"os"
	"time"
)

func main() {
	fmt.Println("about to panic")
	time.Sleep(200 * time.Millisecond) // the guest loads the driver that tells QEMU
	if err := os.WriteFile("/proc/sysrq-trigger", []byte("c"), 0); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	select {}
}
