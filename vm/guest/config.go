package main

import (
	"encoding/json"

	"github.com/opencontainers/runtime-spec/specs-go"

	"vmctr/vm/guest/wire"
)

// parseConfig reads an OCI configuration (runtime-spec, config.md).
//
// Of a process in no namespaces only those fields are looked for that say something:
// encoding/json makes tables of a whole type before it reads a byte, and to make those
// of [specs.Spec], with Windows, Solaris and all, takes 10 ms of an emulated boot.
func parseConfig(b []byte) (s specs.Spec, err error) {
	var few struct {
		Version     string            `json:"ociVersion"`
		Process     *specs.Process    `json:"process"`
		Root        *specs.Root       `json:"root"`
		Hostname    string            `json:"hostname"`
		Annotations map[string]string `json:"annotations"`
	}
	if err := json.Unmarshal(b, &few); err != nil {
		return s, err
	}
	if _, contained := few.Annotations[wire.Container]; contained {
		return s, json.Unmarshal(b, &s)
	}
	return specs.Spec{Version: few.Version, Process: few.Process, Root: few.Root, Hostname: few.Hostname, Annotations: few.Annotations}, nil
}
