// Package report renders a run for people: the table on the terminal, the PDF
// that a student hands in, the page that a teacher projects, the same in
// Markdown, and the plots.
//
// Everything comes from the journal and nothing else. Rendering measures
// nothing, needs no root and no network, and gives the same bytes from the
// same journal on any machine.
//
// Between the journal and the formats stands one model. A [result.Run] becomes
// a model (model.go): the platforms in their order, and for each quantity the
// median, the interval and the ratio of each. The model becomes a document
// (document.go): sections of paragraphs, tables and figures, with every
// sentence computed from the figures it speaks of. A format only sets the
// document, so that the PDF and the Markdown cannot disagree, and a new
// section is one function that returns blocks.
//
// Two rules hold everywhere. A figure of an emulated machine is labelled as
// emulated wherever it stands, since what it shows is an emulator and not a
// hypervisor. And what is missing is shown as missing, with the reason: a
// platform that failed has its row in every table.
package report

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"vmctr/report/result"
)

// The files of a report, in its folder.
const (
	pdfFile      = "report.pdf"
	markdownFile = "report.md"
	htmlFile     = "report.html"
	plotFolder   = "plots"
)

// MemoryLimit is from how many bytes on the garbage collector is to look for more with
// more of the processor (debug.SetMemoryLimit), in a program that only makes a report: the
// values of a million samples and what is made of them take half, and what is made and
// dropped need not take as much again.
const MemoryLimit = 300 << 20

// Files are the names of all files that [Write] makes, slash-separated and
// relative to the folder, with the folder that it makes before what is in it.
func Files() []string {
	files := []string{pdfFile, htmlFile, markdownFile, plotFolder}
	for _, name := range plotNames {
		files = append(files, plotFolder+"/"+name+".svg", plotFolder+"/"+name+".png")
	}
	return files
}

// Write makes the report of a run in the folder dir, over one that is there
// already, its PDF for that paper. Each file appears whole or not at all.
func Write(dir string, run *result.Run, paper Paper) error {
	m := newModel(run)
	doc := m.document()
	if err := os.MkdirAll(filepath.Join(dir, plotFolder), 0o755); err != nil {
		return fmt.Errorf("making the report's folder: %w", err)
	}
	// The plots come first: who finds the report finds all that it links to.
	for _, f := range doc.figures() {
		for ext, render := range map[string]func(*figure) ([]byte, error){".svg": renderSVG, ".png": renderPNG} {
			data, err := render(f)
			if err != nil {
				return fmt.Errorf("drawing the plot %s%s: %w", f.Name, ext, err)
			}
			if err := writeFile(filepath.Join(dir, plotFolder, f.Name+ext), data); err != nil {
				return err
			}
		}
	}
	var md bytes.Buffer
	writeMarkdown(&md, doc)
	if err := writeFile(filepath.Join(dir, markdownFile), md.Bytes()); err != nil {
		return err
	}
	page, err := renderHTML(doc)
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dir, htmlFile), page); err != nil {
		return err
	}
	pdf, err := renderPDF(doc, paper)
	if err != nil {
		return fmt.Errorf("setting the PDF: %w", err)
	}
	return writeFile(filepath.Join(dir, pdfFile), pdf)
}

// writeFile replaces a file as a whole: its reader sees the old or the new one.
func writeFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	_, err = f.Write(data)
	// CreateTemp gives 0600; a report is to be read by whoever reads the folder.
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}
