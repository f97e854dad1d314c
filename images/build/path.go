package build

import (
	"fmt"
	"path"
	"strings"
)

// merged are the folders that have moved: packages still have files in the old
// places, where a link leads to the new (Debian's merged /usr; base-files for
// the others). A file is put where the link leads, since an archive that goes
// through a symbolic link is one that unpackers rightly refuse.
var merged = map[string]string{
	"bin":      "usr/bin",
	"sbin":     "usr/sbin",
	"lib":      "usr/lib",
	"lib32":    "usr/lib32",
	"lib64":    "usr/lib64",
	"libx32":   "usr/libx32",
	"libo32":   "usr/libo32",
	"var/run":  "run",
	"var/lock": "run/lock",
}

// place is where a file of a package goes: relative to the root, clean, and
// moved where its folder has moved; link is the old name of that folder, which
// has to be a link.
func place(name string) (where, link string, err error) {
	for e := range strings.SplitSeq(name, "/") {
		if e == ".." {
			return "", "", fmt.Errorf("the name %q leads out of the root", name)
		}
	}
	where = strings.TrimPrefix(path.Clean("/"+name), "/")
	for old, moved := range merged {
		if where == old {
			return moved, old, nil
		}
		if rest, ok := strings.CutPrefix(where, old+"/"); ok {
			return moved + "/" + rest, old, nil
		}
	}
	return where, "", nil
}

// relative is the path of to as seen from the folder of the link at from, both
// relative to the root.
func relative(from, to string) string {
	return strings.Repeat("../", strings.Count(from, "/")) + to
}

// glob tells whether a path matches a pattern as dpkg's fnmatch(3) does: * and ?
// match slashes too.
func glob(pattern, name string) bool {
	for len(pattern) > 0 {
		switch pattern[0] {
		case '*':
			rest := strings.TrimLeft(pattern, "*")
			if rest == "" {
				return true
			}
			for i := range len(name) + 1 {
				if glob(rest, name[i:]) {
					return true
				}
			}
			return false
		case '?':
			if name == "" {
				return false
			}
		default:
			if name == "" || name[0] != pattern[0] {
				return false
			}
		}
		pattern, name = pattern[1:], name[1:]
	}
	return name == ""
}

// leftOut tells whether a recipe leaves out the file at /name.
func (p part) leftOut(name string) bool {
	any := func(patterns []string) bool {
		for _, g := range patterns {
			if glob(g, "/"+name) {
				return true
			}
		}
		return false
	}
	return any(p.exclude) && !any(p.include)
}
