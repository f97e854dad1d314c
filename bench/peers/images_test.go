package main

import (
	"archive/tar"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vmctr/images"
)

// smallArchive is an archive of an image with all that a layer may hold.
func smallArchive(t *testing.T, dir string) string {
	t.Helper()
	store, err := images.Open(filepath.Join(dir, "small-store"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	at := time.Unix(1_000_000_000, 0)
	file := func(name string, mode int64, content string) tarEntry {
		return tarEntry{&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Uid: 7, Gid: 8, ModTime: at, Size: int64(len(content))}, []byte(content)}
	}
	other := func(kind byte, name string, mode int64, target string) tarEntry {
		return tarEntry{&tar.Header{Typeflag: kind, Name: name, Mode: mode, Linkname: target, ModTime: at}, nil}
	}
	lower := []tarEntry{
		other(tar.TypeDir, "./", 0o755, ""), other(tar.TypeDir, "d/", 0o750, ""), file("d/su", 0o4755, "su"), file("d/gone", 0o644, "gone"), other(tar.TypeLink, "d/hard", 0, "d/su"),
		other(tar.TypeDir, "tmp/", 0o1777, ""), other(tar.TypeSymlink, "l", 0o777, "/d/su"), other(tar.TypeDir, "full/", 0o755, ""), file("full/low", 0o600, "low"),
		file("large", 0o644, strings.Repeat("0123456789abcdef", 1<<16)), file("large2", 0o400, strings.Repeat("fedcba9876543210", 1<<16)),
	}
	upper := []tarEntry{other(tar.TypeDir, "d/", 0o711, ""), file("d/.wh.gone", 0o644, ""), other(tar.TypeDir, "full/", 0o755, ""), file("full/.wh..wh..opq", 0o644, ""), file("full/high", 0o644, "high"), file("d/new", 0o640, "new")}
	path := filepath.Join(dir, "small.tar")
	if err := writeArchive(t.Context(), store, path, [][]tarEntry{lower, upper}); err != nil {
		t.Fatal(err)
	}
	return path
}

// imageTools skips without root and the programs that images are compared with.
func imageTools(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		if required("root") {
			t.Fatal("BENCH_REQUIRE=root, and this is not root")
		}
		t.Skip("mounts a file system, needs root: sudo scripts/test")
	}
	if _, missing := findImageSubjects(); len(missing) > 0 {
		if required("peers") {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	if _, err := exec.LookPath("mkfs.ext4"); err != nil {
		t.Skip(err)
	}
}

// TestMeasureImages runs all that scripts/peers images does, briefly.
func TestMeasureImages(t *testing.T) {
	imageTools(t)
	t.Setenv("BENCH_CACHE", t.TempDir())
	o := imageOptions{rounds: 1, seed: 1, out: t.TempDir()}
	// No whiteouts: its files go into other folders and layers.
	dir := t.TempDir()
	store, err := images.Open(filepath.Join(dir, "store"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	var content []tarEntry
	for n := range 40 {
		b := bytes.Repeat([]byte(fmt.Sprintf("%09d\n", n)), 1000)
		content = append(content, tarEntry{&tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("d%d/f", n), Mode: 0o644, Size: int64(len(b))}, b},
			tarEntry{&tar.Header{Typeflag: tar.TypeLink, Name: fmt.Sprintf("d%d/l", n), Linkname: fmt.Sprintf("d%d/f", n/2)}, nil})
	}
	o.image = filepath.Join(dir, "from.tar")
	if err := writeArchive(t.Context(), store, o.image, [][]tarEntry{content}); err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	failed, err := measureImages(t.Context(), o, &text)
	if err != nil || failed > 0 {
		t.Fatalf("%d failed, %v\n%s", failed, err, &text)
	}
	f, err := os.Open(filepath.Join(o.out, "samples.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, row := range rows[1:] {
		count[row[0]+", "+row[1]]++
		if row[4] >= row[5] || row[5] > row[6] || row[7] != "" {
			t.Errorf("%q", row)
		}
	}
	for _, sub := range imageSubjects() {
		for _, series := range []string{"one-layer", "ten-layers"} {
			if n := count[series+", "+sub.name]; n != o.rounds {
				t.Errorf("%s, %s: %d samples", series, sub.name, n)
			}
		}
	}
	// A file that is mounted is one of a loop device (loop(4)).
	used, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range used {
		if file, err := os.ReadFile(path); err == nil && strings.HasPrefix(string(file), os.Getenv("BENCH_CACHE")) {
			t.Errorf("%s is still mounted", file)
		}
	}
	t.Log("\n" + text.String())
}

// TestSameTree: the merged tree of an image is the same as umoci's.
func TestSameTree(t *testing.T) {
	imageTools(t)
	dir := t.TempDir()
	archive := smallArchive(t, dir)
	for _, sub := range imageSubjects() {
		if sub.name != skopeoUmoci {
			continue
		}
		if _, err := sub.run(t.Context(), dir, archive); err != nil {
			t.Fatal(err)
		}
	}
	store, err := images.Open(filepath.Join(dir, "small-store"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	img, err := store.Image("small", images.HostPlatform())
	if err != nil {
		t.Fatal(err)
	}
	ours, err := img.Rootfs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(treeOf(t, filepath.Join(dir, "small", "rootfs")), treeOf(t, ours)); diff != "" {
		t.Errorf("-umoci +ours:\n%s", diff)
	}
}

// treeOf is all that there is to say of the files in a folder.
func treeOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		var content []byte
		switch {
		case info.Mode().IsRegular():
			content, err = os.ReadFile(path)
		case info.Mode()&fs.ModeSymlink != 0:
			var target string
			target, err = os.Readlink(path)
			content = []byte(target)
		}
		links := st.Nlink
		if info.IsDir() {
			links = 0
		}
		name, e := filepath.Rel(dir, path)
		all[name] = fmt.Sprintf("%s %d:%d %d links, %v, %.20q of %d", info.Mode(), st.Uid, st.Gid, links, info.ModTime(), content, len(content))
		return errors.Join(err, e)
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("only %v", all)
	}
	return all
}
