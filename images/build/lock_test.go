package build

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func TestLockRoundTrip(t *testing.T) {
	file := filepath.Join(t.TempDir(), "new", "x.lock.json")
	if l, err := ReadLock(file); l != nil || err != nil {
		t.Fatalf("a lock that is not there: %v, %v", l, err)
	}
	want := &Lock{
		Recipe: "x", Digest: v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("ab", 32)},
		Platforms: map[string][]LockedLayer{"linux/amd64": {{
			Recipe: "x", Layer: 1, Wanted: []string{"hello"}, Date: time.Unix(1e9, 0).UTC(), Suites: []string{"Debian bookworm"},
			Packages: []LockedPackage{{Name: "hello", Version: "1:2~3", Architecture: "amd64", Archive: "Debian", Path: "pool/main/h/hello.deb", Size: 5, SHA256: strings.Repeat("cd", 32)}},
		}}},
	}
	if err := want.Write(file); err != nil {
		t.Fatal(err)
	}
	got, err := ReadLock(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestReadLockRefuses(t *testing.T) {
	good := `{"platforms": {"linux/amd64": [{"packages": [{"name": "p", "path": "pool/p.deb", "size": 1, "sha256": "` + strings.Repeat("0", 64) + `"}]}]}}`
	file := filepath.Join(t.TempDir(), "lock")
	for _, tt := range []struct{ old, new, want string }{
		{"", "", ""},
		{"}]}]}}", "", "reading the lock"},
		{"pool/p.deb", "../../etc/passwd", "is no path in a mirror"},
		{"pool/p.deb", "/etc/passwd", "is no path in a mirror"},
		{strings.Repeat("0", 64), "../../x", "is no SHA-256"},
		{`"size": 1`, `"size": -1`, "-1 bytes"},
	} {
		if err := os.WriteFile(file, []byte(strings.Replace(good, tt.old, tt.new, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := ReadLock(file)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("with %q: %v, want %q", tt.new, err, tt.want)
		}
	}
}

func TestFits(t *testing.T) {
	r := &Recipe{Name: "x"}
	parts := []part{{Layer: Layer{Packages: []string{"a"}}, recipe: r, number: 1}, {recipe: r, number: 2}}
	locked := []LockedLayer{{Recipe: "x", Layer: 1, Wanted: []string{"a"}}, {Recipe: "x", Layer: 2}}
	if !fits(locked, parts) {
		t.Error("a lock does not fit its own recipe")
	}
	for name, change := range map[string]func(l []LockedLayer) []LockedLayer{
		"a layer less":    func(l []LockedLayer) []LockedLayer { return l[:1] },
		"another package": func(l []LockedLayer) []LockedLayer { l[0].Wanted = []string{"b"}; return l },
		"another base":    func(l []LockedLayer) []LockedLayer { l[0].Recipe = "y"; return l },
		"without one":     func(l []LockedLayer) []LockedLayer { l[1].Without = []string{"c"}; return l },
	} {
		if fits(change([]LockedLayer{locked[0], locked[1]}), parts) {
			t.Errorf("%s, and the lock fits", name)
		}
	}
}
