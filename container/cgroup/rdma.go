package cgroup

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// rdma is linux.resources.rdma: handles and objects of InfiniBand adapters
// (cgroup-v1/rdma.rst), the same on both versions.
func rdma(r *specs.LinuxResources) (settings, error) {
	var s settings
	for _, device := range slices.Sorted(maps.Keys(r.Rdma)) {
		value := device
		if n := r.Rdma[device].HcaHandles; n != nil {
			value += " hca_handle=" + strconv.FormatUint(uint64(*n), 10)
		}
		if n := r.Rdma[device].HcaObjects; n != nil {
			value += " hca_object=" + strconv.FormatUint(uint64(*n), 10)
		}
		s = append(s, setting{field: fmt.Sprintf("rdma[%q]", device), file: "rdma.max", value: value})
	}
	return s, nil
}

func checkRdma(r *specs.LinuxResources) error {
	for _, device := range slices.Sorted(maps.Keys(r.Rdma)) {
		if device == "" || strings.ContainsAny(device, " \t\n") {
			return fmt.Errorf("rdma[%q]: is not the name of a device", device)
		}
		if l := r.Rdma[device]; l.HcaHandles == nil && l.HcaObjects == nil {
			return fmt.Errorf("rdma[%q]: has neither hcaHandles nor hcaObjects", device)
		}
	}
	return nil
}
