package build

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// installed is what dpkg knows of a package that is installed: a paragraph of
// /var/lib/dpkg/status and files in /var/lib/dpkg/info (dpkg(1), "FILES").
type installed struct {
	control Stanza
	info    map[string][]byte
	// list are the paths that it has, as it has them; sums the MD5 of those of
	// its files that are the administrator's to change.
	list []string
	sums map[string]string
}

func (p installed) name() string { return p.control.Get("Package") }

// infoName is what its files in /var/lib/dpkg/info begin with: a package that
// can be installed for several architectures at once has the one in it.
func (p installed) infoName() string {
	if p.control.Get("Multi-Arch") == "same" {
		return p.name() + ":" + p.control.Get("Architecture")
	}
	return p.name()
}

// status is its paragraph.
func (p installed) status() string {
	var b strings.Builder
	for _, f := range p.control {
		separator := " "
		if f.Value == "" || strings.HasPrefix(f.Value, "\n") {
			separator = ""
		}
		fmt.Fprintf(&b, "%s:%s%s\n", f.Name, separator, f.Value)
		if strings.EqualFold(f.Name, "Package") {
			b.WriteString("Status: install ok installed\n")
		}
	}
	if conffiles := p.conffiles(); len(conffiles) > 0 {
		b.WriteString("Conffiles:\n")
		for _, c := range conffiles {
			if sum := p.sums[c]; sum != "" {
				fmt.Fprintf(&b, " %s %s\n", c, sum)
			}
		}
	}
	return b.String()
}

// conffiles are the paths of its configuration files (deb-conffiles(5)); a line
// may have a flag before the path.
func (p installed) conffiles() (paths []string) {
	for line := range strings.FieldsFuncSeq(string(p.info["conffiles"]), func(r rune) bool { return r == '\n' }) {
		if strings.HasPrefix(line, "/") {
			paths = append(paths, strings.TrimSpace(line))
		}
	}
	return paths
}

// status is the file /var/lib/dpkg/status for packages, which apt takes for what
// is installed, too.
func status(packages []installed) []byte {
	packages = slices.Clone(packages)
	slices.SortFunc(packages, func(a, b installed) int { return strings.Compare(a.infoName(), b.infoName()) })
	var b bytes.Buffer
	for _, p := range packages {
		b.WriteString(p.status())
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// database adds to a layer what dpkg notes of its packages, new, with those of
// the layers below.
func (l *layer) database(below, added []installed) {
	if len(added) == 0 {
		return
	}
	const dir = "var/lib/dpkg/"
	l.file(dir+"status", 0o644, status(slices.Concat(below, added)))
	if len(below) == 0 {
		l.file(dir+"info/format", 0o644, []byte("1\n"))
	}
	for _, p := range added {
		for name, b := range p.info {
			mode := int64(0o644)
			switch name {
			case "preinst", "postinst", "prerm", "postrm", "config":
				mode = 0o755
			}
			l.file(dir+"info/"+p.infoName()+"."+name, mode, b)
		}
		l.file(dir+"info/"+p.infoName()+".list", 0o644, []byte(strings.Join(p.list, "\n")+"\n"))
	}
}
