package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"vmctr/bench/embedded"
	"vmctr/report/result"
)

// TestNoRoot: without root the container is not available, and the reason is
// said; the process is measured all the same; the exit code tells that
// something is missing.
func TestNoRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		if required("root") {
			t.Fatal("BENCH_REQUIRE=root, and this is not root")
		}
		t.Skip("becomes another user: run as root (sudo scripts/test)")
	}
	if _, err := embedded.Workload(); err != nil {
		t.Skip(err)
	}
	// Not t.TempDir: no other user can enter that.
	dir, err := os.MkdirTemp("", "bench-noroot-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	const nobody = 65534
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(filepath.Join(dir, "home"), 0o700), os.Chown(filepath.Join(dir, "home"), nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	bench := filepath.Join(dir, "bench")
	copyFile(t, bench)
	home := filepath.Join(dir, "home")
	cmd := exec.Command(bench, "all", "--platforms", "process,container", "--experiments", "startup", "--rounds", "6", "--out", "out")
	cmd.Dir = home
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "XDG_RUNTIME_DIR=" + home}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != exitFailed {
		t.Errorf("ended with %v, want status %d", err, exitFailed)
	}
	if want := "not every platform was measured: container (unavailable)"; !strings.Contains(stderr.String(), want) {
		t.Errorf("standard error lacks %q:\n%s", want, &stderr)
	}
	if !strings.Contains(stdout.String(), "root") {
		t.Errorf("the table does not say that root is needed:\n%s", &stdout)
	}
	run, err := result.Read(filepath.Join(home, "out"))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(run.Values("startup", "process", "first_instruction_ns")); n != 6 {
		t.Errorf("%d samples of the process, want 6", n)
	}
	for _, p := range run.Platforms {
		if p.Name == "container" && (p.Status != result.Unavailable || !strings.Contains(p.Reason, "root") || p.Fix == "") {
			t.Errorf("the journal on the container: %+v", p)
		}
	}
	if _, err := os.Stat(filepath.Join(home, "out", "report.pdf")); err != nil {
		t.Error(err)
	}
}

// TestDoctorNoRoot: an ordinary user is told what their containers cannot have,
// and what would help.
func TestDoctorNoRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		if required("root") {
			t.Fatal("BENCH_REQUIRE=root, and this is not root")
		}
		t.Skip("becomes another user: run as root (sudo scripts/test)")
	}
	dir, err := os.MkdirTemp("", "bench-noroot-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	const nobody = 65534
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chown(dir, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	bench := filepath.Join(dir, "bench")
	copyFile(t, bench)
	cmd := exec.Command(bench, "doctor")
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "XDG_RUNTIME_DIR=" + dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, _ := cmd.CombinedOutput() // it fails, since not all can be measured
	for _, want := range []string{"rootless         bench-oci makes containers for this user", "limits: ", "systemd-run --user", "network: loopback alone"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("it does not say %q", want)
		}
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
}

// copyFile puts this program where another user can run it; under the name
// bench it is bench (see TestMain).
func copyFile(t *testing.T, to string) {
	t.Helper()
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	f, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(f, self)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}
