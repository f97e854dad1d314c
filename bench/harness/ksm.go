package harness

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// KSM, the kernel's search for equal pages, is a setting of the whole host
// (Documentation/admin-guide/mm/ksm.rst). A run that changes it writes down first how it
// was, in its folder: so that whoever ends the run, or sweeps what is left of it, can put
// it back.

// ksmFolder has a file for each setting and each count; a test has another.
var ksmFolder = "/sys/kernel/mm/ksm"

// ksmSaved is the name of the file in a run's folder.
const ksmSaved = "ksm.json"

// ksmSettings are those that SetKSM may change, in the order in which they are put back: that
// it runs at all comes last.
var ksmSettings = []string{"pages_to_scan", "sleep_millisecs", "run"}

// SetKSM changes settings of KSM for a run, whose folder is dir, until RestoreKSM.
func SetKSM(dir string, settings map[string]string) error {
	saved := filepath.Join(dir, ksmSaved)
	if _, err := os.Stat(saved); errors.Is(err, fs.ErrNotExist) {
		others, err := filepath.Glob(filepath.Join(base(), "*", ksmSaved))
		if err != nil {
			return err
		}
		if len(others) > 0 {
			return fmt.Errorf("another run, %s, has changed the settings of KSM: wait until it has ended; if it is dead, bench clean puts them back", filepath.Base(filepath.Dir(others[0])))
		}
		before := map[string]string{}
		for _, name := range ksmSettings {
			b, err := os.ReadFile(filepath.Join(ksmFolder, name))
			if err != nil {
				return fmt.Errorf("this host's kernel has no KSM, or does not tell how it is set: %w", err)
			}
			before[name] = strings.TrimSpace(string(b))
		}
		text, err := json.Marshal(before)
		if err != nil {
			return err
		}
		if err := os.WriteFile(saved, text, 0o600); err != nil {
			return err
		}
	}
	return writeKSM(settings)
}

func writeKSM(settings map[string]string) error {
	var errs []error
	for _, name := range ksmSettings {
		value, ok := settings[name]
		if !ok {
			continue
		}
		// Not os.WriteFile, which would make a file where there is none.
		f, err := os.OpenFile(filepath.Join(ksmFolder, name), os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteString(value)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("setting KSM: %s to %s: %w", name, value, err))
		}
	}
	return errors.Join(errs...)
}

// RestoreKSM puts the settings back that a run has changed; one that has changed none has
// nothing to be put back.
func RestoreKSM(dir string) error {
	saved := filepath.Join(dir, ksmSaved)
	text, err := os.ReadFile(saved)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var before map[string]string
	if err := json.Unmarshal(text, &before); err != nil {
		// The run was killed while it wrote this, and so before it changed anything.
		return os.Remove(saved)
	}
	if err := writeKSM(before); err != nil {
		return err
	}
	return os.Remove(saved)
}

// KSMCount reads one of its counts: "full_scans", "pages_sharing".
func KSMCount(name string) (int64, error) {
	b, err := os.ReadFile(filepath.Join(ksmFolder, name))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
}
