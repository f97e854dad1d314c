package build

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// accounts are the files in which a system keeps who there is: passwd(5) and
// group(5). There is no /etc/shadow: nobody has a password.
type accounts struct{ passwd, group string }

// add makes a user, and a group of the same name and number, as adduser
// --system --group does.
func (a *accounts) add(u User) error {
	home, shell := u.Home, u.Shell
	if home == "" {
		home = "/nonexistent"
	}
	if shell == "" {
		shell = "/usr/sbin/nologin"
	}
	for file, text := range map[string]string{"passwd": a.passwd, "group": a.group} {
		for line := range strings.Lines(text) {
			f := strings.Split(line, ":")
			if len(f) > 2 && (f[0] == u.Name || f[2] == strconv.Itoa(int(u.ID))) {
				return fmt.Errorf("user %s, number %d: /etc/%s has %q already", u.Name, u.ID, file, strings.TrimSpace(line))
			}
		}
	}
	a.passwd += fmt.Sprintf("%s:x:%d:%d::%s:%s\n", u.Name, u.ID, u.ID, home, shell)
	a.group += fmt.Sprintf("%s:x:%d:\n", u.Name, u.ID)
	for _, g := range u.Groups {
		if err := a.join(u.Name, g); err != nil {
			return err
		}
	}
	return nil
}

// join makes a user a member of a group.
func (a *accounts) join(user, group string) error {
	lines := slices.Collect(strings.Lines(a.group))
	for i, line := range lines {
		if !strings.HasPrefix(line, group+":") {
			continue
		}
		line = strings.TrimSuffix(line, "\n")
		if !strings.HasSuffix(line, ":") {
			line += ","
		}
		lines[i] = line + user + "\n"
		a.group = strings.Join(lines, "")
		return nil
	}
	return fmt.Errorf("user %s: there is no group %s to be in", user, group)
}

// find gives the numbers of USER[:GROUP]; without a group it is the user's.
func (a accounts) find(owner string) (uid, gid int, err error) {
	if owner == "" {
		return 0, 0, nil
	}
	user, group, hasGroup := strings.Cut(owner, ":")
	if uid, gid, err = number(a.passwd, user); err != nil {
		return 0, 0, fmt.Errorf("owner %s: /etc/passwd: %w", owner, err)
	}
	if hasGroup {
		if gid, _, err = number(a.group, group); err != nil {
			return 0, 0, fmt.Errorf("owner %s: /etc/group: %w", owner, err)
		}
	}
	return uid, gid, nil
}

// number finds the third field of the line of a name, and the fourth if it is a
// number.
func number(file, name string) (third, fourth int, err error) {
	for line := range strings.Lines(file) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) < 4 || f[0] != name {
			continue
		}
		if third, err = strconv.Atoi(f[2]); err != nil {
			return 0, 0, fmt.Errorf("its line %q has no number", strings.TrimSpace(line))
		}
		fourth, _ = strconv.Atoi(f[3])
		return third, fourth, nil
	}
	return 0, 0, fmt.Errorf("it has no %s", name)
}
