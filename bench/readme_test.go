package main

import (
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestReadme: every command that the README shows is one that bench takes.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		args := strings.Fields(strings.TrimPrefix(line, "sudo "))
		if len(args) < 2 || args[0] != "bin/bench" && args[0] != "scripts/bench" || args[1] == "help" {
			continue
		}
		shown++
		parser, err := newParser(&command{}, streams{os.Stdout, os.Stderr}, kong.Exit(func(int) { t.Errorf("%q ends", args) }))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parser.Parse(args[1:]); err != nil {
			t.Errorf("%q: %v", args, err)
		}
	}
	if shown < 5 {
		t.Errorf("only %d commands found", shown)
	}
}
