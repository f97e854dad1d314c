package cgroup

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Block devices, linux.resources.blockIO: a weight against other groups, and
// limits of bytes and operations per second for a device.

// throttles are the limits, and what each is called on both versions.
var throttles = []struct {
	field, v1, v2 string
	list          func(*specs.LinuxBlockIO) []specs.LinuxThrottleDevice
}{
	{"blockIO.throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps", func(b *specs.LinuxBlockIO) []specs.LinuxThrottleDevice { return b.ThrottleReadBpsDevice }},
	{"blockIO.throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps", func(b *specs.LinuxBlockIO) []specs.LinuxThrottleDevice { return b.ThrottleWriteBpsDevice }},
	{"blockIO.throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops", func(b *specs.LinuxBlockIO) []specs.LinuxThrottleDevice { return b.ThrottleReadIOPSDevice }},
	{"blockIO.throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops", func(b *specs.LinuxBlockIO) []specs.LinuxThrottleDevice { return b.ThrottleWriteIOPSDevice }},
}

func device(d specs.LinuxBlockIODevice) string { return fmt.Sprintf("%d:%d", d.Major, d.Minor) }

// blockIOV1 is Documentation/admin-guide/cgroup-v1/blkio-controller.rst. The
// weights were the CFQ scheduler's until Linux 5.0, and are BFQ's, by another
// name, since; the leaf weights went with CFQ.
func blockIOV1(r *specs.LinuxResources) (settings, error) {
	b := r.BlockIO
	if b == nil {
		return nil, nil
	}
	var s settings
	bfq := func(field, cfqFile, bfqFile, value string) {
		s = append(s, setting{field: field, file: bfqFile, value: value, otherwise: &setting{file: cfqFile, value: value}})
	}
	if isSet(b.Weight) {
		bfq("blockIO.weight", "blkio.weight", "blkio.bfq.weight", strconv.Itoa(int(*b.Weight)))
	}
	if isSet(b.LeafWeight) {
		s = append(s, setting{field: "blockIO.leafWeight", file: "blkio.leaf_weight", value: strconv.Itoa(int(*b.LeafWeight))})
	}
	for i, d := range b.WeightDevice {
		if isSet(d.Weight) {
			bfq(fmt.Sprintf("blockIO.weightDevice[%d].weight", i), "blkio.weight_device", "blkio.bfq.weight_device", fmt.Sprintf("%s %d", device(d.LinuxBlockIODevice), *d.Weight))
		}
		if isSet(d.LeafWeight) {
			s = append(s, setting{
				field: fmt.Sprintf("blockIO.weightDevice[%d].leafWeight", i), file: "blkio.leaf_weight_device",
				value: fmt.Sprintf("%s %d", device(d.LinuxBlockIODevice), *d.LeafWeight),
			})
		}
	}
	for _, t := range throttles {
		for i, d := range t.list(b) {
			s = append(s, setting{field: fmt.Sprintf("%s[%d]", t.field, i), file: t.v1, value: fmt.Sprintf("%s %d", device(d.LinuxBlockIODevice), d.Rate)})
		}
	}
	return s, nil
}

// blockIOV2 is cgroup-v2.rst, "IO": BFQ's weight counts as on version 1, the
// controller's own from 1 to 10000. All limits of a device are one line.
func blockIOV2(r *specs.LinuxResources) (settings, error) {
	b := r.BlockIO
	if b == nil {
		return nil, nil
	}
	const noLeaf = "cgroup v2 has none: only a leaf holds processes"
	if isSet(b.LeafWeight) {
		return nil, errors.New("blockIO.leafWeight: " + noLeaf)
	}
	var s settings
	weight := func(field, device string, weight uint16) {
		s = append(s, setting{
			field: field, file: "io.bfq.weight", value: device + strconv.Itoa(int(weight)),
			otherwise: &setting{file: "io.weight", value: device + strconv.Itoa(ioWeight(weight))},
		})
	}
	if isSet(b.Weight) {
		weight("blockIO.weight", "", *b.Weight)
	}
	for i, d := range b.WeightDevice {
		field := fmt.Sprintf("blockIO.weightDevice[%d]", i)
		if isSet(d.LeafWeight) {
			return nil, errors.New(field + ".leafWeight: " + noLeaf)
		}
		if isSet(d.Weight) {
			weight(field+".weight", device(d.LinuxBlockIODevice)+" ", *d.Weight)
		}
	}
	lines := map[string]int{} // device -> its setting
	for _, t := range throttles {
		for i, d := range t.list(b) {
			at, there := lines[device(d.LinuxBlockIODevice)]
			if !there {
				at = len(s)
				lines[device(d.LinuxBlockIODevice)] = at
				s = append(s, setting{field: fmt.Sprintf("%s[%d]", t.field, i), file: "io.max", value: device(d.LinuxBlockIODevice)})
			}
			rate := "max" // 0 takes a limit away on version 1
			if d.Rate > 0 {
				rate = strconv.FormatUint(d.Rate, 10)
			}
			s[at].value += " " + t.v2 + "=" + rate
		}
	}
	return s, nil
}

// ioWeight converts 10..1000 to 1..10000.
func ioWeight(w uint16) int { return 1 + (int(w)-10)*9999/990 }

func checkBlockIO(r *specs.LinuxResources) error {
	b := r.BlockIO
	if b == nil {
		return nil
	}
	check := func(field string, w *uint16) error {
		if isSet(w) && (*w < 10 || *w > 1000) {
			return fmt.Errorf("%s: %d is not in 10..1000", field, *w)
		}
		return nil
	}
	numbers := func(field string, d specs.LinuxBlockIODevice) error {
		if d.Major < 0 || d.Major > maxDevice || d.Minor < 0 || d.Minor > maxDevice {
			return fmt.Errorf("%s: %s is no device", field, device(d))
		}
		return nil
	}
	errs := []error{check("blockIO.weight", b.Weight), check("blockIO.leafWeight", b.LeafWeight)}
	for i, d := range b.WeightDevice {
		field := fmt.Sprintf("blockIO.weightDevice[%d]", i)
		if d.Weight == nil && d.LeafWeight == nil {
			errs = append(errs, fmt.Errorf("%s: has neither weight nor leafWeight", field))
		}
		errs = append(errs, numbers(field, d.LinuxBlockIODevice), check(field+".weight", d.Weight), check(field+".leafWeight", d.LeafWeight))
	}
	for _, t := range throttles {
		for i, d := range t.list(b) {
			errs = append(errs, numbers(fmt.Sprintf("%s[%d]", t.field, i), d.LinuxBlockIODevice))
		}
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
