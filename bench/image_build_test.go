package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"vmctr/images"
	"vmctr/images/build"
	"vmctr/images/recipes"
	"vmctr/report/result"
)

// program is a command for a container of an image, and what it prints.
type program struct {
	args []string
	want string
}

// programs show that the images that serve nothing work; those that do are asked
// whether they are ready, and then as a client of theirs does.
var programs = map[string]program{
	"busybox": {[]string{"sh", "-c", "echo hello | tr a-z A-Z; id"}, "HELLO\nuid=0(root) gid=0(root)"},
	"debian":  {[]string{"sh", "-c", "dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' coreutils; dpkg --audit; . /etc/os-release; echo $ID; echo a b | awk '{print $2}'"}, "ii coreutils\ndebian\nb\n"},
	"python":  {[]string{"python", "-c", "import ssl, sqlite3; print('hello', 6 * 7)"}, "hello 42\n"},
	"node":    {[]string{"node", "-e", "console.log('hello', 6 * 7)"}, "hello 42\n"},
	"golang": {[]string{"bash", "-c", `cat >x.go <<END
package main
import ("fmt"; "net/http")
func main() { fmt.Println("hello", http.StatusOK) }
END
go run x.go`}, "hello 200\n"},
	"eclipse-temurin": {[]string{"bash", "-c", `cd /tmp; cat >X.java <<END
class X { public static void main(String[] a) { System.out.println("hello " + 6 * 7); } }
END
javac X.java && java X`}, "hello 42\n"},
	"redis":    {[]string{"redis-cli", "incr", "x"}, "1\n"},
	"postgres": {[]string{"psql", "-h", "127.0.0.1", "-U", "postgres", "-tAc", "select 6 * 7"}, "42\n"},
	"mysql":    {[]string{"mariadb", "-h", "127.0.0.1", "-u", "root", "-Ne", "select 6 * 7"}, "42\n"},
}

// TestRecipes builds images of bench's recipes, of Debian's packages, and runs
// them: four of them, or with BENCH_RECIPES=all (scripts/test images) all.
func TestRecipes(t *testing.T) {
	names := []string{"busybox", "debian", "nginx", "redis"}
	if os.Getenv("BENCH_RECIPES") == "all" {
		names = build.Names(recipes.FS)
	}
	store := buildRecipes(t, names)
	t.Run("again", func(t *testing.T) { buildAgain(t, store, names) })
	t.Run("arm64", func(t *testing.T) { buildForARM(t) })
	t.Run("applications", func(t *testing.T) { measureApplications(t, slices.Contains(names, "postgres")) })
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			img, err := store.Image(name, v1.Platform{})
			if err != nil {
				t.Fatal(err)
			}
			if below := img.DiffIDs()[0]; name != "debian" && len(img.DiffIDs()) > 1 {
				debian, err := store.Image("debian", v1.Platform{})
				if err != nil || debian.DiffIDs()[0] != below {
					t.Errorf("its base is %s, and not the image debian: %v", below, err)
				}
			}
			needContainers(t)
			ready, serves, err := images.ReadyOf(img.Config.Config)
			if err != nil {
				t.Fatal(err)
			}
			p, ok := programs[name]
			switch {
			case serves:
				serve(t, name, ready, p)
			case ok:
				out, stderr, code := benchRun(t, append([]string{name}, p.args...)...)
				if code != 0 || !strings.HasPrefix(out, p.want) {
					t.Errorf("exit code %d, output %q, want %q\n%s", code, out, p.want, stderr)
				}
			case name != "scratch":
				t.Error("nothing shows that it works")
			}
		})
	}
}

// buildRecipes builds recipes into a store of the test's own; what is downloaded
// is kept in the user's cache.
func buildRecipes(t *testing.T, names []string) *images.Store {
	t.Helper()
	downloads := cacheDir()
	cache := t.TempDir()
	t.Setenv("BENCH_CACHE", cache)
	for _, dir := range []string{"apt", "debs"} {
		err := os.MkdirAll(filepath.Join(downloads, dir), 0o755)
		if err = errors.Join(err, os.Symlink(filepath.Join(downloads, dir), filepath.Join(cache, dir))); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	var out, stderr bytes.Buffer
	err := (&imageBuildCommand{Recipes: names}).run(ctx, streams{&out, &stderr})
	if errors.Is(err, build.ErrUnavailable) && !required("apt") {
		t.Skipf("builds images of Debian's packages: %v", err)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	for _, name := range names {
		if !strings.Contains("\n"+out.String(), "\n"+name+":latest sha256:") {
			t.Errorf("it does not say that it built %s:\n%s", name, out.String())
		}
	}
	store, err := openStore()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// measureApplications measures those images that were built, in a container. Without the
// means to build the others, the run says so of them.
func measureApplications(t *testing.T, postgres bool) {
	needContainers(t)
	if !postgres {
		t.Setenv("PATH", "") // no apt
	}
	out := filepath.Join(t.TempDir(), "out")
	var stdout, stderr bytes.Buffer
	if code := bench([]string{"all", "--platforms", "container", "--experiments", "applications", "--rounds", "1", "--out", out}, &stdout, &stderr); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, &stderr)
	}
	run, err := result.Read(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"redis", "nginx", "postgres"} {
		values := run.ValuesOf(result.Key{Experiment: "applications", Platform: "container", Series: name}, "answer_ns")
		noted := slices.ContainsFunc(run.Notes, func(n result.Note) bool {
			return n.Experiment == "applications" && n.Series == name && strings.Contains(n.Text, "its image cannot be built")
		})
		if missing := name == "postgres" && !postgres; missing != noted || missing != (len(values) == 0) {
			t.Errorf("%s: answers after %v, missing: %v, want %v\n%s", name, values, noted, missing, &stderr)
		}
		for _, v := range values {
			if v < 1e5 || v > 60e9 {
				t.Errorf("%s answers after %v ns", name, v)
			}
		}
	}
}

// buildAgain builds from the locks in another place, under another umask, with
// other folders for what is temporary: the images are the same, bit for bit.
func buildAgain(t *testing.T, store *images.Store, names []string) {
	names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n != "busybox" && n != "redis" })
	first := cacheDir()
	second := t.TempDir()
	for _, dir := range []string{"debs", "locks"} {
		if err := os.Symlink(filepath.Join(first, dir), filepath.Join(second, dir)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("BENCH_CACHE", second)
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("TZ", "Asia/Tokyo")
	t.Setenv("PATH", "") // no apt: the lock and the cache have all
	defer syscall.Umask(syscall.Umask(0o077))
	var out, stderr bytes.Buffer
	if err := (&imageBuildCommand{Recipes: names}).run(t.Context(), streams{&out, &stderr}); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	for _, name := range names {
		img, err := store.Image(name, v1.Platform{})
		if err != nil {
			t.Fatal(err)
		}
		if want := name + ":latest " + img.Digest + "\n"; !strings.Contains(out.String(), want) {
			t.Errorf("it was %s, and now is another:\n%s", want, out.String())
		}
	}
}

// buildForARM builds for a processor that the host is not.
func buildForARM(t *testing.T) {
	var out, stderr bytes.Buffer
	cmd := &imageBuildCommand{Recipes: []string{"busybox"}, Platform: []string{"linux/arm64", "linux/amd64"}, Name: "two"}
	if err := cmd.run(t.Context(), streams{&out, &stderr}); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	store, err := openStore()
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for arch, machine := range map[string]byte{"arm64": 183, "amd64": 62} { // elf(5), e_machine
		img, err := store.Image("two", v1.Platform{OS: "linux", Architecture: arch})
		if err != nil {
			t.Fatal(err)
		}
		dirs, err := img.Unpack(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(dirs[0], "usr/bin/busybox"))
		if err != nil || len(b) < 20 || b[18] != machine {
			t.Errorf("busybox for %s: %v, ELF header % x", arch, err, b[:min(20, len(b))])
		}
	}
}

// serve starts a container, waits until it is ready, and asks it something.
func serve(t *testing.T, name string, ready images.Ready, client program) {
	port := freePort(t)
	container := "bench-test-" + name
	cmd := exec.Command("bench", "run", "--name", container, "-p", fmt.Sprintf("127.0.0.1:%d:%d", port, ready.Port), name)
	out := &output{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			cmd.Process.Kill()
			t.Errorf("it does not end:\n%s", out)
		}
		if _, stderr, code := benchClean(t); code != 0 {
			t.Error(stderr)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	published := ready
	published.Port = port
	for {
		err := published.Probe(ctx, "127.0.0.1")
		if err == nil && strings.Contains(out.String(), ready.Line) {
			break
		}
		select {
		case e := <-ended:
			ended <- e
			t.Fatalf("it ended before it was ready: %v\n%s", e, out)
		case <-ctx.Done():
			t.Fatalf("it is not ready after a minute: %v\n%s", err, out)
		case <-time.After(100 * time.Millisecond):
		}
	}
	if len(client.args) > 0 {
		args := append([]string{"--userns", "host", "--network", "container:" + container, name}, client.args...)
		if got, stderr, code := benchRun(t, args...); code != 0 || got != client.want {
			t.Errorf("%q: exit code %d, output %q, want %q\n%s\n%s", client.args, code, got, client.want, stderr, out)
		}
	}
}

// output is what a program prints, to be looked at while it runs.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// freePort is a port of the host that nobody listens at.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestImageBuildRefuses(t *testing.T) {
	t.Setenv("BENCH_CACHE", t.TempDir())
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("from: scratch\nlayer: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		want string
		code int
	}{
		{[]string{"ubuntu"}, `there is no recipe "ubuntu"; there are busybox, debian`, exitFailed},
		{[]string{"./none.yaml"}, "opening the recipe: stat ./none.yaml", exitFailed},
		{[]string{"./recipe"}, "a recipe is a file NAME.yaml", exitFailed},
		{[]string{bad}, "field layer not found", exitFailed},
		{[]string{"--platform", "a/b/c/d", "scratch"}, "is no platform", exitUsage},
		{[]string{"--platform", "windows/amd64", "scratch"}, "no packages of Debian's are for windows/amd64", exitFailed},
		{[]string{"--name", "x", "scratch", "busybox"}, "are of one recipe", exitUsage},
		{[]string{"--sources", "/nonexistent", "scratch"}, "--sources: stat /nonexistent", exitFailed},
	} {
		var out, stderr bytes.Buffer
		code := bench(append([]string{"image", "build"}, tt.args...), &out, &stderr)
		if code != tt.code || !strings.Contains(stderr.String(), tt.want) {
			t.Errorf("%q: exit code %d, %q; want %d, %q", tt.args, code, stderr.String(), tt.code, tt.want)
		}
	}
}

// TestRunWithoutImage: who runs an image that is not there yet learns how to make
// it, if there is a recipe.
func TestRunWithoutImage(t *testing.T) {
	t.Setenv("BENCH_CACHE", t.TempDir())
	for name, want := range map[string]string{
		"redis": "bench image build redis makes it", "redis:latest": "bench image build redis makes it", "redis:6": "bench image pull, build or import brings one",
	} {
		if _, stderr, code := benchRun(t, name); code != exitRun || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit code %d, %q, want %q", name, code, stderr, want)
		}
	}
}

// TestImageBuildOwn builds a recipe of the user's, which needs no packages.
func TestImageBuildOwn(t *testing.T) {
	t.Setenv("BENCH_CACHE", t.TempDir())
	dir := t.TempDir()
	for name, content := range map[string]string{
		"own.yaml": "from: scratch\nlayers:\n  - files:\n      /etc/x: {source: x}\nconfig: {cmd: [/x]}\n", "x": "content",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out, stderr bytes.Buffer
	if code := bench([]string{"image", "build", "--name", "lab:1", filepath.Join(dir, "own.yaml")}, &out, &stderr); code != 0 {
		t.Fatal(stderr.String())
	}
	if !strings.HasPrefix(out.String(), "lab:1 sha256:") {
		t.Errorf("output %q", out.String())
	}
	if _, err := os.Stat(filepath.Join(dir, "own.lock.json")); err != nil {
		t.Error("no lock beside the recipe: ", err)
	}
	store, err := openStore()
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	img, err := store.Image("lab:1", v1.Platform{})
	if err != nil {
		t.Fatal(err)
	}
	dirs, err := img.Unpack(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(dirs[0], "etc/x")); string(b) != "content" {
		t.Errorf("/etc/x holds %q, %v", b, err)
	}
}
