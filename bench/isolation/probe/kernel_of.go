package probe

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// Many attempts touch nothing that a host could look at afterwards: a system call is carried
// out, or it is not. What tells there is whose kernel has carried it out. Each kernel picks
// a random number when it boots, and shows it to whatever it runs (random(4), boot_id): so
// it is a canary that every host has.

// BootID names the kernel that runs.
func BootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}

// served is an attempt that some kernel has carried out: it says which.
func served(call string) Attempt { return did(call, "the kernel of boot "+BootID()) }

// byHostKernel judges what served gives.
func byHostKernel(_ *Host, _ string, a Attempt) (bool, string) {
	switch id := BootID(); {
	case !a.Did:
		return false, a.Saw // what it was shown instead
	case id != "" && strings.Contains(a.Saw, id):
		return true, "the boot id is the host's"
	default:
		return false, "the boot id is that of another kernel than the host's"
	}
}

// needs is a plant for an attempt at what only some kernels have: without it nothing can be
// learned on this host. one of the files shows that it is there.
func needs(what string, files ...string) func(*Host) (string, error) {
	return func(*Host) (string, error) {
		for _, f := range files {
			if _, err := os.Lstat(f); err == nil {
				return "", nil
			}
		}
		return "", fmt.Errorf("the host's kernel has no %s: there is no %s", what, strings.Join(files, " nor "))
	}
}

// A knob is a setting of the kernel that is a file. The canary is its path and a value that
// it does not have now; the host puts the old one back.
func knob(value func(h *Host, old string) string, paths ...string) func(*Host) (string, error) {
	return func(h *Host) (string, error) {
		for _, path := range paths {
			b, err := os.ReadFile(path)
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			if err != nil {
				return "", err
			}
			old := strings.TrimSpace(string(b))
			turned := value(h, old)
			h.Later(func() error {
				if now, _ := os.ReadFile(path); strings.TrimSpace(string(now)) != turned {
					return nil
				}
				return writeKnob(path, old)
			})
			return path + " " + turned, nil
		}
		return "", fmt.Errorf("the host's kernel has no %s", strings.Join(paths, " nor "))
	}
}

// writeKnob writes with one write(2), and without a line break, which some settings keep.
func writeKnob(path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if value == "" {
		value = "\n" // nothing written is nothing set
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// turned judges a knob.
func turned(_ *Host, canary string, _ Attempt) (bool, string) {
	path, value, _ := strings.Cut(canary, " ")
	b, err := os.ReadFile(path)
	if err != nil {
		return false, ""
	}
	if now := strings.TrimSpace(string(b)); now != value {
		return false, path + " is as it was"
	}
	return true, path + " of the host has the new value"
}
