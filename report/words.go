package report

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"vmctr/report/result"
)

// nbsp keeps a number and its unit on one line.
const nbsp = "\u00a0"

// value prints a value with its unit for running text.
func value(v float64, unit string) string {
	return strings.ReplaceAll(result.FormatValue(v, unit), " ", nbsp)
}

// interval prints a summary's interval: "1.21 to 1.26 ms".
func interval(s result.Summary, unit string) string {
	return glueUnit(s.FormatInterval(unit))
}

// glueUnit puts a no-break space before the last word, which is the unit.
func glueUnit(s string) string {
	i := strings.LastIndexByte(s, ' ')
	if i < 0 {
		return s
	}
	return s[:i] + nbsp + s[i+1:]
}

// ratio prints a ratio with its interval: "6.19 (5.88 to 6.51)".
func ratio(r result.Ratio) string {
	s := result.FormatRatio(r.Ratio)
	if i := r.FormatInterval(); i != "–" {
		s += " (" + i + ")"
	}
	return s
}

// medianAndInterval prints "1.02 ms (0.98 to 1.08 ms, n = 25)".
func medianAndInterval(s result.Summary, unit string) string {
	n := fmt.Sprintf("n%s=%s%d", nbsp, nbsp, s.N)
	if !s.HasInterval() {
		return value(s.Median, unit) + " (" + n + ", too few for an interval)"
	}
	return value(s.Median, unit) + " (" + interval(s, unit) + ", " + n + ")"
}

// share is a part of a whole as people say it.
func share(part, whole float64) string { return fmt.Sprintf("%.0f%%", 100*part/max(1, whole)) }

// list joins words as people do: "a, b and c".
func list(words []string) string {
	switch n := len(words); n {
	case 0:
		return ""
	case 1:
		return words[0]
	default:
		return strings.Join(words[:n-1], ", ") + " and " + words[n-1]
	}
}

// escapes are the control sequences of terminals, of which consoles are full.
var escapes = regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]")

// printable takes out of a text what neither a terminal nor a font can show.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r) && r != '\u00a0':
			return ' '
		case r > 0xffff:
			return unicode.ReplacementChar // the PDF's fonts end before
		case !unicode.IsPrint(r) && r != '\u00a0':
			return -1
		}
		return r
	}, escapes.ReplaceAllString(s, ""))
}

// clean makes one line of printable text of what came from elsewhere: a name,
// an error, the end of a console.
func clean(s string) string {
	return strings.Join(strings.FieldsFunc(printable(s), func(r rune) bool { return r == ' ' }), " ")
}

// stop makes one line of a text and puts a full stop to it.
func stop(s string) string {
	s = clean(s)
	if s != "" && !strings.ContainsRune(".!?", rune(s[len(s)-1])) {
		s += "."
	}
	return s
}

// sentence gives a text the capital and the full stop of a sentence.
func sentence(s string) string {
	s = stop(s)
	if s == "" {
		return ""
	}
	// A name such as "qemu-system-x86_64" keeps its small letter.
	word, _, _ := strings.Cut(strings.TrimRight(s, ".!?"), " ")
	if !strings.ContainsAny(word, "-_/.:0123456789") {
		r, n := utf8.DecodeRuneInString(s)
		s = string(unicode.ToUpper(r)) + s[n:]
	}
	return s
}

// begin gives a sentence that begins with [platform.the] its capital. A name
// keeps its small letter.
func begin(s string) string {
	if rest, ok := strings.CutPrefix(s, "the "); ok {
		return "The " + rest
	}
	return s
}

// alike collects sentences, of which the same of several subjects is said once.
type alike struct {
	texts []string
	who   map[string][]string
}

func (a *alike) add(who, text string) {
	if a.who == nil {
		a.who = map[string][]string{}
	}
	if a.who[text] == nil {
		a.texts = append(a.texts, text)
	}
	a.who[text] = append(a.who[text], who)
}

// count prints a number of things: "1 sample", "12 samples".
func count(n int, one, many string) string {
	if n == 1 {
		return "1" + nbsp + one
	}
	return fmt.Sprintf("%d%s%s", n, nbsp, many)
}

// cmpOr is the first text that is not empty.
func cmpOr(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// clip shortens a text that would fill a page, such as the end of a console.
func clip(s string, runes int) string {
	r := []rune(s)
	if len(r) <= runes {
		return s
	}
	return strings.TrimSpace(string(r[:runes])) + " ..."
}
