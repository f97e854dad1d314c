package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vmctr/images"
)

// TestDamaged: an image that is not whole hides none of the others, and each
// command says what is wrong or goes on.
func TestDamaged(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("BENCH_CACHE", cache)
	store, err := openStore()
	if err != nil {
		t.Fatal(err)
	}
	var config, layer string // blobs of the image "bad"
	for _, name := range []string{"bad", "good"} {
		img, err := images.Workload([]byte("program of " + name))
		if err != nil {
			t.Fatal(err)
		}
		i, err := store.Put(t.Context(), name, img)
		if err != nil {
			t.Fatal(err)
		}
		m, err := i.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		if name == "bad" {
			config, layer = m.Config.Digest.Hex, m.Layers[1].Digest.Hex
		}
	}
	blob := func(hex string) string { return filepath.Join(cache, "images/oci/blobs/sha256", hex) }
	run := func(args ...string) (int, string) {
		t.Helper()
		var out bytes.Buffer
		code := bench(append([]string{"image"}, args...), &out, &out)
		return code, out.String()
	}
	expect := func(wantCode int, args []string, want ...string) {
		t.Helper()
		code, out := run(args...)
		if code != wantCode {
			t.Errorf("%q: exit code %d, want %d: %s", args, code, wantCode, out)
		}
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("%q: no %q in\n%s", args, w, out)
			}
		}
	}
	expect(0, []string{"verify"}, "bad:latest: ok\n", "good:latest: ok\n")

	whole, err := os.ReadFile(blob(layer))
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(whole)
	damaged[len(damaged)/2] ^= 1
	if err := os.WriteFile(blob(layer), damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	expect(1, []string{"verify"}, "bad:latest: ", layer, "good:latest: ok\n", "1 of 2 images are damaged")
	expect(0, []string{"verify", "good"}, "good:latest: ok\n")

	if err := os.Remove(blob(layer)); err != nil {
		t.Fatal(err)
	}
	expect(1, []string{"verify", "bad"}, "blob sha256:"+layer+" is missing")
	expect(0, []string{"ls"}, "good:latest")
	expect(0, []string{"inspect", "bad"}, `"stored": false`)

	if err := os.WriteFile(blob(config), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(0, []string{"ls"}, "bad:latest    unreadable", "good:latest", "1 of them cannot be read; bench image verify says why")
	expect(1, []string{"history", "bad"}, "bad:latest", "configuration")
	expect(1, []string{"layers"}, "bad:latest")
	expect(0, []string{"layers", "good"}, "good:latest")

	expect(0, []string{"rm", "bad"}, "removed the name bad")
	expect(0, []string{"prune"}, "freed ")
	expect(0, []string{"verify"}, "good:latest: ok\n")
}

func TestNearest(t *testing.T) {
	have := []string{"debian:12", "nginx:latest", "localhost:5000/team/app:2", "ab:latest"}
	for _, tt := range []struct{ name, want string }{
		{"debain", "debian:12"},
		{"debian:13", "debian:12"},
		{"nginx:1.25", "nginx:latest"},
		{"ngnx", "nginx:latest"},
		{"localhost:5000/team/app", "localhost:5000/team/app:2"},
		{"postgres", ""},
		{"xy", ""}, // two letters exchanged make a word of two letters of any other
		{"", ""},
	} {
		if got := nearest(tt.name, have); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestAgo(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		before time.Duration
		want   string
	}{
		{30 * time.Second, "just now"}, {-time.Hour, "just now"}, {5 * time.Minute, "5 minutes ago"}, {119 * time.Minute, "119 minutes ago"},
		{3 * time.Hour, "3 hours ago"}, {13 * 24 * time.Hour, "13 days ago"}, {15 * 24 * time.Hour, "2 weeks ago"}, {800 * 24 * time.Hour, "2 years ago"},
	} {
		at := now.Add(-tt.before)
		if got := ago(&at, now); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.before, got, tt.want)
		}
	}
	if created(time.Time{}) != nil || created(time.Unix(0, 0)) != nil || created(now) == nil {
		t.Error("a time that is none")
	}
}
