package isolation

// A Probe is one attempt to get out of an instance, or to learn what is outside.
type Probe struct {
	Name  string // "kill-process"
	Group string // one of [Groups]
	Title string // a few words for a table: "Kill a process of the host"
	About string // a sentence for a student: what is tried, and what the canary is
	// Source is where the attempt is described: a manual page, or the CVE.
	Source string
}

// Groups are the kinds of probe, in the order of the report.
var Groups = []string{"see", "read", "write", "signal", "trace", "mount", "load", "network", "time", "resource", "kernel", "cve"}

// Probes are all that this version knows. Package bench/isolation/probe has the code of
// each.
var Probes = join(seeProbes, readProbes, writeProbes, signalProbes, traceProbes, mountProbes, loadProbes, networkProbes, timeProbes, resourceProbes, kernelProbes, cveProbes)

func join(lists ...[]Probe) (all []Probe) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// Find gives the probe of a name; one that this version does not know has no other words.
func Find(name string) Probe {
	for _, p := range Probes {
		if p.Name == name {
			return p
		}
	}
	return Probe{Name: name, Title: name}
}
