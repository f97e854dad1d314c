package vm

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A snapshot can go to another host, which has this one's files of the same names: QEMU
// and what it is made of, the kernel, the initramfs ([Snapshot.Files]). Its processor has
// to be able to do what this one's can; an emulated one is the same on all.

// exported is how the file of a snapshot begins, as a line of JSON. Then come the state of
// the devices, and the pages of RAM that are not all zero, each after its number.
type exported struct {
	Config Config
	State  int
	Pages  int
}

const ramPage = 4096

// Export writes what [Import] reads.
func (s *Snapshot) Export(w io.Writer) error {
	if len(s.cfg.Layers)+len(s.cfg.Disks) > 0 || s.cfg.Network != nil {
		return errors.New("exporting a snapshot: a machine with disks or a network card is bound to its host")
	}
	x := exported{Config: s.cfg, State: len(s.state)}
	if err := s.pages(func(int64, []byte) error { x.Pages++; return nil }); err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, 1<<20)
	if err := json.NewEncoder(out).Encode(x); err != nil {
		return err
	}
	out.Write(s.state)
	err := s.pages(func(n int64, page []byte) error {
		binary.Write(out, binary.LittleEndian, n)
		_, err := out.Write(page)
		return err
	})
	return errors.Join(err, out.Flush())
}

// pages gives each page of RAM that is not all zero.
func (s *Snapshot) pages(f func(n int64, page []byte) error) error {
	zero := make([]byte, ramPage)
	in := bufio.NewReaderSize(io.NewSectionReader(s.ram, 0, s.cfg.Memory), 1<<20)
	page := make([]byte, ramPage)
	for n := range s.cfg.Memory / ramPage {
		if _, err := io.ReadFull(in, page); err != nil {
			return fmt.Errorf("reading a snapshot's RAM: %w", err)
		}
		if bytes.Equal(page, zero) {
			continue
		}
		if err := f(n, page); err != nil {
			return err
		}
	}
	return nil
}

// Import reads what Export wrote.
func Import(r io.Reader) (_ *Snapshot, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("importing a snapshot: %w", err)
		}
	}()
	in := bufio.NewReaderSize(r, 1<<20)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	var x exported
	if err := json.Unmarshal(line, &x); err != nil {
		return nil, err
	}
	if x.State > maxState || x.State < 0 {
		return nil, fmt.Errorf("%d bytes of state", x.State)
	}
	s := &Snapshot{cfg: x.Config, state: make([]byte, x.State)}
	if _, err := io.ReadFull(in, s.state); err != nil {
		return nil, err
	}
	if s.ram, err = memfd(roleRAM); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.ram.Close()
		}
	}()
	if err := s.ram.Truncate(s.cfg.Memory); err != nil {
		return nil, err
	}
	entry := make([]byte, 8+ramPage)
	for range x.Pages {
		if _, err := io.ReadFull(in, entry); err != nil {
			return nil, err
		}
		n := int64(binary.LittleEndian.Uint64(entry))
		if n < 0 || n >= s.cfg.Memory/ramPage {
			return nil, fmt.Errorf("page %d is not in %d bytes of RAM", n, s.cfg.Memory)
		}
		if _, err := s.ram.WriteAt(entry[8:], n*ramPage); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Files are those of this host that a machine needs to go on from the snapshot, by
// absolute paths: QEMU, its modules, the libraries of both (ldd(1)), its firmware, the
// kernel and the initramfs.
func (s *Snapshot) Files(ctx context.Context) (files []string, err error) {
	programs := []string{s.cfg.QEMU}
	for _, dir := range []string{"/usr/lib/*/qemu", "/usr/lib/qemu", "/usr/lib64/qemu"} {
		found, err := filepath.Glob(filepath.Join(dir, "accel-tcg-x86_64.so"))
		if err != nil {
			return nil, err
		}
		programs = append(programs, found...)
	}
	files = append(programs, s.cfg.Kernel, s.cfg.Initramfs)
	for _, p := range programs {
		libraries, err := libraries(ctx, p)
		if err != nil {
			return nil, err
		}
		files = append(files, libraries...)
	}
	for _, name := range []string{
		s.cfg.firmware(), "kvmvapic.bin", "linuxboot.bin", "linuxboot_dma.bin", "multiboot.bin", "multiboot_dma.bin", "pvh.bin",
	} {
		path, err := findData(ctx, s.cfg.QEMU, name)
		if errors.Is(err, ErrNoFirmware) && name != s.cfg.firmware() {
			continue // not every version has each
		}
		if err != nil {
			return nil, err
		}
		files = append(files, path)
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

// firmware is the file of a machine's firmware, of a type that has one.
func (c Config) firmware() string {
	of := machineTypes[c.Type].firmware
	if f := of[c.Firmware]; f != "" {
		return f
	}
	return of[SeaBIOS]
}

// libraries are the shared ones of a program, and the loader.
func libraries(ctx context.Context, program string) (files []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ldd", program).Output()
	if err != nil {
		return nil, fmt.Errorf("ldd %s: %w", program, err)
	}
	return parseLibraries(string(out))
}

// parseLibraries reads lines such as "libz.so.1 => /lib/libz.so.1 (0x7f12)" and
// "/lib64/ld-linux-x86-64.so.2 (0x7f34)".
func parseLibraries(out string) (files []string, err error) {
	for line := range strings.Lines(out) {
		if strings.Contains(line, "not found") {
			return nil, fmt.Errorf("ldd: %s", strings.TrimSpace(line))
		}
		name, path, found := strings.Cut(strings.TrimSpace(line), " => ")
		if !found {
			path = name
		}
		if path, _, _ = strings.Cut(path, " ("); filepath.IsAbs(path) {
			files = append(files, path)
		}
	}
	return files, nil
}
