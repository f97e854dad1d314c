package report

import (
	"fmt"
	"strings"
)

// citedSection has the addresses of all that the sections cite: on paper a link is only
// its words. An address stands once, with the words that lead to it first.
func citedSection(sections []section) (s section, any bool) {
	s = section{ID: "sources", Title: "Appendix: sources"}
	seen := map[string]bool{}
	for _, of := range sections {
		for _, b := range of.Blocks {
			p, ok := b.(paragraph)
			if !ok {
				continue
			}
			for _, piece := range parse(p.Text) {
				if !strings.HasPrefix(piece.link, "http") || seen[piece.link] {
					continue
				}
				seen[piece.link] = true
				s.Blocks = append(s.Blocks, paragraph{"", fmt.Sprintf("%s, cited in the section [%s](#%s): [%s](%s)", piece.text, of.Title, of.ID, piece.link, piece.link)})
			}
		}
	}
	return s, len(s.Blocks) > 0
}
