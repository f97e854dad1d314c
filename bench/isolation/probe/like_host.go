package probe

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
)

// Some things the host cannot put a secret word into, but has a value of its own that an
// instance is not to learn. The attempt reads it where the host does. That it is the same
// does not suffice, since two machines can have the same: it counts if the boot id is the
// host's too.

// likeHost is a probe of one of those.
func likeHost(name, call string, read func() (value string, err error)) Probe {
	return Probe{
		Name: name,
		Plant: func(h *Host) (string, error) {
			value, err := read()
			if err == nil && value == "" {
				err = fmt.Errorf("%s shows nothing on the host either", call)
			}
			if h.values == nil {
				h.values = map[string]string{}
			}
			h.values[name] = value // as it is now: another attempt may change it
			return "", err
		},
		Attempt: func(string) Attempt {
			value, err := read()
			if err != nil {
				return refused(call, err)
			}
			if value == "" {
				return Attempt{Call: call}
			}
			return did(call, value+"\n"+BootID())
		},
		Reached: func(h *Host, _ string, a Attempt) (bool, string) {
			if !a.Did {
				return false, ""
			}
			switch saw, boot, _ := strings.Cut(a.Saw, "\n"); {
			case boot != BootID() || boot == "":
				return false, "of another kernel than the host's, as the boot id shows"
			case saw != h.values[name]:
				return false, "the host has another one"
			}
			return true, "it is the host's"
		},
	}
}

// fileSum is the sum of what is in a file, which is not to be shown.
func fileSum(path string) func() (string, error) {
	return func() (string, error) {
		b, err := os.ReadFile(path)
		if err != nil || len(strings.TrimSpace(string(b))) == 0 {
			return "", err
		}
		return sum(b), nil
	}
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:8])
}
