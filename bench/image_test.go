package main

import (
	"testing"
	"time"
)

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
