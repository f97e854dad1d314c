package experiment

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"vmctr/bench/embedded"
	"vmctr/bench/platform"
	"vmctr/images/erofs"
	"vmctr/report/result/isolation"
	"vmctr/vm"
)

// innerMachine is the platform whose like runs in the throwaway machine. To boot there would
// take an emulator in an emulator over a minute: it is booted and saved here, and goes on
// there.
const innerMachine = "vm-snapshot"

// machineDisk writes a disk that has all that a machine needs to go on from a saved state:
// the state, and below "root" QEMU, its libraries, its firmware, the kernel and the
// initramfs. It is in the experiment's scratch store, and goes with that.
func machineDisk(ctx context.Context, s Subject) (disk string, err error) {
	store, err := s.Scratch(ctx)
	if err != nil {
		return "", err
	}
	disk = filepath.Join(store.Dir(), "machine.erofs")
	if _, err := os.Stat(disk); err == nil {
		return disk, nil
	}
	inside, err := embedded.Inside()
	if err != nil {
		return "", err
	}
	w := s.Workload
	if w.Image, err = store.PutPrograms(ctx, "isolation-inside", "inside", map[string][]byte{"inside": inside}); err != nil {
		return "", err
	}
	if w.Process, err = w.Image.Process([]string{isolation.FunctionsWork, isolation.FunctionsInnerWait.String()}); err != nil {
		return "", err
	}
	w.Port = 0
	w.Dir = filepath.Join(w.Dir, "inner")
	if err := os.MkdirAll(w.Dir, 0o700); err != nil {
		return "", err
	}
	inner, err := platform.Find(innerMachine)
	if err != nil {
		return "", err
	}
	p, err := inner.Prepare(ctx, w)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	if a := p.Facts().Accelerator; a != string(vm.TCG) {
		return "", fmt.Errorf("a state that was saved with %s does not go on in the throwaway machine, which has only QEMU's emulator", a)
	}
	saved, ok := p.(platform.Saved)
	if !ok {
		return "", fmt.Errorf("%s has no saved state", innerMachine)
	}
	tree := filepath.Join(store.Dir(), "machine")
	defer os.RemoveAll(tree)
	files, err := saved.Snapshot().Files(ctx)
	if err != nil {
		return "", err
	}
	for _, f := range files {
		if err := copyFile(filepath.Join(tree, "root", f), f); err != nil {
			return "", err
		}
	}
	if err := writeFile(filepath.Join(tree, "snapshot"), func(f *os.File) error { return saved.Snapshot().Export(f) }); err != nil {
		return "", err
	}
	err = writeFile(disk, func(f *os.File) error { return erofs.Write(ctx, f, tree) })
	if err != nil {
		return "", errors.Join(err, os.Remove(disk))
	}
	return disk, nil
}

func copyFile(to, from string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := writeFile(to, func(f *os.File) error { _, err := io.Copy(f, in); return err }); err != nil {
		return err
	}
	return os.Chmod(to, 0o755)
}

func writeFile(name string, write func(*os.File) error) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
