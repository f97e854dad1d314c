// Package probe has the attempts to get out of an instance: what is planted on the host
// for each, what is tried inside, and how it is judged from the host.
//
// A probe is one [Probe] in the file of its group, with all three parts side by side. The
// host plants a canary (a file, a process, a listener, with a random word in it or in its
// name), tells the attempt where it is, and looks afterwards whether it was touched, or
// whether the attempt knows the word. What the attempt says of itself is evidence and
// never the verdict alone.
//
// Host here is whatever the instance is to be kept away from: this host, or a throwaway
// machine that stands in for it. An attempt does nothing that would harm a host that it
// reached; and what it changes is put back by [Session.Close].
package probe

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	"vmctr/bench/isolation/errno"
	"vmctr/report/result/isolation"
)

// A Probe is the code of one of isolation.Probes, by its name.
type Probe struct {
	Name string
	// Plant makes the canary on the host and gives what the attempt is told of it, such as
	// a PID. Nil for an attempt that needs none.
	Plant func(h *Host) (canary string, err error)
	// Attempt is made inside. It must end by itself, within a second.
	Attempt func(canary string) Attempt
	// Reached looks from the host whether the canary was touched or is known. Nil is for
	// an attempt to learn the word: it is reached if Attempt.Saw holds it (Host.Words).
	Reached func(h *Host, canary string, a Attempt) (yes bool, evidence string)
}

// Attempt is what an attempt says of itself.
type Attempt struct {
	Probe string `json:"probe"`
	// Did says that nothing refused it.
	Did bool `json:"did,omitempty"`
	// Errno names the error that refused it, Call what gave that.
	Errno string `json:"errno,omitempty"`
	Call  string `json:"call,omitempty"`
	Saw   string `json:"saw,omitempty"` // what it has read, or found
	// Lacks says why it could not even be tried: a kernel without that system call.
	Lacks string `json:"lacks,omitempty"`
	// Broke says that the attempt did not end, or ended its process.
	Broke string `json:"broke,omitempty"`
}

// All are the probes, in the order in which they are tried.
var All = join(see, reading, writing, signalling, tracing, mount, load, networking, clocks, resource, kernel, cve)

func join(lists ...[]Probe) (all []Probe) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// find gives the probe of a name, or nil.
func find(name string) *Probe {
	for i := range All {
		if All[i].Name == name {
			return &All[i]
		}
	}
	return nil
}

// Host is the side that is to stay untouched. It is used by one goroutine.
type Host struct {
	// Dir is a folder of its own, for canaries that are files; Program is this program
	// ("inside"), for those that are processes.
	Dir, Program string

	words   map[string]string // by probe
	now     string            // the probe that is planted or judged
	closers []func() error
	stander int // a PID, of bystander

	theWitness *witness // one for all that need one
	noWitness  error
	values     map[string]string // of likeHost, by probe
}

// Word is the secret word of the probe at hand: random, the same each time it is asked for.
func (h *Host) Word() string {
	if h.words[h.now] == "" {
		var b [8]byte
		rand.Read(b[:])
		h.words[h.now] = "canary-" + hex.EncodeToString(b[:])
	}
	return h.words[h.now]
}

// Later has f called when the session ends, the last one first.
func (h *Host) Later(f func() error) { h.closers = append(h.closers, f) }

// Plan is what the inside is told: the canary of each probe that is to be tried, by name.
type Plan map[string]string

// A Session is one go through the probes, seen from the host.
type Session struct {
	Plan Plan

	host    *Host
	failed  map[string]error // canaries that could not be planted
	planted []string         // the order
}

// Open plants all canaries. dir must exist; program is a path of "inside" on the host.
func Open(dir, program string) (*Session, error) {
	s := &Session{Plan: Plan{}, host: &Host{Dir: dir, Program: program, words: map[string]string{}}, failed: map[string]error{}}
	for _, p := range All {
		s.host.now = p.Name
		s.planted = append(s.planted, p.Name)
		if p.Plant == nil {
			s.Plan[p.Name] = ""
			continue
		}
		canary, err := p.Plant(s.host)
		if err != nil {
			s.failed[p.Name] = err
			continue
		}
		s.Plan[p.Name] = canary
	}
	return s, nil
}

// Judge gives a verdict on each attempt. A probe without one is inconclusive.
func (s *Session) Judge(attempts []Attempt) (all []isolation.Finding) {
	made := map[string]Attempt{}
	for _, a := range attempts {
		made[a.Probe] = a
	}
	for _, name := range s.planted {
		a, ok := made[name]
		if !ok {
			a = Attempt{Probe: name, Broke: "nothing was heard of it"}
		}
		all = append(all, s.judge(*find(name), a))
	}
	return all
}

func (s *Session) judge(p Probe, a Attempt) isolation.Finding {
	f := isolation.Finding{Probe: p.Name, Errno: a.Errno, Verdict: isolation.Inconclusive}
	if err := s.failed[p.Name]; err != nil {
		f.Evidence = "the canary could not be made: " + err.Error()
		return f
	}
	s.host.now = p.Name
	reached, seen := false, ""
	if p.Reached != nil {
		reached, seen = p.Reached(s.host, s.Plan[p.Name], a)
	} else if strings.Contains(a.Saw, s.host.Word()) {
		reached, seen = true, "it knows the secret word"
	}
	f.Evidence = a.says(seen)
	switch {
	case reached:
		f.Verdict = isolation.Reached
	case a.Broke != "" || a.Lacks != "":
	default:
		f.Verdict, f.Own = isolation.Blocked, a.Did
	}
	return f
}

// says is what is known of an attempt, in words.
func (a Attempt) says(seen string) string {
	var parts []string
	switch {
	case a.Broke != "":
		parts = append(parts, a.Broke)
	case a.Lacks != "":
		parts = append(parts, a.Lacks)
	case a.Errno != "":
		parts = append(parts, strings.TrimSpace(a.Call+": "+a.Errno))
	case a.Did && a.Call != "":
		parts = append(parts, a.Call+" was carried out")
	case a.Call != "":
		parts = append(parts, a.Call+" showed nothing")
	}
	if seen != "" {
		parts = append(parts, seen)
	}
	return strings.Join(parts, "; ")
}

// Close puts back what was changed and removes all canaries.
func (s *Session) Close() error {
	var errs []error
	for i := len(s.host.closers) - 1; i >= 0; i-- {
		errs = append(errs, s.host.closers[i]())
	}
	return errors.Join(append(errs, os.RemoveAll(s.host.Dir))...)
}

// refused is an attempt that a call has refused.
func refused(call string, err error) Attempt {
	a := Attempt{Call: call, Errno: errno.Name(err)}
	if a.Errno == "ENOSYS" {
		return Attempt{Call: call, Errno: a.Errno, Lacks: call + ": ENOSYS"}
	}
	return a
}

// did is one that nothing has refused.
func did(call, saw string) Attempt { return Attempt{Did: true, Call: call, Saw: saw} }

func (h *Host) file(name string) string { return fmt.Sprintf("%s/%s-%s", h.Dir, h.now, name) }
