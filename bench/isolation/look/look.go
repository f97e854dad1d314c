// Package look looks around: what a program sees of the system that it is in, and what it
// may do there. The program inside an instance and bench itself look with the same code,
// so that what they see can be set side by side.
//
// Looking changes nothing: it reads files and asks the kernel. What is tried out is in
// package bench/isolation/calls.
package look

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"vmctr/bench/isolation/errno"
	"vmctr/report/result/isolation"
)

// A System is what is looked at: this one, if Root is "". Tests have another folder with
// a proc, a sys, an etc and a dev.
type System struct{ Root string }

// looker collects what is seen.
type looker struct {
	System
	boot string
	seen []isolation.Seen
}

// Around looks at everything of isolation.Facts.
func (s System) Around() []isolation.Seen {
	l := &looker{System: s}
	l.boot = s.BootID()
	l.processes()
	l.mounts()
	l.network()
	l.users()
	l.kernel()
	l.resources()
	l.files()
	l.others()
	return l.seen
}

// BootID names the kernel that runs.
func (s System) BootID() string {
	id, _ := s.read("/proc/sys/kernel/random/boot_id")
	return id
}

// add notes a thing. What names it is unique in its kernel.
func (l *looker) add(fact, text, name string) {
	s := isolation.Seen{Fact: fact, Text: clip(text)}
	if text != "" {
		s.Key = l.boot + " " + name
	}
	l.seen = append(l.seen, s)
}

// shut notes that it could not be seen.
func (l *looker) shut(fact string, err error) {
	s := isolation.Seen{Fact: fact}
	if err != nil && !os.IsNotExist(err) {
		s.Shut = errno.Name(err)
	}
	l.seen = append(l.seen, s)
}

// clip keeps a text short enough for a journal.
func clip(s string) string {
	const most = 600
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "..."
	}
	return s
}

func (s System) path(p string) string { return filepath.Join("/", s.Root, p) }

func (s System) read(p string) (string, error) {
	b, err := os.ReadFile(s.path(p))
	return strings.TrimSpace(string(b)), err
}

// namespace is the name of the program's own: "net:[4026531840]" (namespaces(7)).
func (s System) namespace(typ string) string {
	link, _ := os.Readlink(s.path("/proc/self/ns/" + typ))
	return link
}

// Namespaces are the numbers of the program's own, by type.
func (s System) Namespaces() map[string]uint64 { return s.namespaces("self") }

// NamespacesOf are those of another process of this system.
func NamespacesOf(pid int) map[string]uint64 { return System{}.namespaces(strconv.Itoa(pid)) }

func (s System) namespaces(process string) map[string]uint64 {
	all := map[string]uint64{}
	for _, typ := range []string{"pid", "mnt", "net", "uts", "ipc", "user", "cgroup", "time"} {
		// The link reads "pid:[4026531836]" (namespaces(7)).
		link, _ := os.Readlink(s.path("/proc/" + process + "/ns/" + typ))
		_, number, _ := strings.Cut(link, ":[")
		if n, err := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 64); err == nil {
			all[typ] = n
		}
	}
	return all
}

// Report is what the program inside tells when it has looked around.
type Report struct {
	BootID     string
	Namespaces map[string]uint64
	Seen       []isolation.Seen
}

// Report looks around.
func (s System) Report() Report { return Report{s.BootID(), s.Namespaces(), s.Around()} }

func (s System) names(dir string) ([]string, error) {
	entries, err := os.ReadDir(s.path(dir))
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all, err
}

func isPID(name string) bool { return name != "" && strings.Trim(name, "0123456789") == "" }

func (l *looker) processes() {
	// Fields are counted from behind the name, which is in brackets and can hold any
	// character: 22 is when the process was started, in ticks since the boot.
	stat, err := l.read("/proc/1/stat")
	_, rest, _ := strings.Cut(stat, "(")
	name, rest := cutLast(rest, ")")
	fields := strings.Fields(rest)
	first := ""
	if len(fields) > 19 {
		first = "process 1 " + fields[19]
		l.add("pid 1", name, first)
	} else {
		l.shut("pid 1", err)
	}
	all, err := l.names("/proc")
	n := len(slices.DeleteFunc(all, func(name string) bool { return !isPID(name) }))
	if n == 0 {
		l.shut("processes", err)
	} else {
		l.add("processes", strconv.Itoa(n), first)
	}
	l.add("pid", strconv.Itoa(os.Getpid()), fmt.Sprint(l.namespace("pid"), " ", os.Getpid()))
}

func cutLast(s, sep string) (before, after string) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):]
	}
	return s, ""
}

// A mount is a line of mountinfo.
type mount struct{ id, root, at, typ string }

func (s System) mountinfo() (all []mount, err error) {
	text, err := s.read("/proc/self/mountinfo")
	for line := range strings.Lines(text) {
		before, after, _ := strings.Cut(line, " - ")
		f, g := strings.Fields(before), strings.Fields(after)
		if len(f) > 4 && len(g) > 0 {
			all = append(all, mount{f[0], f[3], unescape(f[4]), g[0]})
		}
	}
	return all, err
}

// unescape undoes what mountinfo does to spaces.
func unescape(s string) string { return strings.ReplaceAll(s, `\040`, " ") }

func (l *looker) mounts() {
	all, err := l.mountinfo()
	if len(all) == 0 {
		l.shut("mounts", err)
		l.shut("root", err)
		return
	}
	types := map[string]int{}
	root := mount{}
	for _, m := range all {
		types[m.typ]++
		if m.at == "/" {
			root = m // the last one is on top
		}
	}
	l.add("mounts", fmt.Sprintf("%d: %s", len(all), counted(types)), l.namespace("mnt"))
	l.add("root", root.typ, "mount "+root.id)
}

// counted lists names with how often they came, the most frequent first.
func counted(n map[string]int) string {
	var names []string
	for name := range n {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := n[b] - n[a]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	for i, name := range names {
		if n[name] > 1 {
			names[i] = fmt.Sprintf("%d %s", n[name], name)
		}
	}
	return strings.Join(names, ", ")
}

func (l *looker) network() {
	var parts []string
	var err error
	if l.Root == "" {
		var all []net.Interface
		all, err = net.Interfaces()
		for _, i := range all {
			text := i.Name
			addresses, _ := i.Addrs()
			for _, a := range addresses {
				text += " " + a.String()
			}
			parts = append(parts, text)
		}
	}
	if len(parts) == 0 {
		var text string
		text, err = l.read("/proc/net/dev")
		for line := range strings.Lines(text) {
			if name, _, ok := strings.Cut(line, ":"); ok {
				parts = append(parts, strings.TrimSpace(name))
			}
		}
	}
	if len(parts) == 0 {
		l.shut("interfaces", err)
		return
	}
	l.add("interfaces", strings.Join(parts, ", "), l.namespace("net"))
}

func (l *looker) users() {
	uid := os.Getuid()
	text, err := l.read("/proc/self/uid_map")
	outside, known := mapped(text, uid)
	who := strconv.Itoa(uid)
	if known && outside != uid {
		who = fmt.Sprintf("%d, outside %d", uid, outside)
	}
	l.add("user", who, "user "+strconv.Itoa(outside))
	if text == "" {
		l.shut("uid map", err)
	} else {
		l.add("uid map", lines(text), l.namespace("user"))
	}
	passwd, err := l.read("/etc/passwd")
	var names []string
	for line := range strings.Lines(passwd) {
		if name, _, ok := strings.Cut(line, ":"); ok {
			names = append(names, name)
		}
	}
	var st unix.Stat_t
	if len(names) == 0 || unix.Stat(l.path("/etc/passwd"), &st) != nil {
		l.shut("accounts", err)
		return
	}
	l.add("accounts", fmt.Sprintf("%d: %s", len(names), strings.Join(names, ", ")), fmt.Sprint("file ", st.Dev, " ", st.Ino))
}

// mapped is the number of a user outside of the program's user namespace.
func mapped(uidMap string, uid int) (outside int, ok bool) {
	for line := range strings.Lines(uidMap) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		in, _ := strconv.Atoi(f[0])
		out, _ := strconv.Atoi(f[1])
		size, _ := strconv.Atoi(f[2])
		if uid >= in && uid-in < size {
			return out + uid - in, true
		}
	}
	return uid, false
}

// lines puts lines into one.
func lines(text string) string {
	var all []string
	for line := range strings.Lines(text) {
		all = append(all, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(all, "; ")
}
