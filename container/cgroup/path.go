package cgroup

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// Path is the group that linux.cgroupsPath names, as a path from the root of
// each hierarchy. A relative one is taken from the root too.
//
// A container manager that runs under systemd gives "slice:prefix:name" and
// means the unit prefix-name.scope in that slice (runc's systemd cgroup
// driver). systemd is not asked here; the folder is the one that it would use.
func Path(cgroupsPath string) (string, error) {
	if p := strings.Split(cgroupsPath, ":"); len(p) == 3 && !strings.Contains(cgroupsPath, "/") {
		slice, err := slicePath(p[0])
		if err != nil {
			return "", fmt.Errorf("linux.cgroupsPath %q: %w", cgroupsPath, err)
		}
		unit := p[2]
		if unit == "" {
			return "", fmt.Errorf("linux.cgroupsPath %q: the third part, the name, is empty", cgroupsPath)
		}
		if !strings.HasSuffix(unit, ".slice") {
			if p[1] != "" {
				unit = p[1] + "-" + unit
			}
			unit += ".scope"
		}
		return path.Join(slice, unit), nil
	}
	name := path.Clean("/" + cgroupsPath)
	if name == "/" {
		return "", errors.New("cgroup: the path names the root of the hierarchy")
	}
	return name, nil
}

// slicePath is the folder of a slice: "a-b.slice" is in "a.slice"
// (systemd.slice(5)).
func slicePath(slice string) (string, error) {
	switch slice {
	case "":
		return "/system.slice", nil
	case "-.slice":
		return "/", nil
	}
	name, ok := strings.CutSuffix(slice, ".slice")
	if !ok || name == "" || strings.HasPrefix(name, "-") || strings.HasSuffix(name, "-") || strings.Contains(name, "--") {
		return "", fmt.Errorf("%q is not the name of a slice, such as system.slice", slice)
	}
	at, prefix := "/", ""
	for part := range strings.SplitSeq(name, "-") {
		prefix += part
		at = path.Join(at, prefix+".slice")
		prefix += "-"
	}
	return at, nil
}
