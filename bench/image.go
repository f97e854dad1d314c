package main

import (
	"path/filepath"

	"vmctr/images"
)

// imageCommand is what can be done with images: a verb each, in a file of its
// own.
type imageCommand struct {
}

// openStore opens the store of images, which every command uses.
func openStore() (*images.Store, error) {
	return images.Open(filepath.Join(cacheDir(), "images"))
}
