// Package recipes holds the recipes of the images that a lecture on containers
// talks about. Each is a file to read: NAME.yaml. What a recipe may say is in
// vmctr/images/build, recipe.go; to write one's own, begin with a copy.
package recipes

import "embed"

// FS are the recipes, and the files that they name.
//
//go:embed *.yaml
var FS embed.FS
