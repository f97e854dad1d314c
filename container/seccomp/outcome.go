package seccomp

// An outcome is what a profile says of a system call. Outcome 0 is the default
// action. Others are decided, by a rule without conditions, or add one rule
// with conditions to another outcome: they form a tree whose root is 0, and a
// path to the root is a list of rules, last rule first. System calls of which
// the profile says the same have the same outcome.
type outcome struct {
	answer     uint32
	decided    bool
	conditions []condition
	before     uint16 // the outcome that the rule is added to
}

// numbers holds the outcomes of an ABI's numbers.
type numbers struct {
	abi
	outcomes [1024]uint16
	last     int // the largest number that the profile names, -1 for none
}

// outcomes is a profile, resolved.
type outcomes struct {
	list  []outcome
	abis  []*numbers
	muxed [len(muxes)]muxed

	rows     []*systemCall // that the rule at hand names
	extended []extension   // what outcomes became by the rule at hand
}

type extension struct {
	from, to uint16
	narrow   bool
}

// muxed is what the profile says of a multiplexed call.
type muxed struct {
	answer       uint32
	set, decided bool
}

func newOutcomes(answer uint32, abis []abi) *outcomes {
	o := &outcomes{list: append(make([]outcome, 0, 64), outcome{answer: answer})}
	all := make([]numbers, len(abis))
	for i, a := range abis {
		all[i] = numbers{abi: a, last: -1}
		o.abis = append(o.abis, &all[i])
	}
	return o
}

// named notes which numbers the profile knows of.
func (o *outcomes) named() {
	for _, n := range o.abis {
		for _, row := range o.rows {
			n.last = max(n.last, int(row.nr[n.column]))
		}
	}
}

// rule adds a rule for o.rows. No conditions always hold.
func (o *outcomes) rule(answer uint32, conditions []condition) {
	o.extended = o.extended[:0]
	for _, n := range o.abis {
		for _, row := range o.rows {
			switch nr := int(row.nr[n.column]); {
			case nr < 0:
			case len(conditions) == 0:
				o.decide(n, nr, answer)
			default:
				o.extend(n, nr, answer, conditions)
			}
		}
		if n.multiplexed {
			o.noteMuxed(answer, len(conditions) > 0)
		}
	}
}

// noteMuxed notes the rule for calls that also go through another. The filter
// cannot see their arguments there: a rule with conditions on them still
// refuses, but it does not allow.
func (o *outcomes) noteMuxed(answer uint32, conditional bool) {
	if conditional && permissive(answer) {
		return
	}
	for _, row := range o.rows {
		i := findMux(row.name)
		if i < 0 {
			continue
		}
		if m := &o.muxed[i]; !conditional && !m.decided || !m.set {
			*m = muxed{answer, true, !conditional}
		}
	}
}

// multiplex adds what was noted to the outcome of the multiplexers.
func (o *outcomes) multiplex() {
	for _, n := range o.abis {
		for i, m := range o.muxed {
			if !n.multiplexed || !m.set {
				continue
			}
			_, row := lookup(muxes[i].through)
			nr := int(row.nr[n.column])
			n.last = max(n.last, nr) // whoever knows send knows socketcall
			if !o.list[n.outcomes[nr]].decided {
				o.extended = o.extended[:0]
				o.extend(n, nr, m.answer, []condition{muxes[i].condition()})
			}
		}
	}
}

// decide makes answer the outcome of a number, if it has none yet that is
// decided.
func (o *outcomes) decide(n *numbers, nr int, answer uint32) {
	if o.list[n.outcomes[nr]].decided {
		return
	}
	for i := range o.list {
		if o.list[i].decided && o.list[i].answer == answer {
			n.outcomes[nr] = uint16(i)
			return
		}
	}
	n.outcomes[nr] = o.add(outcome{answer: answer, decided: true})
}

// extend adds a rule with conditions to the outcome of a number.
func (o *outcomes) extend(n *numbers, nr int, answer uint32, conditions []condition) {
	from := n.outcomes[nr]
	if o.list[from].decided {
		return
	}
	narrow := false
	if n.narrow {
		for _, c := range conditions {
			narrow = narrow || c != c.narrow()
		}
	}
	for _, e := range o.extended {
		if e.from == from && e.narrow == narrow {
			n.outcomes[nr] = e.to
			return
		}
	}
	if narrow {
		wide := conditions
		conditions = make([]condition, len(wide))
		for i, c := range wide {
			conditions[i] = c.narrow()
		}
	}
	to := o.add(outcome{answer: answer, conditions: conditions, before: from})
	o.extended = append(o.extended, extension{from, to, narrow})
	n.outcomes[nr] = to
}

func (o *outcomes) add(x outcome) uint16 {
	o.list = append(o.list, x)
	return uint16(len(o.list) - 1)
}
