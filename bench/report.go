package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/term"

	"vmctr/report"
	"vmctr/report/result"
)

type reportCommand struct {
	Dir string `arg:"" help:"The folder of a run."`
}

func (c *reportCommand) Run(s streams) error { return render(c.Dir, s) }

func render(dir string, s streams) error {
	run, err := result.Read(dir)
	if err != nil {
		return err
	}
	if err := report.Write(dir, run); err != nil {
		return err
	}
	giveToUser(dir, false)
	if err := report.Table(s.out, run, width(s.out)); err != nil {
		return err
	}
	fmt.Fprintf(s.err, "bench: the report is %s\n", filepath.Join(dir, "report.pdf"))
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

// width is that of the terminal, or 80 columns.
func width(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 40 {
			return n
		}
	}
	return 80
}
