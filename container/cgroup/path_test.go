package cgroup

import (
	"strings"
	"testing"
)

func TestPath(t *testing.T) {
	for in, want := range map[string]string{
		"/a/b":                           "/a/b",
		"a":                              "/a",
		"a//b/../c/":                     "/a/c",
		"/../../a":                       "/a",
		"system.slice:docker:abc":        "/system.slice/docker-abc.scope",
		":docker:abc":                    "/system.slice/docker-abc.scope",
		"system.slice::abc":              "/system.slice/abc.scope",
		"user-1000.slice:libpod:abc":     "/user.slice/user-1000.slice/libpod-abc.scope",
		"a-b-c.slice:x:y":                "/a.slice/a-b.slice/a-b-c.slice/x-y.scope",
		"-.slice:x:y":                    "/x-y.scope",
		"machine.slice:x:kubepods.slice": "/machine.slice/kubepods.slice",
		"/kubepods/besteffort/a:b:c":     "/kubepods/besteffort/a:b:c",
		"a:b":                            "/a:b",
		"a:b:c:d":                        "/a:b:c:d",
	} {
		if got, err := Path(in); got != want || err != nil {
			t.Errorf("%q: %q, %v, want %q", in, got, err, want)
		}
	}
	for in, want := range map[string]string{
		"":                "root of the hierarchy",
		"/":               "root of the hierarchy",
		"a/..":            "root of the hierarchy",
		"system:docker:a": `"system" is not the name of a slice`,
		"a--b.slice:x:y":  "not the name of a slice",
		".slice:x:y":      "not the name of a slice",
		"-a.slice:x:y":    "not the name of a slice",
		"a.slice:x:":      "the name, is empty",
	} {
		if got, err := Path(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q, %v, want %q", in, got, err, want)
		}
	}
}

func FuzzPath(f *testing.F) {
	f.Add("a-b.slice:x:y")
	f.Add("/a/../b")
	f.Fuzz(func(t *testing.T, in string) {
		got, err := Path(in)
		if err == nil && (len(got) < 2 || got[0] != '/' || strings.HasSuffix(got, "/") || strings.Contains(got+"/", "/../")) {
			t.Errorf("%q: %q", in, got)
		}
	})
}
