package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"vmctr/bench/isolation/probe"
	"vmctr/report/result/isolation"
)

func init() { verbs["probe"] = probeAll }

// program is the one that tries, which lies beside this one.
const program = "/bench/inside"

// probeAll tries the probes with nothing in the way, and prints a Probing.
func probeAll([]string) error {
	return json.NewEncoder(os.Stdout).Encode(bare())
}

func bare() (p isolation.Probing) {
	p = isolation.Probing{Variant: isolation.Bare, BootID: bootID(), HostBootID: bootID()}
	dir := "/run/bare"
	if err := os.MkdirAll(dir, 0o700); err != nil {
		p.Error = err.Error()
		return p
	}
	s, err := probe.Open(dir, program)
	if err != nil {
		p.Error = err.Error()
		return p
	}
	plan, _ := json.Marshal(s.Plan)
	cmd := exec.Command(program, "probe", string(plan))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		p.Error = err.Error()
	}
	attempts, err := read(string(out))
	if err != nil {
		p.Error = err.Error()
	}
	p.Findings = s.Judge(attempts)
	if err := s.Close(); err != nil {
		p.Error = err.Error()
	}
	return p
}

// read reads what the program inside has printed.
func read(out string) (attempts []probe.Attempt, err error) {
	for in := bufio.NewScanner(strings.NewReader(out)); in.Scan(); {
		if in.Text() == "first-instruction" {
			continue
		}
		var a probe.Attempt
		if err := json.Unmarshal(in.Bytes(), &a); err != nil {
			return attempts, fmt.Errorf("an attempt, %.200q: %w", in.Text(), err)
		}
		attempts = append(attempts, a)
	}
	return attempts, nil
}

func bootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}
