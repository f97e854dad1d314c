package ftrace

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Skip has calls of these functions no longer noted, and only of these. What an instance
// does over and over while it idles is known after a moment; noted on and on it would fill
// the buffers before the work is done. None ends it.
func (t *Tracer) Skip(f Functions) error {
	// Names cost a search through all functions each; numbers of lines do not
	// (ftrace.rst, "set_ftrace_filter").
	if t.lines == nil && len(f) > 0 {
		var err error
		if t.lines, err = functionLines(filepath.Join(t.path(), "available_filter_functions")); err != nil {
			return fmt.Errorf("the functions that can be traced: %w", err)
		}
	}
	var numbers []string
	for name := range f {
		for _, n := range t.lines[name] {
			numbers = append(numbers, strconv.Itoa(n))
		}
	}
	if err := t.write("set_ftrace_notrace", strings.Join(numbers, " ")); err != nil {
		return err
	}
	if len(numbers) == 0 {
		return nil
	}
	// One that is skipped by mistake would be missing in silence.
	skipped, err := functionLines(filepath.Join(t.dir, "set_ftrace_notrace"))
	if err != nil {
		return err
	}
	if len(skipped) == 0 {
		return errors.New("none of the functions to be skipped is")
	}
	for name := range skipped {
		if _, ok := f[name]; !ok {
			return fmt.Errorf("the function %s is skipped, and was not to be", name)
		}
	}
	return nil
}

// functionLines gives the numbers of the lines of each name, from 1.
func functionLines(file string) (map[string][]int, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := map[string][]int{}
	in := bufio.NewScanner(f)
	for n := 1; in.Scan(); n++ {
		lines[in.Text()] = append(lines[in.Text()], n)
	}
	return lines, in.Err()
}
