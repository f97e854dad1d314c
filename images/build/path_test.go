package build

import "testing"

func TestPlace(t *testing.T) {
	for _, tt := range []struct{ name, where, link string }{
		{"./usr/bin/x", "usr/bin/x", ""},
		{"./bin/x", "usr/bin/x", "bin"},
		{"./bin/", "usr/bin", "bin"},
		{"/lib64/ld.so", "usr/lib64/ld.so", "lib64"},
		{"lib/x86_64-linux-gnu/libc.so.6", "usr/lib/x86_64-linux-gnu/libc.so.6", "lib"},
		{"./var/run/x/pid", "run/x/pid", "var/run"},
		{"./var/lock", "run/lock", "var/lock"},
		{"./library/x", "library/x", ""},
		{"./", "", ""},
	} {
		where, link, err := place(tt.name)
		if err != nil || where != tt.where || link != tt.link {
			t.Errorf("place(%q) = %q, %q, %v; want %q, %q", tt.name, where, link, err, tt.where, tt.link)
		}
	}
	for _, bad := range []string{"../x", "./a/../../b", "a/.."} {
		if where, _, err := place(bad); err == nil {
			t.Errorf("place(%q) = %q", bad, where)
		}
	}
}

func TestRelative(t *testing.T) {
	for _, tt := range []struct{ from, to, want string }{
		{"bin", "usr/bin", "usr/bin"},
		{"var/lock", "run/lock", "../run/lock"},
	} {
		if got := relative(tt.from, tt.to); got != tt.want {
			t.Errorf("relative(%q, %q) = %q, want %q", tt.from, tt.to, got, tt.want)
		}
	}
}

func TestLeftOut(t *testing.T) {
	p := part{exclude: []string{"/usr/share/doc/*", "/usr/share/man/??/*", "/opt"}, include: []string{"/usr/share/doc/*/copyright"}}
	for name, want := range map[string]bool{
		"usr/share/doc":               false,
		"usr/share/doc/a":             true,
		"usr/share/doc/a/b/c":         true,
		"usr/share/doc/a/copyright":   false,
		"usr/share/doc/a/b/copyright": false,
		"usr/share/doc/copyright":     true,
		"usr/share/man/de/x":          true,
		"usr/share/man/man1/x":        false,
		"opt":                         true,
		"opt/x":                       false,
	} {
		if got := p.leftOut(name); got != want {
			t.Errorf("leftOut(%q) = %v", name, got)
		}
	}
}
