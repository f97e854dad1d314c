package build

import (
	"strings"
	"testing"
)

func TestAccounts(t *testing.T) {
	a := accounts{"root:x:0:0:root:/root:/bin/bash\n", "root:x:0:\ntty:x:5:\nadm:x:4:syslog\n"}
	if err := a.add(User{Name: "redis", ID: 999, Home: "/data", Groups: []string{"tty", "adm"}}); err != nil {
		t.Fatal(err)
	}
	if err := a.add(User{Name: "bob", ID: 1000, Shell: "/bin/sh"}); err != nil {
		t.Fatal(err)
	}
	if want := "root:x:0:0:root:/root:/bin/bash\nredis:x:999:999::/data:/usr/sbin/nologin\nbob:x:1000:1000::/nonexistent:/bin/sh\n"; a.passwd != want {
		t.Errorf("/etc/passwd:\n%s", a.passwd)
	}
	if want := "root:x:0:\ntty:x:5:redis\nadm:x:4:syslog,redis\nredis:x:999:\nbob:x:1000:\n"; a.group != want {
		t.Errorf("/etc/group:\n%s", a.group)
	}
	for _, tt := range []struct {
		user User
		want string
	}{
		{User{Name: "redis", ID: 5000}, "has"},
		{User{Name: "other", ID: 999}, "has"},
		{User{Name: "alice", ID: 1001, Groups: []string{"wheel"}}, "no group wheel"},
	} {
		if err := a.add(tt.user); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("adding %+v: %v, want %q", tt.user, err, tt.want)
		}
	}
	for owner, want := range map[string][2]int{"": {0, 0}, "redis": {999, 999}, "root:adm": {0, 4}} {
		if uid, gid, err := a.find(owner); err != nil || uid != want[0] || gid != want[1] {
			t.Errorf("find(%q) = %d, %d, %v", owner, uid, gid, err)
		}
	}
	for _, owner := range []string{"nobody", "root:nogroup", "0"} {
		if uid, gid, err := a.find(owner); err == nil {
			t.Errorf("find(%q) = %d, %d", owner, uid, gid)
		}
	}
}
