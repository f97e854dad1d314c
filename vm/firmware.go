package vm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// ErrNoFirmware is matched by errors of a firmware that QEMU does not have, or not
// for a machine type.
var ErrNoFirmware = errors.New("no such firmware")

// FindFirmware gives the path of a firmware (SeaBIOS, Qboot) for a machine type. It
// asks QEMU where its files are (qemu-system-x86_64(1), -L help).
func FindFirmware(ctx context.Context, qemu, typ, firmware string) (path string, err error) {
	file := machineTypes[typ].firmware[firmware]
	if file == "" {
		return "", fmt.Errorf("%w: %s for a machine of type %s", ErrNoFirmware, firmware, typ)
	}
	path, err = findData(ctx, qemu, file)
	if errors.Is(err, ErrNoFirmware) {
		err = fmt.Errorf("%s: %w", firmware, err)
	}
	return path, err
}

// findData gives the path of one of QEMU's own files.
func findData(ctx context.Context, qemu, name string) (path string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, qemu, "-L", "help").Output()
	if err != nil {
		return "", fmt.Errorf("%s -L help: %w", qemu, err)
	}
	folders := strings.Fields(string(out))
	for _, folder := range folders {
		path := filepath.Join(folder, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return "", fmt.Errorf("%w: QEMU has no file %s in %q", ErrNoFirmware, name, folders)
}
