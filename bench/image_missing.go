package main

import (
	"errors"
	"fmt"
	"strings"

	"vmctr/images"
)

// findImage opens an image of the store by its name or digest, for a platform:
// "" is this host's.
func findImage(store *images.Store, name, platform string) (*images.Image, error) {
	p, err := parsePlatform(platform)
	if err != nil {
		return nil, err
	}
	img, err := store.Image(name, p)
	return img, missingImage(err)
}

// missingImage adds to the error of a name that no image has the one that was
// probably meant.
func missingImage(err error) error {
	e, ok := errors.AsType[*images.NotFoundError](err)
	if !ok {
		return err
	}
	if near := nearest(e.Name, e.Have); near != "" {
		return fmt.Errorf("%w; is it %s that you mean?", err, near)
	}
	return fmt.Errorf("%w; bench image pull, build or import brings one", err)
}

// nearest is the name that a misspelt one is most like, if any is like it: the
// same but for a few letters, or for the tag.
func nearest(name string, have []string) string {
	repository := func(n string) string {
		if i := strings.LastIndexByte(n, ':'); i > strings.LastIndexByte(n, '/') {
			return n[:i]
		}
		return n
	}
	best, least := "", 3
	for _, h := range have {
		d := min(distance(name, h), distance(repository(name), repository(h)))
		if d < least && d < len(repository(name)) {
			best, least = h, d
		}
	}
	return best
}

// distance is how many letters are to be put in, left out or exchanged to make
// one word of the other (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := before
			if a[i] != b[j] {
				change++
			}
			before = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
