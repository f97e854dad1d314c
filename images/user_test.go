package images

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestResolveUser(t *testing.T) {
	passwd := []byte("root:x:0:0:root:/root:/bin/sh\nbroken\nalice:x:1000:100::/home/alice:/bin/sh\nodd:x:y:z:::\n")
	group := []byte("root:x:0:\nusers:x:100:alice\nwheel:x:10:root,alice\nodd:x:q:alice\n")
	for _, tt := range []struct {
		who, home, err string
		want           specs.User
	}{
		{"", "/root", "", specs.User{AdditionalGids: []uint32{10}}},
		{"root", "/root", "", specs.User{AdditionalGids: []uint32{10}}},
		{"alice", "/home/alice", "", specs.User{UID: 1000, GID: 100, AdditionalGids: []uint32{10}}},
		{"1000", "/home/alice", "", specs.User{UID: 1000, GID: 100, AdditionalGids: []uint32{10}}},
		{"alice:wheel", "/home/alice", "", specs.User{UID: 1000, GID: 10}},
		{"5", "/", "", specs.User{UID: 5}},
		{"5:7", "/", "", specs.User{UID: 5, GID: 7}},
		{"5:users", "/", "", specs.User{UID: 5, GID: 100}},
		{"bob", "", "user bob", specs.User{}},
		{"alice:staff", "", "group staff", specs.User{}},
		{"odd", "", "no numbers", specs.User{}},
		{"-1", "", "user -1", specs.User{}},
		{"4294967295", "", "user 4294967295", specs.User{}},
	} {
		u, home, err := ResolveUser(tt.who, passwd, group)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%q: error %v, want %q", tt.who, err, tt.err)
			}
			continue
		}
		if diff := cmp.Diff(tt.want, u); diff != "" || home != tt.home || err != nil {
			t.Errorf("%q: %s home %q, %v", tt.who, diff, home, err)
		}
	}
	if u, home, err := ResolveUser("", nil, nil); err != nil || u.UID != 0 || home != "/" {
		t.Errorf("an image without users: %+v %q %v", u, home, err)
	}
}

// TestImageFile: a file of an image is the topmost layer's, and no link leads out.
func TestImageFile(t *testing.T) {
	lower, upper := t.TempDir(), t.TempDir()
	for path, content := range map[string]string{lower + "/a": "lower", upper + "/a": "upper", lower + "/b": "lower"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/passwd", upper+"/link"); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{lower + "/etc", upper + "/etc", lower + "/gone"} {
		if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(dir+"/c", []byte("hidden"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	// A whiteout is one that an ordinary user may make, too, on a new kernel; as is
	// the attribute.
	if err := errors.Join(os.Remove(upper+"/etc/c"), unix.Setxattr(upper+"/etc", "user.overlay.opaque", []byte("y"), 0), unix.Mknod(upper+"/gone", unix.S_IFCHR, 0)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a": "upper", "b": "lower", "link": "", "missing": "", "etc/c": "", "gone/c": ""} {
		if got := string(ReadFile([]string{lower, upper}, name)); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
