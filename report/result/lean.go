package result

import (
	"bytes"
	"encoding/json"
	"maps"
	"strconv"
)

// KeepWhole is how many samples of one key a large run keeps whole. Of those after them
// only the values are kept, in a [Run] that was read by [ReadLean].
const KeepWhole = 10_000

// column is what a lean run keeps of the samples of one key, of all of them: the ones that
// are whole too.
type column struct {
	values    map[string][]float64 // counted, in the order taken
	disturbed map[string]int       // how many of these
	folded    Counts               // of those that are not whole
}

// add counts a sample. It is folded if it is not to be kept whole.
func (c *column) add(l *leanSample, folded bool) {
	if folded {
		c.folded.add(l.warmup, l.failed, l.disturbed)
	}
	if l.warmup || l.failed {
		return
	}
	for _, v := range l.values {
		name := string(v.name)
		c.values[name] = append(c.values[name], v.value)
		if l.disturbed {
			c.disturbed[name]++
		}
	}
}

// dropShort forgets the columns of keys whose samples are all whole.
func (r *Run) dropShort() {
	maps.DeleteFunc(r.columns, func(_ Key, c *column) bool { return c.folded == (Counts{}) })
}

// leanSample is what of a line with a sample is needed when it is folded.
type leanSample struct {
	experiment, platform, series []byte
	n                            int
	warmup, failed, disturbed    bool
	values                       []leanValue
}

type leanValue struct {
	name  []byte
	value float64
}

// read takes the line apart, which must be JSON (json.Valid). It knows what [Journal]
// writes and no more: what it does not take may well be right, such as a name that is written
// with an escape, and is for the other reader.
func (l *leanSample) read(line []byte) (plain bool) {
	*l = leanSample{values: l.values[:0]}
	rest, ok := bytes.CutPrefix(line, []byte(`{"sample":{`))
	if !ok {
		return false
	}
	have := 0 // of the fields, a bit for each
	for {
		name, after, ok := plainString(rest)
		if !ok || len(after) == 0 || after[0] != ':' {
			return false
		}
		rest = after[1:]
		end := skipValue(rest)
		if end <= 0 || end >= len(rest) {
			return false
		}
		value, field := rest[:end], 0
		switch string(name) {
		case "experiment":
			field = 1 << 0
			l.experiment, _, ok = plainString(value)
		case "platform":
			field = 1 << 1
			l.platform, _, ok = plainString(value)
		case "series":
			field = 1 << 2
			l.series, _, ok = plainString(value)
		case "n":
			field = 1 << 3
			n, err := strconv.Atoi(string(value))
			l.n, ok = n, err == nil
		case "warmup":
			field = 1 << 4
			l.warmup = value[0] == 't'
		case "disturbed":
			field = 1 << 5
			ok, l.disturbed = value[0] == '"', string(value) != `""`
		case "error":
			field = 1 << 6
			ok, l.failed = value[0] == '"', string(value) != `""`
		case "values":
			field = 1 << 7
			ok = l.readValues(value)
		}
		if !ok || have&field != 0 {
			return false
		}
		have |= field
		switch rest = rest[end:]; rest[0] {
		case ',':
			rest = rest[1:]
		case '}':
			if string(rest) != "}}" {
				return false
			}
			return true
		default:
			return false
		}
	}
}

// readValues wants the names in order, as a map is written, and so each once.
func (l *leanSample) readValues(object []byte) bool {
	rest := object[1:]
	if object[0] != '{' {
		return false
	}
	for len(rest) > 1 {
		name, after, ok := plainString(rest)
		if n := len(l.values); n > 0 && bytes.Compare(l.values[n-1].name, name) >= 0 {
			return false
		}
		if !ok || len(after) == 0 || after[0] != ':' {
			return false
		}
		rest = after[1:]
		end := skipValue(rest)
		if end <= 0 || end >= len(rest) {
			return false
		}
		value, err := strconv.ParseFloat(string(rest[:end]), 64)
		if err != nil {
			return false
		}
		l.values = append(l.values, leanValue{name, value})
		rest = rest[end+1:] // a comma, or the brace
	}
	return true
}

// plainString gives the string that b begins with, and what is behind it. It knows ASCII
// without escapes and capitals: encoding/json takes a name in whatever case.
func plainString(b []byte) (s, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '"' {
		return nil, nil, false
	}
	for i, c := range b[1:] {
		switch {
		case c == '"':
			return b[1 : 1+i], b[2+i:], true
		case c == '\\' || c < ' ' || c > '~' || 'A' <= c && c <= 'Z':
			return nil, nil, false
		}
	}
	return nil, nil, false
}

// skipValue is the length of the value that b, a part of valid JSON without white space,
// begins with; 0 if it does not end in b.
func skipValue(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i // a number or a word ended there
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
	return 0
}

// key is the sample's, with strings that are shared by all of one key.
func (l *leanSample) key(known map[string]Key, buffer []byte) (Key, []byte) {
	buffer = append(buffer[:0], l.experiment...)
	buffer = append(append(buffer, 0), l.platform...)
	buffer = append(append(buffer, 0), l.series...)
	buffer = strconv.AppendInt(append(buffer, 0), int64(l.n), 10)
	k, ok := known[string(buffer)]
	if !ok {
		k = Key{string(l.experiment), string(l.platform), string(l.series), l.n}
		known[string(buffer)] = k
	}
	return k, buffer
}

// lean is a reader that folds.
type lean struct {
	run    *Run
	sample leanSample
	known  map[string]Key
	buffer []byte
	count  map[Key]int
}

func newLean(run *Run) *lean {
	run.columns = map[Key]*column{}
	return &lean{run: run, known: map[string]Key{}, count: map[Key]int{}}
}

// fold takes a line with a sample. It is all there is to be done if the line is folded;
// otherwise whole must get the sample, unless counted says that it is in its column.
func (l *lean) fold(line []byte) (folded, counted bool) {
	if !l.sample.read(line) {
		return false, false
	}
	var k Key
	k, l.buffer = l.sample.key(l.known, l.buffer)
	folded = l.count[k] >= KeepWhole
	if folded && !json.Valid(line) {
		return false, false // the other reader says what is wrong
	}
	l.add(k, folded)
	return folded, true
}

// whole counts a sample that only the other reader could read.
func (l *lean) whole(s *Sample) {
	l.sample = leanSample{warmup: s.Warmup, failed: s.Error != "", disturbed: s.Disturbed != ""}
	for name, v := range s.Values {
		l.sample.values = append(l.sample.values, leanValue{[]byte(name), v})
	}
	l.add(s.Key(), false)
}

func (l *lean) add(k Key, folded bool) {
	c := l.run.columns[k]
	if c == nil {
		c = &column{values: map[string][]float64{}, disturbed: map[string]int{}}
		l.run.columns[k] = c
	}
	l.count[k]++
	c.add(&l.sample, folded)
}
