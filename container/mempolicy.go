package container

import (
	"encoding/binary"
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/step"
)

// From which nodes of a NUMA machine a process gets its memory
// (set_mempolicy(2); config-linux.md, "Memory policy"). It stays over an
// execve, and children inherit it.

// memoryPolicies are the modes (linux/mempolicy.h), and whether they take nodes.
var memoryPolicies = map[specs.MemoryPolicyModeType]struct {
	mode  int
	nodes nodeUse
}{
	specs.MpolDefault:            {unix.MPOL_DEFAULT, noNodes},
	specs.MpolPreferred:          {unix.MPOL_PREFERRED, anyNodes},
	specs.MpolBind:               {unix.MPOL_BIND, someNodes},
	specs.MpolInterleave:         {unix.MPOL_INTERLEAVE, someNodes},
	specs.MpolLocal:              {unix.MPOL_LOCAL, noNodes},
	specs.MpolPreferredMany:      {unix.MPOL_PREFERRED_MANY, someNodes},
	specs.MpolWeightedInterleave: {unix.MPOL_WEIGHTED_INTERLEAVE, someNodes},
}

type nodeUse int

const (
	noNodes nodeUse = iota
	anyNodes
	someNodes
)

var memoryPolicyFlags = map[specs.MemoryPolicyFlagType]int{
	specs.MpolFNumaBalancing: unix.MPOL_F_NUMA_BALANCING, specs.MpolFRelativeNodes: unix.MPOL_F_RELATIVE_NODES, specs.MpolFStaticNodes: unix.MPOL_F_STATIC_NODES,
}

func checkMemoryPolicy(m *specs.LinuxMemoryPolicy) error {
	if m == nil {
		return nil
	}
	p, ok := memoryPolicies[m.Mode]
	if !ok {
		return fmt.Errorf("linux.memoryPolicy.mode: %q is unknown", m.Mode)
	}
	nodes, err := cpuSet(m.Nodes) // the same kind of list
	switch {
	case err != nil:
		return fmt.Errorf("linux.memoryPolicy.nodes: %q is not a list of nodes, such as 0-3,7", m.Nodes)
	case p.nodes == noNodes && nodes.Count() > 0:
		return fmt.Errorf("linux.memoryPolicy.nodes: %s takes none", m.Mode)
	case p.nodes == someNodes && nodes.Count() == 0:
		return fmt.Errorf("linux.memoryPolicy.nodes: %s needs one at least", m.Mode)
	}
	for i, f := range m.Flags {
		if _, ok := memoryPolicyFlags[f]; !ok {
			return fmt.Errorf("linux.memoryPolicy.flags[%d]: %q is unknown", i, f)
		}
	}
	return nil
}

// setMemoryPolicy appends the call.
func setMemoryPolicy(p *step.Program, m *specs.LinuxMemoryPolicy) {
	mode, text := memoryPolicies[m.Mode].mode, string(m.Mode)
	for _, f := range m.Flags {
		mode |= memoryPolicyFlags[f]
		text += "|" + string(f)
	}
	nodes, _ := cpuSet(m.Nodes)
	mask, bits := step.Null(), 0
	if nodes.Count() > 0 {
		// The kernel takes the bits below maxnode-1.
		mask, bits = setBytes(p, nodes, m.Nodes), 1024+1
	}
	p.Call("set_mempolicy", unix.SYS_SET_MEMPOLICY, step.Flag(mode, text), mask, step.Int(bits))
}

// setBytes is the address of a set of CPUs or nodes: 1024 bits, in words.
func setBytes(p *step.Program, set *unix.CPUSet, text string) step.Arg {
	b := make([]byte, 1024/8)
	for i := range 1024 {
		if set.IsSet(i) {
			word := b[i/64*8:]
			binary.NativeEndian.PutUint64(word, binary.NativeEndian.Uint64(word)|1<<(i%64))
		}
	}
	return p.Bytes(b, "["+text+"]")
}
