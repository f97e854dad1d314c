package selftest

import (
	"fmt"
	"strings"

	"vmctr/report/result"
)

// Notes are what stands below the table, a paragraph each: what is not ok first.
func Notes(run *result.Run, all []Check) []string {
	var notes []string
	for _, p := range run.Platforms {
		if p.Emulated {
			notes = append(notes, "* Emulated: QEMU imitates the processor in software (TCG), so that the way of a message is longer than a hypervisor's.")
			break
		}
	}
	return append(notes, NotesOf(all, NotOK, NotMeasured, OK, Told)...)
}

// NotesOf are those of the checks with these verdicts, in their order.
func NotesOf(all []Check, verdicts ...Verdict) []string {
	var notes []string
	for _, v := range verdicts {
		var texts []string // each once, with all that it is about
		about := map[string][]string{}
		for _, c := range all {
			if c.Verdict != v || c.Why == "" {
				continue
			}
			text := c.Part + "\x00" + c.Why
			if about[text] == nil {
				texts = append(texts, text)
			}
			about[text] = append(about[text], c.Name)
		}
		for _, text := range texts {
			part, why, _ := strings.Cut(text, "\x00")
			label := map[Verdict]string{NotOK: "NOT OK: ", NotMeasured: "Not measured: "}[v]
			notes = append(notes, fmt.Sprintf("%s%s, %s: %s.", label, part, strings.Join(about[text], ", "), why))
		}
	}
	return notes
}
