package platform

import (
	"io"
	"strings"
	"testing"
	"time"
)

// TestLoopback: a container that only its own network reaches serves who enters that, and
// its control group's account is taken apart.
func TestLoopback(t *testing.T) {
	for _, name := range []string{"runc", "crun"} {
		t.Run(name, func(t *testing.T) {
			p, err := Find(name)
			if err != nil {
				t.Fatal(err)
			}
			prepared, _ := prepare(t, p, "serve", ":8080")
			i, err := prepared.Start(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := i.Stop(t.Context()); err != nil {
					t.Error(err)
				}
			}()
			if _, err := i.Output().Identity(t.Context()); err != nil {
				t.Fatal(err)
			}
			for begin := time.Now(); ; time.Sleep(time.Millisecond) { // it does not listen yet
				c, err := i.(Loopback).Dial(t.Context())
				if err != nil {
					if time.Since(begin) > 10*time.Second {
						t.Fatal(err)
					}
					continue
				}
				defer c.Close()
				if _, err := io.WriteString(c, "GET / HTTP/1.1\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
				if answer, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(answer), "ok\n") {
					t.Errorf("%q, %v", answer, err)
				}
				break
			}
			charged := i.(Charged)
			if parts, err := charged.CgroupParts(); err != nil || parts["cgroup_anon_bytes"] < 1<<20 {
				t.Errorf("its group is charged for %v, %v", parts, err)
			}
			if kills, err := charged.OutOfMemoryKills(); err != nil || kills != 0 {
				t.Errorf("%d of its processes were killed, %v", kills, err)
			}
		})
	}
}
