package result

import (
	"bytes"
	"strconv"
)

// leanSample is what of a sample is needed when it is folded.
type leanSample struct {
	experiment, platform, series    []byte
	n                               int
	warmup, failed, disturbed, rich bool
	values                          []leanValue // by name
}

type leanValue struct {
	name  []byte
	value float64
}

// read takes a line with a sample apart, in one go and some ten times as fast as
// encoding/json. It knows what [Journal] writes of a sample that has values and phases, byte
// for byte, and no more. What it does not take may be another record, or right and written
// otherwise, such as a name with an escape, or damaged: that is for the other reader, which
// also says what is wrong.
func (l *leanSample) read(line []byte) (plain bool) {
	*l = leanSample{values: l.values[:0]}
	p := parser{rest: line}
	p.word(`{"sample":{`)
	have := 0 // of the fields, a bit for each
	for !p.failed {
		field := 0
		name := p.text()
		p.word(":")
		switch string(name) {
		case "experiment":
			field, l.experiment = 1<<0, p.text()
		case "platform":
			field, l.platform = 1<<1, p.text()
		case "series":
			field, l.series = 1<<2, p.text()
		case "n":
			field, l.n = 1<<3, p.whole()
		case "round":
			field = 1 << 4
			p.whole()
		case "position":
			field = 1 << 5
			p.whole()
		case "warmup":
			field, l.warmup = 1<<6, true
			p.word("true") // what is false is not written
		case "at_ns":
			field = 1 << 7
			p.whole()
		case "disturbed":
			field, l.disturbed = 1<<8, len(p.text()) > 0
		case "values":
			field = 1 << 9
			l.readValues(&p)
		case "phases":
			field = 1 << 10
			p.phases()
		case "error":
			field, l.failed = 1<<11, len(p.text()) > 0
		case "fault":
			field = 1 << 12
			p.text()
		default:
			return false
		}
		if have&field != 0 {
			return false
		}
		have |= field
		if !p.comma() {
			p.word("}}")
			return !p.failed && len(p.rest) == 0
		}
	}
	return false
}

// readValues wants the names in order, as a map is written, and so each once.
func (l *leanSample) readValues(p *parser) {
	p.word("{")
	for !p.failed {
		name := p.text()
		if n := len(l.values); n > 0 && bytes.Compare(l.values[n-1].name, name) >= 0 {
			p.failed = true
		}
		p.word(":")
		l.values = append(l.values, leanValue{name, p.number()})
		if !p.comma() {
			break
		}
	}
	p.word("}")
}

// parser reads a line from its begin. Once it has failed, it fails.
type parser struct {
	rest   []byte
	failed bool
}

// word must be what is next.
func (p *parser) word(word string) {
	if len(p.rest) < len(word) || string(p.rest[:len(word)]) != word {
		p.failed = true
		return
	}
	p.rest = p.rest[len(word):]
}

// comma takes one if it is next.
func (p *parser) comma() bool {
	if p.failed || len(p.rest) == 0 || p.rest[0] != ',' {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// text is a string of ASCII without escapes.
func (p *parser) text() []byte {
	if len(p.rest) == 0 || p.rest[0] != '"' {
		p.failed = true
		return nil
	}
	b := p.rest[1:]
	for i, c := range b {
		if c == '"' {
			p.rest = b[i+1:]
			return b[:i]
		}
		if c == '\\' || c < ' ' || c > '~' {
			break
		}
	}
	p.failed = true
	return nil
}

// countDigits counts those from i on.
func countDigits(b []byte, i int) int {
	n := 0
	for i+n < len(b) && b[i+n]-'0' <= 9 {
		n++
	}
	return n
}

// whole is a number without a point, of 15 digits at most, which float64 holds exactly. A
// run has fewer nanoseconds, unless it takes longer than 11 days.
func (p *parser) whole() int {
	b, sign := p.rest, 1
	if len(b) > 0 && b[0] == '-' {
		b, sign = b[1:], -1
	}
	n := countDigits(b, 0)
	if n == 0 || n > 15 || n > 1 && b[0] == '0' {
		p.failed = true
		return 0
	}
	v := 0
	for _, c := range b[:n] {
		v = 10*v + int(c-'0')
	}
	p.rest = b[n:]
	if len(p.rest) > 0 && (p.rest[0] == '.' || p.rest[0]|0x20 == 'e') {
		p.failed = true
	}
	return sign * v
}

// number is any that JSON has.
func (p *parser) number() float64 {
	b, i := p.rest, 0
	if len(b) > 0 && b[0] == '-' {
		i = 1
	}
	n := countDigits(b, i)
	if n == 0 || n > 1 && b[i] == '0' {
		p.failed = true
		return 0
	}
	first := i
	i += n
	simple := true
	if i < len(b) && b[i] == '.' {
		n, simple = countDigits(b, i+1), false
		i += 1 + n
	}
	if n > 0 && i < len(b) && b[i]|0x20 == 'e' {
		i, simple = i+1, false
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		n = countDigits(b, i)
		i += n
	}
	if n == 0 {
		p.failed = true
		return 0
	}
	if simple && first == 0 && i <= 15 {
		return float64(p.whole())
	}
	v, err := strconv.ParseFloat(string(b[:i]), 64)
	p.rest, p.failed = b[i:], p.failed || err != nil
	return v
}

// phases are read to see that they are right.
func (p *parser) phases() {
	p.word("[")
	for !p.failed {
		p.word(`{"name":`)
		p.text()
		p.word(`,"ns":`)
		p.whole()
		if p.comma() {
			p.word(`"error_ns":`)
			p.whole()
		}
		p.word("}")
		if !p.comma() {
			break
		}
	}
	p.word("]")
}
