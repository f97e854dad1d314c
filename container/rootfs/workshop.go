package rootfs

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"vmctr/container/step"
)

// The kernel joins only layers that are mounted where the caller can see them:
// a detached mount (open_tree(2)) as a layer is refused before Linux 6.15. But a
// mount in the host's mount namespace would be everybody's to see, and would
// stay behind when this process is killed. So one thread of this process has a
// mount namespace for itself (mount_namespaces(7)), a copy of the host's in
// which the layers are mounted, and where overlays are made. It goes with the
// process, and all that is mounted in it goes too.

// shelf is a tmpfs in that mount namespace, over a folder that nothing there
// needs, with a folder for each layer. Its name is short, for they are joined by
// their names.
const shelf = "/sys"

// workshop gives that thread work.
var workshop = sync.OnceValues(func() (chan<- func(), error) {
	work, ready := make(chan func()), make(chan error)
	go openWorkshop(work, ready)
	return work, <-ready
})

func openWorkshop(work <-chan func(), ready chan<- error) {
	// And never unlock: no other goroutine may run on this thread any more.
	runtime.LockOSThread()
	if unix.Gettid() == os.Getpid() {
		// Not the first thread: /proc/self is about that one. While this
		// goroutine holds it, the next gets another.
		done := make(chan struct{})
		go func() { openWorkshop(work, ready); close(done) }()
		<-done
		return
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		ready <- fmt.Errorf("a mount namespace for the layers: unshare: %w", err)
		return
	}
	// What the host mounts comes in, and nothing goes out.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		ready <- fmt.Errorf("a mount namespace for the layers: mount: %w", err)
		return
	}
	if err := unix.Mount("layers", shelf, "tmpfs", 0, "mode=700"); err != nil {
		ready <- fmt.Errorf("a mount namespace for the layers: a tmpfs: %w", err)
		return
	}
	ready <- nil
	for f := range work {
		f()
	}
}

// inWorkshop runs f on the thread with the layers.
func inWorkshop(f func() error) (err error) {
	work, err := workshop()
	if err != nil {
		return err
	}
	done := make(chan struct{})
	work <- func() { err = f(); close(done) }
	<-done
	return err
}

// Run makes the calls of a program that joins layers ([Overlay]).
func Run(p *step.Program) error {
	return inWorkshop(func() error {
		err := Explain(p, p.Run())
		// The program works in the container's folder, which it must not hold.
		return errors.Join(err, unix.Chdir("/"))
	})
}

// Explain says what the error of a program with an [Overlay] means.
func Explain(p *step.Program, err error) error {
	if e, ok := errors.AsType[*step.Error](err); ok && e.Phase == overlayPhase && e.Errno == unix.EINVAL && strings.Contains(p.String(), layerByLayer) {
		return fmt.Errorf("%w (Linux before 6.5 joins no more layers than their names fit into 255 bytes, about 36)", err)
	}
	return err
}
