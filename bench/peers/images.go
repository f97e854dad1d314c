package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/bench/harness"
	"vmctr/images"
	"vmctr/report/result"
)

// Images, beside other tools:
//
//	scripts/peers images      import and unpack an image
//
// An archive of an image becomes an image of a store, and its layers folders,
// ready for a container. Ours is compared with skopeo(1) and umoci(1), which
// copy it into a layout and unpack that, and with podman load, which does both;
// each as a command, with nothing there before: every sample has a file system of
// its own, ext4 in a file, which is new. What earlier samples removed is not in
// the way (ext4 looks for minutes for inodes that were not freed just now), and
// what they wrote is on the disk.
//
// The time that counts is that of the command, or of the commands. skopeo and we
// wait for the disk, and umoci and podman do not: so the time until all is on the
// disk (syncfs(2)) is there as well.

// importCommand is the first argument of this program as ours: a store, an
// archive, a name, and how many CPUs it may use, or 0 for all.
const importCommand = "import-image"

// importImage is what bench image import does, and the unpacking that the first
// bench run would.
func importImage(args []string) (err error) {
	if cpus, err := strconv.Atoi(args[3]); err != nil {
		return err
	} else if cpus > 0 {
		runtime.GOMAXPROCS(cpus)
		if err := fewer(cpus); err != nil {
			return err
		}
	}
	ctx := context.Background()
	store, err := images.Open(args[0])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	w, err := store.Writer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	f, err := os.Open(args[1])
	if err != nil {
		return err
	}
	defer f.Close()
	list, err := w.Import(ctx, f)
	if err != nil {
		return err
	}
	if len(list) != 1 {
		return fmt.Errorf("%s has %d images", args[1], len(list))
	}
	if err := w.Tag(args[2], list[0].Descriptor); err != nil {
		return err
	}
	img, err := store.Image(args[2], images.HostPlatform())
	if err != nil {
		return err
	}
	_, err = img.Unpack(ctx)
	return err
}

// fewer has this process use so many CPUs only (sched_setaffinity(2)): all of its
// threads, those that come later among them.
func fewer(cpus int) error {
	var have, want unix.CPUSet
	if err := unix.SchedGetaffinity(0, &have); err != nil {
		return err
	}
	for cpu := 0; want.Count() < cpus && cpu < 1024; cpu++ {
		if have.IsSet(cpu) {
			want.Set(cpu)
		}
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range threads {
		tid, err := strconv.Atoi(t.Name())
		if err == nil {
			err = unix.SchedSetaffinity(tid, &want)
		}
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}

// An imageSubject is a way to import and unpack: commands, which are given the
// folder where all goes, and the archive.
type imageSubject struct {
	name     string
	needs    []string // programs
	commands func(dir, archive string) [][]string
}

const (
	oursImage   = "ours"
	oursOneCPU  = "ours, one CPU"
	skopeoUmoci = "skopeo copy, umoci unpack"
	podmanLoad  = "podman load"
)

func imageSubjects() []imageSubject {
	ours := func(cpus string) func(dir, archive string) [][]string {
		return func(dir, archive string) [][]string {
			return [][]string{{"/proc/self/exe", importCommand, dir + "/store", archive, imageName(archive), cpus}}
		}
	}
	return []imageSubject{
		{oursImage, nil, ours("0")},
		{oursOneCPU, nil, ours("1")},
		{skopeoUmoci, []string{"skopeo", "umoci"}, func(dir, archive string) [][]string {
			return [][]string{
				{"skopeo", "copy", "--quiet", "--insecure-policy", "--tmpdir", dir, "oci-archive:" + archive, "oci:" + dir + "/layout:" + imageName(archive)},
				{"umoci", "unpack", "--image", dir + "/layout:" + imageName(archive), dir + "/" + imageName(archive)},
			}
		}},
		{podmanLoad, []string{"podman"}, func(dir, archive string) [][]string {
			return [][]string{{"podman", "--root", dir + "/root", "--runroot", dir + "/runroot", "--tmpdir", dir + "/tmp", "--storage-driver", "overlay", "--cgroup-manager", "cgroupfs", "--events-backend", "none",
				"load", "--quiet", "--input", archive}}
		}},
	}
}

func imageName(archive string) string { return strings.TrimSuffix(filepath.Base(archive), ".tar") }

// imageSample is one import.
type imageSample struct {
	times         // first is the end of the commands, and exit when all is on the disk
	memory  int64 // most of any process of them, in bytes (getrusage(2), ru_maxrss)
	written int64 // bytes that the file system has more
}

// run imports and unpacks an archive into the file system at dir.
func (sub imageSubject) run(ctx context.Context, dir, archive string) (s imageSample, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, imagePatience, fmt.Errorf("not done within %v", imagePatience))
	defer cancel()
	var before, after unix.Statfs_t
	if err := unix.Statfs(dir, &before); err != nil {
		return s, err
	}
	runtime.LockOSThread() // PR_SET_PDEATHSIG follows the thread that forks
	defer runtime.UnlockOSThread()
	s.start = harness.Now()
	for _, args := range sub.commands(dir, archive) {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "TMPDIR="+dir)
		cmd.WaitDelay = time.Second
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if out, err := cmd.CombinedOutput(); err != nil {
			return s, fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), errors.Join(err, context.Cause(ctx)), out)
		}
		if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
			s.memory = max(s.memory, u.Maxrss<<10)
		}
	}
	s.first = harness.Now()
	d, err := os.Open(dir)
	if err != nil {
		return s, err
	}
	err = errors.Join(unix.Syncfs(int(d.Fd())), d.Close())
	s.exit = harness.Now()
	if err != nil {
		return s, err
	}
	err = unix.Statfs(dir, &after)
	s.written = int64(before.Bfree-after.Bfree) * before.Bsize
	return s, err
}

const imagePatience = 3 * time.Minute

// withFileSystem has f work in a file system that is new and goes again.
func withFileSystem(ctx context.Context, run *harness.Run, f func(dir string) error) (err error) {
	dir := filepath.Join(run.Dir, "images")
	// Not in run.Dir, which is in memory.
	image := filepath.Join(cacheDir(), "peers", run.ID+".ext4")
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.MkdirAll(filepath.Dir(image), 0o700), os.WriteFile(image, nil, 0o600), os.Truncate(image, 4<<30)); err != nil {
		return err
	}
	for _, args := range [][]string{{"mkfs.ext4", "-q", image}, {"mount", "-o", "loop,noinit_itable", image, dir}} {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
		if out, err := cmd.CombinedOutput(); err != nil {
			return errors.Join(fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out), os.Remove(image))
		}
	}
	defer func() {
		// podman leaves its storage mounted on itself.
		for unix.Unmount(dir+"/root/overlay", unix.MNT_DETACH) == nil {
		}
		err = errors.Join(err, os.NewSyscallError("umount", unix.Unmount(dir, 0)))
	}()
	// The mount keeps the file, which goes with it, whatever ends this process.
	if err := os.Remove(image); err != nil {
		return err
	}
	return f(dir)
}

type imageOptions struct {
	rounds int
	seed   uint64
	out    string
	image  string // an archive to take in the place of the debian image
}

func imagesMain(args []string) int {
	var o imageOptions
	flags := flag.NewFlagSet("peers images", flag.ExitOnError)
	flags.IntVar(&o.rounds, "rounds", 10, "rounds")
	flags.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano())&(1<<32-1), "seed of the random order")
	flags.StringVar(&o.out, "out", "results-peers-images-"+time.Now().Format("20060102-150405"), "folder for the raw samples and the tables")
	flags.StringVar(&o.image, "image", "", "archive of an OCI layout with one image; without it, bench builds its debian")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "Usage: scripts/peers images [FLAGS]   compares import and unpacking of an image with skopeo and umoci, and with podman")
		flags.PrintDefaults()
	}
	flags.Parse(args)
	return status(func(ctx context.Context) (int, error) { return measureImages(ctx, o, os.Stdout) })
}

// measureImages does all, and tells how many samples failed.
func measureImages(ctx context.Context, o imageOptions, stdout io.Writer) (failed int, err error) {
	if os.Geteuid() != 0 {
		return 0, errors.New("file systems are mounted, and layers have owners, which needs root: sudo scripts/peers images")
	}
	run, err := newRun(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, run.Close()) }()
	w, err := newResults(o.out, stdout)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	archives, err := os.MkdirTemp("", "bench-peers-images-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(archives)
	set, err := archivesElsewhere(ctx, o.image, archives)
	if err != nil {
		return 0, err
	}
	subjects, missing := findImageSubjects()
	for _, m := range missing {
		fmt.Fprintln(w, m)
	}
	fmt.Fprintf(w, "%s\n%s\nseed %d, %d rounds; load before: %s\n", set.describe(), versions(ctx, subjects), o.seed, o.rounds, load())
	got := &imageSamples{values: map[[3]string][]float64{}}
	rng := rand.New(rand.NewPCG(o.seed, 0))
	for round := range o.rounds + 1 {
		for _, archive := range set.timed() {
			for position, i := range rng.Perm(len(subjects)) {
				if err := context.Cause(ctx); err != nil {
					return failed, fmt.Errorf("interrupted; samples.csv has what was measured: %w", err)
				}
				sub, series := subjects[i], imageName(archive)
				if round == 0 {
					series = warmupsSeries
				}
				var s imageSample
				failure := withFileSystem(ctx, run, func(dir string) (err error) { s, err = sub.run(ctx, dir, archive); return err })
				if err := w.raw.add(series, sub.name, round, position, s.times, failure); err != nil {
					return failed, err
				}
				if failure != nil {
					failed++
					fmt.Fprintf(os.Stderr, "peers: FAILED: %s, %s, round %d: %v\n", series, sub.name, round, failure)
				} else if round > 0 {
					got.add(series, sub.name, s)
				}
			}
		}
	}
	var names []string
	for _, sub := range subjects {
		names = append(names, sub.name)
	}
	if err := got.print(w, set, names, o.seed); err != nil {
		return failed, err
	}
	if err := measureSharing(ctx, run, subjects, set, w); err != nil {
		return failed, err
	}
	if err := measureMemory(ctx, run, subjects, set, w); err != nil {
		return failed, err
	}
	w.foot(failed)
	return failed, nil
}

// findImageSubjects are those whose programs are there.
func findImageSubjects() (found []imageSubject, missing []string) {
	for _, sub := range imageSubjects() {
		var err error
		for _, program := range sub.needs {
			if _, e := exec.LookPath(program); e != nil {
				err = errors.Join(err, e)
			}
		}
		if err != nil {
			missing = append(missing, fmt.Sprintf("%s is not measured: %v (sudo scripts/setup peers installs it)", sub.name, err))
			continue
		}
		found = append(found, sub)
	}
	return found, missing
}

// versions are those of the programs that are measured, and of the kernel.
func versions(ctx context.Context, subjects []imageSubject) string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return err.Error()
	}
	list := []string{fmt.Sprintf("Linux %s, %d CPUs", unix.ByteSliceToString(u.Release[:]), runtime.NumCPU())}
	for _, sub := range subjects {
		for _, program := range sub.needs {
			out, err := exec.CommandContext(ctx, program, "--version").Output()
			if err != nil {
				out = fmt.Appendf(nil, "%s --version: %v", program, err)
			}
			line, _, _ := strings.Cut(string(out), "\n")
			list = append(list, line)
		}
	}
	return strings.Join(list, "; ")
}

// imageSamples are the counted figures: by archive, subject and figure.
type imageSamples struct{ values map[[3]string][]float64 }

const (
	doneEnd = "imported and unpacked"
	diskEnd = "and on the disk"
)

func (g *imageSamples) add(series, subject string, s imageSample) {
	for end, v := range map[string]int64{doneEnd: s.first - s.start, diskEnd: s.exit - s.start} {
		key := [3]string{series, subject, end}
		g.values[key] = append(g.values[key], float64(v))
	}
}

var imageTargets = []target{
	{oursImage, skopeoUmoci, 0.5},
	{oursImage, podmanLoad, 0.5},
	{oursImage, oursOneCPU, 0},
}

func (g *imageSamples) print(w io.Writer, set *archiveSet, names []string, seed uint64) error {
	for _, archive := range set.timed() {
		series := imageName(archive)
		var rows, ratios [][]string
		for _, name := range names {
			row, n := []string{name}, 0
			for _, end := range []string{doneEnd, diskEnd} {
				sum := result.Summarize(g.values[[3]string{series, name, end}])
				row, n = append(row, result.FormatValue(sum.Median, "ns"), sum.FormatInterval("ns")), sum.N
			}
			rows = append(rows, append(row, strconv.Itoa(n)))
		}
		fmt.Fprintf(w, "\nThe image %s\n", series)
		if err := table(w, []string{"", doneEnd, "95% interval", diskEnd, "95% interval", "n"}, rows); err != nil {
			return err
		}
		for _, t := range imageTargets {
			for _, end := range []string{doneEnd, diskEnd} {
				values, base := g.values[[3]string{series, t.subject, end}], g.values[[3]string{series, t.base, end}]
				if len(values) == 0 || len(base) == 0 {
					continue
				}
				ratios = append(ratios, t.ratio(t.subject+" / "+t.base+", "+end, values, base, seed))
			}
		}
		if err := table(w, ratioHeader, ratios); err != nil {
			return err
		}
	}
	return nil
}

// measureSharing imports a second image, which has 9 of 10 layers of the first.
func measureSharing(ctx context.Context, run *harness.Run, subjects []imageSubject, set *archiveSet, w io.Writer) error {
	var rows [][]string
	for _, sub := range subjects {
		err := withFileSystem(ctx, run, func(dir string) error {
			first, err := sub.run(ctx, dir, set.Layers)
			if err != nil {
				return err
			}
			second, err := sub.run(ctx, dir, set.Sharing)
			if err != nil {
				return err
			}
			rows = append(rows, []string{sub.name, result.FormatValue(float64(first.first-first.start), "ns"), mib(first.written), result.FormatValue(float64(second.first-second.start), "ns"), mib(second.written)})
			return nil
		})
		if err != nil {
			return fmt.Errorf("%s: %w", sub.name, err)
		}
	}
	fmt.Fprintf(w, "\nA second image that shares 9 of 10 layers with the first, of %s MiB unpacked; the tenth has %s MiB (once each)\n", mib(set.LayersSize), mib(set.SharingSize))
	return table(w, []string{"", "first", "MiB on the disk", "second", "MiB on the disk"}, rows)
}

// measureMemory imports an image and one with eight times as much in its layer.
func measureMemory(ctx context.Context, run *harness.Run, subjects []imageSubject, set *archiveSet, w io.Writer) error {
	var rows [][]string
	for _, sub := range subjects {
		row := []string{sub.name}
		for _, archive := range []string{set.One, set.Eight} {
			err := withFileSystem(ctx, run, func(dir string) error {
				s, err := sub.run(ctx, dir, archive)
				row = append(row, mib(s.memory), result.FormatValue(float64(s.first-s.start), "ns"))
				return err
			})
			if err != nil {
				return fmt.Errorf("%s: %w", sub.name, err)
			}
		}
		rows = append(rows, row)
	}
	fmt.Fprintln(w, "\nMost memory of any process, for an image and for one that is eight times as large (once each)")
	return table(w, []string{"", "MiB", "time", "MiB, 8 times", "time"}, rows)
}

func mib(bytes int64) string { return strconv.FormatFloat(float64(bytes)/(1<<20), 'f', 1, 64) }
