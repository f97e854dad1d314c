package cgroup

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Devices, linux.resources.devices (config-linux.md, "Allowed Device list").
//
// The list is applied in order to a group that may use nothing: for each kind
// of access to a device, the last rule that speaks of it decides. So that a
// container can live, what every runtime allows is appended to a list that is
// given: [DefaultDevices]. Without a list, devices are not restricted.

// DefaultDevices are the rules that runc and Docker end every list with: a
// device may be made, though not used, and those of a container's /dev used.
func DefaultDevices() []specs.LinuxDeviceCgroup {
	n := func(i int64) *int64 { return &i }
	rules := []specs.LinuxDeviceCgroup{
		{Allow: true, Type: "c", Access: "m"},
		{Allow: true, Type: "b", Access: "m"},
	}
	for _, d := range []struct{ major, minor int64 }{
		{1, 3}, // null
		{1, 5}, // zero
		{1, 7}, // full
		{1, 8}, // random
		{1, 9}, // urandom
		{5, 0}, // tty
		{5, 2}, // ptmx
	} {
		rules = append(rules, specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: n(d.major), Minor: n(d.minor), Access: "rwm"})
	}
	return append(rules, specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: n(136), Access: "rwm"}) // pts/*
}

// The kinds of access, as BPF_DEVCG_ACC_* numbers them.
const (
	mknod = 1 << iota
	readDevice
	writeDevice
	anyAccess = mknod | readDevice | writeDevice
)

// The types of a device, as BPF_DEVCG_DEV_* numbers them.
const (
	anyType = iota
	block
	char
)

const (
	anyNumber = -1
	maxDevice = math.MaxInt32 // far above what the kernel has: 12 bits and 20
)

// A rule is one entry of the list.
type rule struct {
	allow        bool
	kind         int
	major, minor int64
	access       int
}

func (r rule) all() bool {
	return r.kind == anyType && r.major == anyNumber && r.minor == anyNumber && r.access == anyAccess
}

func parseRule(d specs.LinuxDeviceCgroup) (rule, error) {
	r := rule{allow: d.Allow, major: anyNumber, minor: anyNumber, access: anyAccess}
	switch d.Type {
	case "", "a":
	case "b":
		r.kind = block
	case "c", "u":
		r.kind = char
	default:
		return r, fmt.Errorf("type: %q is none of a, b and c", d.Type)
	}
	for _, n := range []struct {
		field string
		from  *int64
		to    *int64
	}{{"major", d.Major, &r.major}, {"minor", d.Minor, &r.minor}} {
		if n.from == nil {
			continue
		}
		if *n.from < -1 || *n.from > maxDevice {
			return r, fmt.Errorf("%s: %d is no number of a device", n.field, *n.from)
		}
		*n.to = *n.from // -1 is any
	}
	if d.Access != "" {
		r.access = 0
		for _, c := range d.Access {
			i := strings.IndexRune("mrw", c)
			if i < 0 {
				return r, fmt.Errorf("access: %q is not made of r, w and m", d.Access)
			}
			r.access |= 1 << i
		}
	}
	return r, nil
}

// rules are a list and the default ones, nil if there is no list.
func rules(list []specs.LinuxDeviceCgroup) ([]rule, error) {
	if len(list) == 0 {
		return nil, nil
	}
	var all []rule
	for i, d := range list {
		r, err := parseRule(d)
		if err != nil {
			return nil, fmt.Errorf("devices[%d].%w", i, err)
		}
		all = append(all, r)
	}
	for _, d := range DefaultDevices() {
		r, _ := parseRule(d)
		all = append(all, r)
	}
	return all, nil
}

func checkDevices(r *specs.LinuxResources) error {
	_, err := rules(r.Devices)
	return err
}

func devicesV2(r *specs.LinuxResources) (settings, error) {
	list, err := rules(r.Devices)
	if err != nil || list == nil {
		return nil, err
	}
	return settings{{field: "devices", program: compileDevices(list)}}, nil
}

// String is the rule as version 1 writes it.
func (r rule) String() string {
	number := func(n int64) string {
		if n == anyNumber {
			return "*"
		}
		return strconv.FormatInt(n, 10)
	}
	access := ""
	for i, c := range "mrw" {
		if r.access&(1<<i) != 0 {
			access += string(c)
		}
	}
	return string("abc"[r.kind]) + " " + number(r.major) + ":" + number(r.minor) + " " + access
}

// covers tells whether a rule speaks of all devices of another, and meets
// whether of any. Neither is for all types.
func (r rule) covers(o rule) bool {
	return r.kind == o.kind && (r.major == anyNumber || r.major == o.major) && (r.minor == anyNumber || r.minor == o.minor)
}

func (r rule) meets(o rule) bool {
	same := func(a, b int64) bool { return a == b || a == anyNumber || b == anyNumber }
	return r.kind == o.kind && same(r.major, o.major) && same(r.minor, o.minor)
}

// devicesV1 is Documentation/admin-guide/cgroup-v1/devices.rst. There a group
// has either a list of what is allowed, or one of what is denied; a rule of the
// other kind takes an equal entry off the list, and is silently without effect
// if it speaks of part of an entry or of several. So the list is computed here,
// and what it cannot say is refused.
func devicesV1(r *specs.LinuxResources) (settings, error) {
	all, err := rules(r.Devices)
	if err != nil || all == nil {
		return nil, err
	}
	return listV1(all)
}

func listV1(all []rule) (settings, error) {
	allow := false // what holds for the devices that are not on the list
	var list []rule
	for i, r := range all {
		if r.all() {
			allow, list = r.allow, nil
			continue
		}
		kinds := []int{r.kind}
		if r.kind == anyType {
			kinds = []int{block, char}
		}
		for _, r.kind = range kinds {
			if r.allow != allow {
				list = addRule(list, r)
				continue
			}
			var left []rule
			for _, e := range list {
				if r.covers(e) {
					e.access &^= r.access
				} else if r.meets(e) && e.access&r.access != 0 {
					return nil, fmt.Errorf("devices[%d]: cgroup v1 cannot make an exception (%v) from a rule before it (%v)", i, r, e)
				}
				if e.access != 0 {
					left = append(left, e)
				}
			}
			list = left
		}
	}
	file := map[bool]string{true: "devices.allow", false: "devices.deny"}
	s := settings{{field: "devices", file: file[allow], value: "a", initial: allow}}
	for _, e := range list {
		s = append(s, setting{field: "devices", file: file[!allow], value: e.String()})
	}
	return s, nil
}

// addRule adds to the access of an equal entry, as the kernel does.
func addRule(list []rule, r rule) []rule {
	for i, e := range list {
		if e.kind == r.kind && e.major == r.major && e.minor == r.minor {
			list[i].access |= r.access
			return list
		}
	}
	return append(list, r)
}
