package probe

import (
	"bytes"
	"os"
	"path/filepath"
)

var see = []Probe{
	{
		Name: "see-process",
		Plant: func(h *Host) (string, error) {
			_, err := h.process(h.Word())
			return "", err
		},
		Attempt: func(string) Attempt {
			names, _ := filepath.Glob("/proc/[0-9]*/cmdline")
			var all bytes.Buffer
			for _, n := range names {
				b, _ := os.ReadFile(n)
				if bytes.Contains(b, []byte("canary-")) {
					all.Write(b)
				}
			}
			return did("reading /proc/*/cmdline", all.String())
		},
	},
}
