package kernel

import (
	"bufio"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// symbols are the options of the kernel's configuration that build a module which
// guests need. A kernel that was not built by a distribution may have all that it
// needs built in and no folder of modules that would say so.
var symbols = map[string]string{
	"CONFIG_VIRTIO_PCI":     "virtio_pci",
	"CONFIG_VIRTIO_MMIO":    "virtio_mmio",
	"CONFIG_VIRTIO_CONSOLE": "virtio_console",
	"CONFIG_VIRTIO_BLK":     "virtio_blk",
	"CONFIG_VIRTIO_NET":     "virtio_net",
	"CONFIG_VIRTIO_BALLOON": "virtio_balloon",
	"CONFIG_EROFS_FS":       "erofs",
	"CONFIG_OVERLAY_FS":     "overlay",
	"CONFIG_BRIDGE":         "bridge",
	"CONFIG_VETH":           "veth",
	"CONFIG_PVPANIC_PCI":    "pvpanic_pci",
}

// builtin names the modules that are built into the kernel: those of the list
// that its folder of modules has (modules.builtin, kbuild.rst), else those that its
// configuration has as y.
func (k *Kernel) builtin() (map[string]bool, error) {
	if k.Modules != "" {
		b, err := os.ReadFile(filepath.Join(k.Modules, "modules.builtin"))
		if err == nil {
			return readBuiltin(b), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if k.config == "" {
		return nil, nil
	}
	b, err := readFile(k.config)
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(b, []byte("\x1f\x8b")) {
		out := &output{limit: 16 << 20}
		if err := decodeGzip(b, out); err != nil {
			return nil, err
		}
		b = out.data
	}
	return readConfig(b), nil
}

// readBuiltin reads modules.builtin: the paths that the modules would have.
func readBuiltin(b []byte) map[string]bool {
	names := make(map[string]bool)
	for line := range strings.Lines(string(b)) {
		names[moduleName(strings.TrimSuffix(filepath.Base(strings.TrimSpace(line)), ".ko"))] = true
	}
	return names
}

// readConfig reads a .config: SYMBOL=y, for the symbols that are known here.
func readConfig(b []byte) map[string]bool {
	names := make(map[string]bool)
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		symbol, value, _ := strings.Cut(lines.Text(), "=")
		if name, ok := symbols[symbol]; ok && value == "y" {
			names[name] = true
		}
	}
	return names
}

// config finds the configuration of a kernel: beside its image, as Debian has it,
// among its modules, or, of the running kernel, in its own memory (CONFIG_IKCONFIG).
func (h host) config(k *Kernel) string {
	paths := []string{filepath.Join(filepath.Dir(k.Image), "config-"+k.Release)}
	if k.Modules != "" {
		paths = append(paths, filepath.Join(k.Modules, "config"))
	}
	if k.Release == h.release && k.Arch == runtime.GOARCH {
		paths = append(paths, filepath.Join(h.root, "proc/config.gz"))
	}
	for _, path := range paths {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}
