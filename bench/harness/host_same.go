package harness

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"strconv"

	"vmctr/report/result"
)

// machine names this host without telling its machine-id, which is confidential: it is
// the key of a hash (HMAC), as machine-id(5) asks for. "" where there is none.
func (f files) machine() string {
	id := f.read("etc/machine-id")
	if id == "" || id == "uninitialized" {
		return ""
	}
	h := hmac.New(sha256.New, []byte(id))
	h.Write([]byte("bench"))
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// memoryTolerance is by what share the size of memory may differ on one machine: how much
// a kernel keeps for itself at its boot is not always the same.
const memoryTolerance = 0.02

// SameHost tells whether samples that are taken on a host now can be put together with
// those that a run took on it before: not if it is another machine, or if it has another
// kernel, whose work a start is for the most part. What else has changed is listed, the
// load always.
func SameHost(was, is result.Host) ([]result.Change, error) {
	other := func(what, a, b string) error { return fmt.Errorf("%s was %q and is %q", what, a, b) }
	if was.Machine != "" && is.Machine != "" {
		if was.Machine != is.Machine {
			return nil, fmt.Errorf("this is another machine (its machine-id differs): that was %s, this is %s", was.Hostname, is.Hostname)
		}
	} else if was.Hostname != is.Hostname {
		return nil, other("the host's name", was.Hostname, is.Hostname)
	}
	for _, c := range []struct{ what, was, is string }{
		{"the processor", was.CPU, is.CPU},
		{"the number of CPUs that bench may use", strconv.Itoa(was.CPUs), strconv.Itoa(is.CPUs)},
		{"the hypervisor under the host", was.Virtualization, is.Virtualization},
		{"the kernel", was.Kernel.Release + " " + was.Kernel.Version, is.Kernel.Release + " " + is.Kernel.Version},
		{"the cgroup version", was.Cgroup, is.Cgroup},
		{"whether bench is root", strconv.FormatBool(was.Root), strconv.FormatBool(is.Root)},
	} {
		if c.was != c.is {
			return nil, other(c.what, c.was, c.is)
		}
	}
	if a, b := float64(was.MemTotal), float64(is.MemTotal); a > b*(1+memoryTolerance) || b > a*(1+memoryTolerance) {
		return nil, other("the memory", result.FormatValue(a, "bytes"), result.FormatValue(b, "bytes"))
	}
	var changed []result.Change
	for _, c := range []result.Change{
		{What: "boot_id", Was: was.BootID, Is: is.BootID},
		{What: "os", Was: was.OS, Is: is.OS},
		{What: "cmdline", Was: was.Cmdline, Is: is.Cmdline},
		{What: "mem_total", Was: strconv.FormatUint(was.MemTotal, 10), Is: strconv.FormatUint(is.MemTotal, 10)},
		{What: "governor", Was: was.Governor, Is: is.Governor},
		{What: "turbo", Was: was.Turbo, Is: is.Turbo},
		{What: "thp", Was: was.THP, Is: is.THP},
		{What: "ksm", Was: was.KSM, Is: is.KSM},
		{What: "swap_total", Was: strconv.FormatUint(was.SwapTotal, 10), Is: strconv.FormatUint(is.SwapTotal, 10)},
		{What: "go", Was: was.Go, Is: is.Go},
		{What: "loadavg", Was: was.LoadAvg, Is: is.LoadAvg},
	} {
		if c.Was != c.Is || c.What == "loadavg" {
			changed = append(changed, c)
		}
	}
	if !maps.Equal(was.Mitigations, is.Mitigations) {
		changed = append(changed, result.Change{What: "mitigations", Was: fmt.Sprint(was.Mitigations), Is: fmt.Sprint(is.Mitigations)})
	}
	return changed, nil
}
