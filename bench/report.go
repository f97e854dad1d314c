package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"

	"golang.org/x/term"

	"vmctr/report"
	"vmctr/report/result"
)

type reportCommand struct {
	Dir    string `arg:"" optional:"" help:"The folder of a run."`
	Format string `enum:",table,csv,json,benchfmt,markdown,html" default:"" help:"Print the run to standard output instead of writing the report's files: table; csv (every raw value, for R and pandas); json (every figure with its statistics and warnings); benchfmt (for benchstat); markdown (in short, for a README or a merge request); html (one page that holds its plots)." placeholder:"FORMAT"`
	Paper  string `enum:"a4,letter" default:"a4" help:"Size of the pages of report.pdf: a4 or letter." placeholder:"SIZE"`
	Schema string `enum:",journal,summary" default:"" help:"Print the JSON Schema of a line of the journal (journal) or of --format json (summary), and end." placeholder:"NAME"`
}

// formats print a run.
var formats = map[string]func(io.Writer, *result.Run) error{
	"table":    func(w io.Writer, run *result.Run) error { return report.Table(w, run, terminal(w)) },
	"csv":      report.CSV,
	"json":     report.JSON,
	"benchfmt": report.Benchfmt,
	"markdown": report.Markdown,
	"html":     report.HTML,
}

func (c *reportCommand) Run(s streams) error {
	switch {
	case c.Schema != "":
		_, err := s.out.Write(report.Schemas[c.Schema])
		return err
	case c.Dir == "":
		return &exitError{exitUsage, errors.New("bench report needs the folder of a run: bench report DIR")}
	case c.Format == "":
		return render(c.Dir, report.Paper(c.Paper), s)
	}
	debug.SetMemoryLimit(report.MemoryLimit)
	read := result.ReadLean
	if c.Format == "csv" || c.Format == "benchfmt" {
		read = result.Stream
	}
	run, err := read(c.Dir)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(s.out, 64<<10)
	w := io.Writer(out)
	if c.Format == "table" {
		w = s.out // whose width it asks for
	}
	return errors.Join(formats[c.Format](w, run), out.Flush())
}

func render(dir string, paper report.Paper, s streams) error {
	debug.SetMemoryLimit(report.MemoryLimit) // of bench all, too: it has measured all that it will
	run, err := result.ReadLean(dir)
	if err != nil {
		return err
	}
	if err := report.Write(dir, run, paper); err != nil {
		return err
	}
	giveToUser(dir, false)
	if err := report.Table(s.out, run, terminal(s.out)); err != nil {
		return err
	}
	fmt.Fprintf(s.err, "bench: the report is %s; the same to project: %s\n", filepath.Join(dir, "report.pdf"), filepath.Join(dir, "report.html"))
	return nil
}

// giveToUser lets the user who called sudo own the results: what bench wrote,
// and the folder if bench made it; never what else lies there.
func giveToUser(dir string, made bool) {
	uid, uidErr := strconv.Atoi(os.Getenv("SUDO_UID"))
	gid, gidErr := strconv.Atoi(os.Getenv("SUDO_GID"))
	if os.Geteuid() != 0 || uidErr != nil || gidErr != nil {
		return
	}
	own := []string{filepath.Join(dir, result.FileName)}
	if made {
		own = append(own, dir)
	}
	for _, f := range report.Files() {
		own = append(own, filepath.Join(dir, f))
	}
	for _, path := range own {
		// A report can be without some of them. Failing is no reason to end a
		// run: root owns the file, and it can be read.
		os.Lchown(path, uid, gid)
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// terminal is what a table is printed on: colour only on one that a person looks at
// (https://no-color.org).
func terminal(w io.Writer) report.Terminal {
	return report.Terminal{Width: width(w), Colour: isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

// width is that of the terminal, or 80 columns.
func width(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 40 {
			return n
		}
	}
	return 80
}
