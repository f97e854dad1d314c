package vm

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"vmctr/vm/cache"
	"vmctr/vm/guest/wire"
	"vmctr/vm/initramfs"
	"vmctr/vm/kernel"
)

// BaseLimits are what the kept archives may come to: each has some 6 MB, and there is
// one for each set of drivers, kernel and version of PID 1.
var BaseLimits = cache.Limits{Age: 30 * 24 * time.Hour, Bytes: 128 << 20}

// BaseDir is the folder of the kept archives, in the folder of a cache.
func BaseDir(dir string) string { return filepath.Join(dir, "initramfs") }

// openBase gives the first archive, from the cache if it is there.
func (i Initramfs) openBase() (io.ReadCloser, error) {
	name := ""
	if i.Cache != "" {
		var err error
		if name, err = i.baseName(); err != nil {
			return nil, err
		}
	}
	if name == "" {
		var b bytes.Buffer
		err := i.writeBase(&b)
		return io.NopCloser(&b), err
	}
	path := filepath.Join(BaseDir(i.Cache), name)
	if f, err := cache.Open(path); err == nil {
		return f, nil
	}
	if _, _, err := cache.Prune(BaseDir(i.Cache), BaseLimits, false); err != nil {
		return nil, err
	}
	if err := cache.Write(path, i.writeBase); err != nil {
		return nil, err
	}
	return cache.Open(path)
}

// baseName is the digest of all that the first archive is made of; "" if what that
// is cannot be told, since its files have just been written.
func (i Initramfs) baseName() (string, error) {
	files, settled, err := i.Kernel.Identity()
	if err != nil || !settled {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintf(h, "1\n%x\n%s\n%q\n%q\n", sha256.Sum256(i.Guest), files, i.modules(), lateModules)
	return hex.EncodeToString(h.Sum(nil)) + ".cpio", nil
}

// writeBase writes the first archive: PID 1 and the drivers.
func (i Initramfs) writeBase(to io.Writer) error {
	w := initramfs.NewWriter(to)
	// The kernel opens /dev/console for PID 1 before PID 1 could make it.
	if err := errors.Join(
		w.Device("dev/console", 0o600, 5, 1),
		w.File(wire.Init, 0o755, i.Guest),
	); err != nil {
		return err
	}
	if err := i.writeModules(w, wire.Modules, i.modules()); err != nil {
		return err
	}
	var missing *kernel.MissingModuleError
	if err := i.writeModules(w, wire.Late, lateModules); err != nil && !errors.As(err, &missing) {
		return err
	}
	return w.Close()
}

func (i Initramfs) writeModules(w *initramfs.Writer, dir string, names []string) error {
	files, err := i.Kernel.ModuleFiles(names...)
	if err != nil {
		return err
	}
	for n, m := range files {
		b, err := m.Read()
		if err != nil {
			return err
		}
		if err := w.File(fmt.Sprintf("%s/%02d-%s.ko", dir, n, m.Name), 0o644, b); err != nil {
			return err
		}
	}
	return nil
}
