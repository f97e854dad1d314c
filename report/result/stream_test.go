package result

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// each collects samples as they come.
func each(t *testing.T, r *Run) (list []Sample) {
	t.Helper()
	for s, err := range r.Each() {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, *s)
	}
	return list
}

// TestStream: what comes one at a time is what is there at once.
func TestStream(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, exampleRun())
	whole, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := Stream(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(stream.Samples) != 0 || stream.Count("", "") != whole.Count("", "") || !slices.Equal(stream.ValueNames(), whole.ValueNames()) {
		t.Errorf("%d samples, %+v, %q", len(stream.Samples), stream.Count("", ""), stream.ValueNames())
	}
	if d := cmp.Diff(whole.Platforms, stream.Platforms); d != "" {
		t.Error(d)
	}
	for _, r := range []*Run{whole, stream} {
		if d := cmp.Diff(whole.Samples, each(t, r)); d != "" {
			t.Error(d)
		}
		for range r.Each() {
			break // and no more
		}
	}
	// What a run adds meanwhile is not read.
	path := filepath.Join(dir, FileName)
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(`{"sample":{"experiment":"late"}}` + "\n{"); err != nil {
		t.Fatal(err)
	}
	if n := len(each(t, stream)); n != len(whole.Samples) {
		t.Errorf("%d samples", n)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for s, err := range stream.Each() {
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%v, %v, of a journal that is gone", s, err)
		}
	}
}
