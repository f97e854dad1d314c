package harness

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/container/cgroup"
	"vmctr/container/network"
)

// actAs makes the test program another one: a run that is killed ("run"), or a
// process that such a run leaves behind ("stay").
const actAs = "BENCH_HARNESS_TEST_ACT"

func TestMain(m *testing.M) {
	switch os.Getenv(actAs) {
	case "run":
		if err := actRun(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		time.Sleep(time.Minute) // until it is killed
	case "stay":
		time.Sleep(time.Minute)
	default:
		os.Exit(m.Run())
	}
}

// actRun starts a run, leaves in it all that a run can leave, and says its ID
// and the process that outlives it.
func actRun() error {
	run, err := NewRun()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(run.Dir, "container", "root fs"), 0o700); err != nil {
		return err
	}
	pid := 0
	if os.Geteuid() == 0 {
		// A mount upon a mount, and one with a blank in its name.
		for _, dir := range []string{"container", "container", "container/root fs"} {
			dir = filepath.Join(run.Dir, dir)
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return err
			}
			if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
				return fmt.Errorf("mounting on %s: %w", dir, err)
			}
			if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
				return err
			}
		}
		group, err := cgroup.Create(run.ID+"/c1", nil)
		if err != nil {
			return err
		}
		stay := exec.Command(os.Args[0])
		stay.Env = append(os.Environ(), actAs+"=stay")
		if err := stay.Start(); err != nil {
			return err
		}
		net, err := network.Open(context.Background(), run.NetworkID(), run.Dir, netip.Prefix{})
		if err != nil {
			return err
		}
		if err := net.NAT(); err != nil {
			return err
		}
		pid = stay.Process.Pid
		if err := group.Add(pid); err != nil {
			return err
		}
	}
	_, err = fmt.Println(run.ID, pid)
	return err
}

// required tells whether BENCH_REQUIRE turns a skip for want of what into a
// failure.
func required(what string) bool {
	return slices.Contains(strings.Split(os.Getenv("BENCH_REQUIRE"), ","), what)
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if required("root") {
		t.Fatal("BENCH_REQUIRE holds root, and this is not root")
	}
	t.Skip("needs root for mounts and cgroups; try: sudo scripts/test")
}

// ownRuns gives a test that is not root a folder of runs of its own. Root has
// one, which belongs to the cgroups of the host: with another, Sweep would
// take the cgroups of live runs for those of dead ones.
func ownRuns(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	}
}

// sweep is Sweep, without error.
func sweep(t *testing.T) []string {
	t.Helper()
	swept, err := Sweep(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return swept
}

func newRun(t *testing.T) *Run {
	t.Helper()
	run, err := NewRun()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := run.Close(); err != nil {
			t.Error(err)
		}
	})
	return run
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// groups are the folders of a cgroup right below the root of each hierarchy.
func groups(t *testing.T, name string) []string {
	t.Helper()
	h, err := cgroup.Detect()
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, root := range append(slices.Collect(maps.Values(h.V1)), h.Unified) {
		if dir := filepath.Join(root, name); root != "" && exists(dir) {
			found = append(found, dir)
		}
	}
	return found
}

func TestRunIsItsOwn(t *testing.T) {
	ownRuns(t)
	a, b := newRun(t), newRun(t)
	if a.ID == b.ID || !isRunID(a.ID) || a.Dir != filepath.Join(base(), a.ID) {
		t.Errorf("runs %+v and %+v", a, b)
	}
	st, err := os.Stat(a.Dir)
	if err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("folder %v, %v: want one that nobody else can read", st, err)
	}
	// A second bench leaves both alone, and the folder of one that has ended
	// is gone.
	for _, s := range sweep(t) {
		if strings.Contains(s, a.ID) || strings.Contains(s, b.ID) {
			t.Errorf("a live run was swept: %s", s)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if !exists(a.Dir) || exists(b.Dir) {
		t.Errorf("%s must be there and %s must not", a.Dir, b.Dir)
	}
}

// TestSweepAfterKill kills a run with all that one can leave behind.
func TestSweepAfterKill(t *testing.T) {
	ownRuns(t)
	if os.Geteuid() != 0 && required("root") {
		t.Error("BENCH_REQUIRE holds root, and this is not root: mounts and cgroups stay untested")
	}
	// What the killed run leaves becomes a child of this process, which can
	// then wait for it (PR_SET_CHILD_SUBREAPER in prctl(2)).
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	defer unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)

	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), actAs+"=run")
	other.Stderr = os.Stderr
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer other.Process.Kill()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the run did not start: %v", err)
	}
	id, number, _ := strings.Cut(strings.TrimSpace(line), " ")
	pid, err := strconv.Atoi(number)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(base(), id)

	// As long as it lives, it is left alone.
	for _, s := range sweep(t) {
		if strings.Contains(s, id) {
			t.Fatalf("a live run was swept: %s", s)
		}
	}
	mounts, err := mountsBelow(dir)
	if err != nil || !exists(dir) {
		t.Fatalf("folder of the live run: %v, mounts %v", err, mounts)
	}
	if os.Geteuid() == 0 && (len(mounts) != 3 || len(groups(t, id)) == 0) {
		t.Fatalf("the live run has mounts %q and cgroups %q", mounts, groups(t, id))
	}

	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	other.Wait()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if pid != 0 {
			unix.Wait4(pid, nil, 0, nil)
		}
	}()
	swept := sweep(t)
	if !slices.Contains(swept, dir) {
		t.Errorf("swept %q, want %s in it", swept, dir)
	}
	if os.Geteuid() == 0 {
		for _, want := range []string{"interface " + networkID(id) + "-b0001", "nftables table container-" + networkID(id)} {
			if !slices.Contains(swept, want) {
				t.Errorf("swept %q, want %s in it", swept, want)
			}
		}
		if _, err := net.InterfaceByName(networkID(id) + "-b0001"); err == nil {
			t.Error("the bridge is still there")
		}
	}
	if mounts, err := mountsBelow(dir); err != nil || len(mounts) > 0 || exists(dir) {
		t.Errorf("left: folder %v, mounts %q, %v", exists(dir), mounts, err)
	}
	if left := groups(t, id); len(left) > 0 {
		t.Errorf("left: cgroups %q", left)
	}
	if pid != 0 {
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Errorf("process %d of the killed run still lives", pid)
			unix.Kill(pid, unix.SIGKILL)
		}
	}
	for _, s := range sweep(t) {
		if strings.Contains(s, id) {
			t.Errorf("swept again: %s", s)
		}
	}
}

// TestSweepSpares: what only looks like a run is somebody else's.
func TestSweepSpares(t *testing.T) {
	ownRuns(t)
	newRun(t) // makes the folder of runs
	names := []string{"bench-", "bench-data", "bench-ABCDEFGH", "bench-abcdefg1", "bench-abcdefghi", "mybench-abcdefgh"}
	for _, name := range names {
		dir := filepath.Join(base(), name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(dir)
	}
	file := filepath.Join(base(), "bench-filefile")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(file)
	sweep(t)
	for _, path := range append(names, "bench-filefile") {
		if !exists(filepath.Join(base(), path)) {
			t.Errorf("%s was swept", path)
		}
	}
	// Nor does a link lead out of the folder of runs.
	precious := t.TempDir()
	if err := os.WriteFile(filepath.Join(precious, "thesis"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(base(), "bench-linklink")
	if err := os.Symlink(precious, link); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(link)
	dead := filepath.Join(base(), "bench-deaddead")
	if err := os.Mkdir(dead, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(precious, filepath.Join(dead, "data")); err != nil {
		t.Fatal(err)
	}
	reachable := Reachable("bench-deaddead")
	if err := os.Mkdir(reachable, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(reachable)
	sweep(t)
	if exists(dead) {
		t.Error("a dead run without a lock was not swept")
	}
	if exists(reachable) {
		t.Errorf("%s was not swept with its run", reachable)
	}
	if !exists(filepath.Join(precious, "thesis")) {
		t.Error("the sweep followed a link")
	}
}

func TestSweepCgroups(t *testing.T) {
	needRoot(t)
	live := newRun(t)
	for _, name := range []string{live.ID, "bench-deaddead", "bench-notdead"} {
		group, err := cgroup.Create(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer group.Remove(context.Background())
	}
	sweep(t)
	for name, stays := range map[string]bool{live.ID: true, "bench-notdead": true, "bench-deaddead": false} {
		if left := groups(t, name); (len(left) > 0) != stays {
			t.Errorf("cgroups of %s: %q", name, left)
		}
	}
}

// TestCloseKeepsWhatIsMounted: the end of a run takes a mount away, not what
// it shows.
func TestCloseKeepsWhatIsMounted(t *testing.T) {
	needRoot(t)
	precious := t.TempDir()
	thesis := filepath.Join(precious, "thesis")
	if err := os.WriteFile(thesis, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	run := newRun(t)
	data := filepath.Join(run.Dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(precious, data, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	if err := run.Close(); err != nil {
		t.Fatal(err)
	}
	if exists(run.Dir) || !exists(thesis) {
		t.Errorf("the folder is there: %v; what was mounted in it: %v", exists(run.Dir), exists(thesis))
	}
}

func TestForeignFolderOfRuns(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bench")
	steps := []struct {
		name   string
		change func() error
		ok     bool
	}{
		{"nothing", func() error { return nil }, false},
		{"a file", func() error { return os.WriteFile(dir, nil, 0o600) }, false},
		{"a link", func() error { return errors.Join(os.Remove(dir), os.Symlink(t.TempDir(), dir)) }, false},
		{"a folder", func() error { return errors.Join(os.Remove(dir), os.Mkdir(dir, 0o700)) }, true},
		{"one that all may read", func() error { return os.Chmod(dir, 0o755) }, true},
		{"one that all may write", func() error { return os.Chmod(dir, 0o777) }, false},
	}
	for _, s := range steps {
		if err := s.change(); err != nil {
			t.Fatal(err)
		}
		if err := owned(dir); (err == nil) != s.ok {
			t.Errorf("%s: %v", s.name, err)
		}
	}
	if os.Geteuid() == 0 {
		if err := errors.Join(os.Chmod(dir, 0o700), os.Chown(dir, 65534, 65534)); err != nil {
			t.Fatal(err)
		}
		if err := owned(dir); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("somebody else's: %v", err)
		}
	}
}

func TestIsRunID(t *testing.T) {
	for name, want := range map[string]bool{
		"bench-abcdefgh": true, "bench-a2b3c4d7": true,
		"": false, "bench-": false, "bench-abcdefg": false, "bench-abcdefghi": false, "bench-ABCDEFGH": false,
		"bench-abcdefg1": false, "bench-abcdefg8": false, "bench-../../x": false, "xbench-abcdefgh": false, "bench-abc.defg": false,
	} {
		if got := isRunID(name); got != want {
			t.Errorf("isRunID(%q) = %v", name, got)
		}
	}
}

func TestNow(t *testing.T) {
	begin, at := time.Now(), Now()
	time.Sleep(10 * time.Millisecond)
	// Go's own clock is the same one: they differ by how long the calls take.
	if took, own := time.Duration(Now()-at), time.Since(begin); took < 10*time.Millisecond || took > own {
		t.Errorf("the clock went on by %v in %v", took, own)
	}
}
