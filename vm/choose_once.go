package vm

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/vm/cache"
)

// ChooseOnce is [ChooseFor], but of a choice that was made since this host has
// booted it takes the word: to try both accelerators takes two seconds, which who
// runs a machine would wait for each time. Who measures tries anew.
//
// The choice is kept in the folder dir, with what it holds for: this boot of the
// host, this QEMU, this /dev/kvm. If any is another one, or the file makes no sense,
// it is made again.
func ChooseOnce(ctx context.Context, qemu, arch, dir string) (Choice, error) {
	o := once{
		file: filepath.Join(dir, "accelerator-"+arch+".json"),
		boot: "/proc/sys/kernel/random/boot_id", qemu: qemu, kvm: "/dev/kvm",
	}
	return o.choose(func() (Choice, error) { return ChooseFor(ctx, qemu, arch) })
}

// onceFor is how long a choice holds at most: one that was made while the host had no
// time for the guest is not to last until it boots again.
const onceFor = 24 * time.Hour

// once is where a choice is kept, and the files that it depends on.
type once struct{ file, boot, qemu, kvm string }

// kept is what the file of a choice holds.
type kept struct {
	Circumstances string    `json:"circumstances"`
	Choice        Choice    `json:"choice"`
	At            time.Time `json:"at"`
}

func (o once) choose(anew func() (Choice, error)) (Choice, error) {
	circumstances, err := o.circumstances()
	if err != nil {
		return anew()
	}
	if c, ok := o.recall(circumstances); ok {
		return c, nil
	}
	c, err := anew()
	if err != nil {
		return c, err
	}
	// Where it cannot be kept it is made again the next time, and is no worse for it.
	cache.Write(o.file, func(w io.Writer) error { return json.NewEncoder(w).Encode(kept{circumstances, c, time.Now()}) })
	return c, nil
}

// recall reads a choice that was made in the same circumstances.
func (o once) recall(circumstances string) (Choice, bool) {
	var k kept
	b, err := os.ReadFile(o.file)
	if err != nil || json.Unmarshal(b, &k) != nil || k.Circumstances != circumstances || time.Since(k.At) > onceFor {
		return Choice{}, false
	}
	k.Choice.Earlier = k.At
	c := k.Choice
	return c, c.Accelerator == KVM && c.KVM > 0 || c.Accelerator == TCG && c.Reason != ""
}

// circumstances are what a choice holds for. A package that is upgraded makes a
// new file, a module that is loaded again a new device, and its rights are in its
// inode; whether this user has them shows only by trying.
func (o once) circumstances() (string, error) {
	boot, err := os.ReadFile(o.boot)
	if err != nil {
		return "", err
	}
	program, err := cache.Identity(o.qemu)
	if err != nil {
		return "", err
	}
	device, err := cache.Identity(o.kvm)
	if err == nil {
		var fd int
		if fd, err = unix.Open(o.kvm, unix.O_RDWR|unix.O_CLOEXEC, 0); err == nil {
			unix.Close(fd)
		}
	}
	if err != nil {
		device = fmt.Sprintf("%s: %v", o.kvm, err)
	}
	return fmt.Sprintf("boot %s; %s; %s", strings.TrimSpace(string(boot)), program, device), nil
}
