package kernel

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// A Module is one file of a kernel module.
type Module struct {
	Name string // as the kernel says it, with underscores
	Path string // .ko, or .ko.gz, .ko.xz, .ko.zst
}

// MissingModuleError says that a kernel has no such module, neither as a file
// nor built in.
type MissingModuleError struct {
	Module string
	Kernel string // its release
	// Modules is the folder that was searched; "" if the kernel has none.
	Modules string
	// NeededBy is the module that depends on it; "" if it was asked for.
	NeededBy string
}

func (e *MissingModuleError) Error() string {
	s := fmt.Sprintf("kernel %s has no module %s", e.Kernel, e.Module)
	if e.NeededBy != "" {
		s += fmt.Sprintf(", which its module %s needs", e.NeededBy)
	}
	if e.Modules == "" {
		return s + ": no folder lib/modules/" + e.Kernel + " was found beside it or on this host, and no config says that it is built in"
	}
	return s + ": there is no such file in " + e.Modules + " (distributions may keep it in another package)"
}

// moduleSuffixes are what modules' files end in, and how they are compressed.
var moduleSuffixes = []struct {
	suffix string
	decode func(in []byte, out *output) error
}{
	{".ko", nil},
	{".ko.gz", decodeGzip},
	{".ko.xz", decodeXZ},
	{".ko.zst", decodeZstd},
}

// ModuleFiles returns the named modules and all that they depend on, in an
// order in which they can be loaded. Those that are built into the kernel are
// left out. One that does not exist is a [*MissingModuleError].
func (k *Kernel) ModuleFiles(names ...string) ([]Module, error) {
	if len(names) == 0 {
		return nil, nil
	}
	l := &loader{kernel: k, state: make(map[string]state)}
	var err error
	if k.Modules != "" {
		if l.files, err = indexModules(k.Modules); err != nil {
			return nil, fmt.Errorf("modules of kernel %s: %w", k.Release, err)
		}
	}
	if l.builtin, err = k.builtin(); err != nil {
		return nil, fmt.Errorf("modules of kernel %s: %w", k.Release, err)
	}
	for _, name := range names {
		if err := l.add(moduleName(name), ""); err != nil {
			return nil, err
		}
	}
	return l.order, nil
}

// Read returns the module's ELF file, uncompressed: what init_module(2) takes.
func (m Module) Read() ([]byte, error) {
	b, err := m.read()
	if err != nil {
		return nil, fmt.Errorf("module %s: reading %s: %w", m.Name, m.Path, err)
	}
	return b, nil
}

func (m Module) read() ([]byte, error) {
	b, err := readFile(m.Path)
	if err != nil {
		return nil, err
	}
	for _, s := range moduleSuffixes {
		if s.decode != nil && strings.HasSuffix(m.Path, s.suffix) {
			out := &output{limit: maxSize}
			if err := s.decode(b, out); err != nil {
				return nil, err
			}
			return out.data, nil
		}
	}
	return b, nil
}

// loader orders modules: depth first, dependencies before what needs them.
type loader struct {
	kernel  *Kernel
	files   map[string]string // path by name
	builtin map[string]bool
	state   map[string]state
	order   []Module
}

type state int

const (
	unseen state = iota
	open         // its dependencies are being added
	added
)

func (l *loader) add(name, neededBy string) error {
	switch l.state[name] {
	case added:
		return nil
	case open:
		return fmt.Errorf("modules of kernel %s: %s depends on itself, through %s", l.kernel.Release, name, neededBy)
	}
	if l.builtin[name] {
		return nil
	}
	path, ok := l.files[name]
	if !ok {
		return &MissingModuleError{Module: name, Kernel: l.kernel.Release, Modules: l.kernel.Modules, NeededBy: neededBy}
	}
	l.state[name] = open
	m := Module{Name: name, Path: path}
	info, err := m.info()
	if err != nil {
		return fmt.Errorf("module %s: reading .modinfo of %s: %w", name, path, err)
	}
	for _, d := range info.depends {
		if err := l.add(d, name); err != nil {
			return err
		}
	}
	if info.name != "" {
		m.Name = info.name
	}
	l.state[name] = added
	l.order = append(l.order, m)
	return nil
}

// moduleName is a module's name as the kernel says it: in file names, and by
// people, a hyphen is often written for an underscore.
func moduleName(s string) string { return strings.ReplaceAll(s, "-", "_") }

// indexModules finds the files of all modules, by name. Nothing is opened: a
// distribution has thousands.
func indexModules(dir string) (map[string]string, error) {
	dir, err := filepath.EvalSymlinks(dir) // WalkDir does not follow its root
	if err != nil {
		return nil, err
	}
	files := make(map[string]string)
	return files, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		for _, s := range moduleSuffixes {
			if name, ok := strings.CutSuffix(e.Name(), s.suffix); ok {
				// In lexical order updates/, where a newer version of a
				// module of kernel/ goes, comes later, and wins.
				files[moduleName(name)] = path
			}
		}
		return nil
	})
}

// modinfo is what a module says of itself.
type modinfo struct {
	name    string
	depends []string
}

func (m Module) info() (modinfo, error) {
	if !strings.HasSuffix(m.Path, ".ko") {
		b, err := m.read()
		if err != nil {
			return modinfo{}, err
		}
		f, err := elf.NewFile(bytes.NewReader(b))
		if err != nil {
			return modinfo{}, err
		}
		return readModinfo(f)
	}
	f, err := elf.Open(m.Path) // which reads only what is asked for
	if err != nil {
		return modinfo{}, err
	}
	defer f.Close()
	return readModinfo(f)
}

// readModinfo reads the section .modinfo: KEY=VALUE, each ended by a NUL.
func readModinfo(f *elf.File) (modinfo, error) {
	var info modinfo
	s := f.Section(".modinfo")
	if s == nil {
		return info, errors.New("there is none: this is not a kernel module")
	}
	b, err := s.Data()
	if err != nil {
		return info, err
	}
	for entry := range bytes.SplitSeq(b, []byte{0}) {
		key, value, _ := strings.Cut(string(entry), "=")
		switch key {
		case "name":
			info.name = value
		case "depends":
			for d := range strings.SplitSeq(value, ",") {
				if d != "" {
					info.depends = append(info.depends, moduleName(d))
				}
			}
		}
	}
	return info, nil
}
