package report

import (
	"io"
	"regexp"
	"strings"
)

// What a terminal makes of a text: select graphic rendition, ECMA-48 section 8.3.117.
// Colour is never the only sign: a platform that failed says so in words, and an emulated
// one has its star.
const (
	bold     = "\x1b[1m"
	dim      = "\x1b[2m"
	yellowed = "\x1b[33m"
	normal   = "\x1b[0m"
)

// signs begin the notes below the table.
var signs = regexp.MustCompile(`(?m)^([a-z]+: | {2}[*!] |\[\d+\] )`)

// rowLook is how a row of the table is painted.
func rowLook(row []string) string {
	switch {
	case !strings.HasPrefix(row[nameColumn], " "):
		return bold
	case row[countColumn] == "0":
		return dim
	case strings.Contains(row[nameColumn], " *"):
		return yellowed
	}
	return ""
}

// paint prints lines, each in its look; those that have none are as they are.
func paint(w io.Writer, text string, looks []string) error {
	var b strings.Builder
	i := 0
	for line := range strings.Lines(text) {
		body := strings.TrimRight(line, "\n")
		if i < len(looks) && looks[i] != "" {
			body = looks[i] + body + normal
		}
		b.WriteString(body + "\n")
		i++
	}
	_, err := io.WriteString(w, b.String())
	return err
}
