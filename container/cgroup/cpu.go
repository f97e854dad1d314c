package cgroup

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// CPU time, linux.resources.cpu: a weight against other groups (shares), and a
// quota of each period (Documentation/scheduler/sched-bwc.rst). The kernel
// checks quota, period and burst against each other.

func cpuV1(r *specs.LinuxResources) (settings, error) {
	c := r.CPU
	if c == nil {
		return nil, nil
	}
	var s settings
	if isSet(c.Shares) {
		s = append(s, setting{field: "cpu.shares", file: "cpu.shares", value: strconv.FormatUint(*c.Shares, 10)})
	}
	if isSet(c.RealtimePeriod) {
		s = append(s, setting{field: "cpu.realtimePeriod", file: "cpu.rt_period_us", value: strconv.FormatUint(*c.RealtimePeriod, 10)})
	}
	if isSet(c.RealtimeRuntime) {
		s = append(s, setting{field: "cpu.realtimeRuntime", file: "cpu.rt_runtime_us", value: strconv.FormatInt(*c.RealtimeRuntime, 10)})
	}
	if isSet(c.Period) {
		s = append(s, setting{field: "cpu.period", file: "cpu.cfs_period_us", value: strconv.FormatUint(*c.Period, 10), initial: *c.Period == 100_000})
	}
	if c.Quota != nil {
		s = append(s, setting{field: "cpu.quota", file: "cpu.cfs_quota_us", value: quota(*c.Quota, "-1")})
	}
	if c.Burst != nil {
		s = append(s, setting{field: "cpu.burst", file: "cpu.cfs_burst_us", value: strconv.FormatUint(*c.Burst, 10), optional: *c.Burst == 0})
	}
	return append(s, idle(c)...), nil
}

// quota: 0 is none too.
func quota(n int64, none string) string {
	if n <= 0 {
		return none
	}
	return strconv.FormatInt(n, 10)
}

func idle(c *specs.LinuxCPU) settings {
	if c.Idle == nil {
		return nil
	}
	// Linux 5.15
	return settings{{field: "cpu.idle", file: "cpu.idle", value: strconv.FormatInt(*c.Idle, 10), optional: *c.Idle == 0, initial: *c.Idle == 0}}
}

func cpuV2(r *specs.LinuxResources) (settings, error) {
	c := r.CPU
	if c == nil {
		return nil, nil
	}
	if isSet(c.RealtimePeriod) || isSet(c.RealtimeRuntime) {
		return nil, errors.New("cpu.realtimeRuntime: cgroup v2 has no control of realtime processes")
	}
	var s settings
	if isSet(c.Shares) {
		s = append(s, setting{field: "cpu.shares", file: "cpu.weight", value: strconv.FormatUint(cpuWeight(*c.Shares), 10)})
	}
	switch {
	case c.Quota != nil:
		value := quota(*c.Quota, "max")
		if isSet(c.Period) {
			value += " " + strconv.FormatUint(*c.Period, 10)
		}
		s = append(s, setting{field: "cpu.quota", file: "cpu.max", value: value})
	case isSet(c.Period):
		s = append(s, setting{field: "cpu.period", file: "cpu.max", value: strconv.FormatUint(*c.Period, 10), second: true})
	}
	if c.Burst != nil { // Linux 5.14
		s = append(s, setting{field: "cpu.burst", file: "cpu.max.burst", value: strconv.FormatUint(*c.Burst, 10), optional: *c.Burst == 0})
	}
	return append(s, idle(c)...), nil
}

// cpuWeight converts shares (2 to 262144, 1024 if nothing is said) to a weight
// (1 to 10000, 100 if nothing is said). The three pairs of numbers lie on a
// parabola in the logarithms, which is what runc since 1.3.2 and crun since 1.23
// use; before, a straight line made 39 of 1024, and so gave a container far less
// than any group that asked for nothing.
func cpuWeight(shares uint64) uint64 {
	switch {
	case shares <= 2:
		return 1
	case shares >= 1<<18:
		return 10_000
	}
	l := math.Log2(float64(shares))
	return uint64(math.Ceil(math.Pow(10, l*l/612+l*125/612-7.0/34)))
}

// cpuset is which CPUs and memory nodes may be used (cpuset(7)).
func cpuset(r *specs.LinuxResources) (settings, error) {
	var s settings
	if c := r.CPU; c != nil {
		if c.Cpus != "" {
			s = append(s, setting{field: "cpu.cpus", file: "cpuset.cpus", value: c.Cpus})
		}
		if c.Mems != "" {
			s = append(s, setting{field: "cpu.mems", file: "cpuset.mems", value: c.Mems})
		}
	}
	return s, nil
}

// checkCPU knows what the kernel takes (sched-bwc.rst), so that the error names
// the field and not the file.
func checkCPU(r *specs.LinuxResources) error {
	c := r.CPU
	if c == nil {
		return nil
	}
	if isSet(c.Period) && (*c.Period < 1000 || *c.Period > 1_000_000) {
		return fmt.Errorf("cpu.period: %d is not in 1000..1000000 (microseconds)", *c.Period)
	}
	if c.Quota != nil && *c.Quota > 0 {
		if *c.Quota < 1000 {
			return fmt.Errorf("cpu.quota: %d is less than 1000 (microseconds)", *c.Quota)
		}
		if c.Burst != nil && *c.Burst > uint64(*c.Quota) {
			return fmt.Errorf("cpu.burst: %d is more than cpu.quota, %d", *c.Burst, *c.Quota)
		}
	}
	if c.Idle != nil && *c.Idle != 0 && *c.Idle != 1 {
		return fmt.Errorf("cpu.idle: %d is neither 0 nor 1", *c.Idle)
	}
	if err := checkList(c.Cpus); err != nil {
		return fmt.Errorf("cpu.cpus: %w", err)
	}
	if err := checkList(c.Mems); err != nil {
		return fmt.Errorf("cpu.mems: %w", err)
	}
	return nil
}

// checkList takes what cpuset(7) calls the list format: "0-3,7".
func checkList(list string) error {
	if list == "" {
		return nil
	}
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(part, "-")
		a, err := strconv.ParseUint(first, 10, 32)
		b := a
		if err == nil && isRange {
			b, err = strconv.ParseUint(last, 10, 32)
		}
		if err != nil || b < a {
			return fmt.Errorf("%q is not a list such as 0-3,7", list)
		}
	}
	return nil
}
