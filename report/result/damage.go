package result

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What is said of a journal that cannot be read: what is wrong, in which file and line, and
// what would mend it.

// without is how a journal is read in spite of one line.
func without(n int) string {
	return fmt.Sprintf("each line stands for itself, so a copy of the file without this one can be read (sed %dd)", n)
}

// damaged says why a line that is not the first is no record.
func damaged(n int, line []byte, err error) error {
	var syntax *json.SyntaxError
	var wrong *json.UnmarshalTypeError
	switch {
	case len(bytes.TrimSpace(line)) == 0:
		return fmt.Errorf("the line is blank; %s", without(n))
	case errors.As(err, &wrong):
		return fmt.Errorf("%s must be %s, and is %s: another program wrote or changed it; %s", wrong.Field, kindOf(wrong.Type), valueOf(wrong.Value), without(n))
	case errors.As(err, &syntax) && syntax.Offset >= int64(len(line)) && strings.HasPrefix(err.Error(), "unexpected end"):
		return fmt.Errorf("it is cut off after %d bytes, and others follow; %s", len(line), without(n))
	case errors.As(err, &syntax):
		return fmt.Errorf("it is not JSON, at byte %d: %w; %s", syntax.Offset, err, without(n))
	}
	return fmt.Errorf("%w; %s", err, without(n))
}

// kindOf is a type in words.
func kindOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list"
	case reflect.Map, reflect.Struct, reflect.Pointer:
		return "an object"
	default:
		return "a whole number"
	}
}

// valueOf is what encoding/json calls a value, in words.
func valueOf(value string) string {
	switch value {
	case "array":
		return "a list"
	case "object":
		return "an object"
	case "bool":
		return "true or false"
	}
	if number, ok := strings.CutPrefix(value, "number "); ok {
		return "the number " + number
	}
	return "a " + value
}

// magics are how files begin that are taken for a journal by mistake.
var magics = []struct{ begin, is string }{
	{"\x1f\x8b", "it is compressed by gzip: unpack it first (gunzip)"},
	{"\x28\xb5\x2f\xfd", "it is compressed by zstd: unpack it first (zstd -d)"},
	{"\xfd7zXZ", "it is compressed by xz: unpack it first (xz -d)"},
	{"PK\x03\x04", "it is a zip archive: unpack it first"},
	{"\xef\xbb\xbf", "it begins with a byte order mark, which an editor has put there: save it as UTF-8 without one"},
	{"\xff\xfe", "it is UTF-16, which an editor has made of it: save it as UTF-8"},
	{"\xfe\xff", "it is UTF-16, which an editor has made of it: save it as UTF-8"},
	{"%PDF", "it is a PDF"},
}

// noHeader says why the first line is no header. Ended tells that there is no other.
func noHeader(line []byte, ended bool, err error) error {
	const wanted = "the first line of a journal is its header, {\"run\":...}"
	for _, m := range magics {
		if bytes.HasPrefix(line, []byte(m.begin)) {
			return errors.New(m.is)
		}
	}
	begun := len(line) <= len(`{"run":`) && strings.HasPrefix(`{"run":`, string(line)) || bytes.HasPrefix(line, []byte(`{"run":`))
	switch {
	case ended && len(bytes.Trim(line, "\x00")) == 0:
		return errors.New("no header: the file is empty, since the run was cut off before it began; there is nothing to report, so measure again")
	case ended && begun:
		return errors.New("no header: it is cut off, since the run was cut off before it began; there is nothing to report, so measure again")
	case bytes.HasPrefix(line, []byte(`{"run":`)):
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return fmt.Errorf("the header is damaged: %s must be %s, and is %s", wrong.Field, kindOf(wrong.Type), valueOf(wrong.Value))
		}
		return fmt.Errorf("the header is damaged: %w", err)
	case !utf8.Valid(line) || bytes.ContainsFunc(line, func(r rune) bool { return unicode.IsControl(r) && r != '\t' && r != '\r' }):
		return fmt.Errorf("it is binary data and not a journal of bench: %s", wanted)
	}
	var other map[string]json.RawMessage
	if json.Unmarshal(line, &other) != nil {
		return fmt.Errorf("it is not a journal of bench but begins with %q: %s", cut(string(line), 40), wanted)
	}
	if slices.ContainsFunc(slices.Collect(maps.Keys(other)), isRecord) {
		return fmt.Errorf("the header is missing: %s, and this is a line from further down; without it nobody knows what was measured, so look for the whole file", wanted)
	}
	names := slices.Sorted(maps.Keys(other))
	return fmt.Errorf("it is JSON of another program (with %s): %s", cut(fmt.Sprintf("%q", names), 60), wanted)
}

// isRecord tells whether a name is one of [Record]'s.
func isRecord(name string) bool {
	t := reflect.TypeFor[Record]()
	for i := range t.NumField() {
		if own, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); own == name {
			return true
		}
	}
	return false
}

func cut(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "..."
	}
	return s
}

// noJournal says why the journal of a folder cannot be opened.
func noJournal(dir string, err error) error {
	path := filepath.Join(dir, FileName)
	st, statErr := os.Stat(dir)
	switch {
	case errors.Is(statErr, os.ErrNotExist):
		return fmt.Errorf("there is no folder %s: give the folder of a run, which bench all names at its end", dir)
	case statErr == nil && !st.IsDir():
		return fmt.Errorf("%s is a file: give the folder of a run, which holds its journal as %s", dir, FileName)
	case errors.Is(err, os.ErrNotExist):
		if inner, _ := filepath.Glob(filepath.Join(globEscape(dir), "*", FileName)); len(inner) > 0 {
			var names []string
			for _, p := range inner[:min(len(inner), 3)] {
				names = append(names, filepath.Dir(p))
			}
			if len(inner) > 3 {
				names = append(names, fmt.Sprintf("and %d more", len(inner)-3))
			}
			return fmt.Errorf("%s holds no %s: it is not the result folder of a run, but it holds some: %s", dir, FileName, strings.Join(names, ", "))
		}
		return fmt.Errorf("%s holds no %s: it is not the result folder of a run; give the one that bench all names at its end", dir, FileName)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("reading the journal: %w: it belongs to another user, so become that one (sudo) or have it given to you (sudo chown $USER %s)", err, path)
	}
	return fmt.Errorf("reading the journal: %w", err)
}

// globEscape takes their meaning from the characters of a pattern.
func globEscape(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

// aSecond is more than a run writes in a second, which is how much of it a host can lose
// with its power.
const aSecond = 1 << 20

// lost says whether a line with NULs can be what a host that lost its power left: it is the
// end of the file, or near it.
func lost(rest io.Reader) bool {
	n, err := io.Copy(io.Discard, io.LimitReader(rest, aSecond+1))
	return err == nil && n <= aSecond
}
