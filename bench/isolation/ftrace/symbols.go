package ftrace

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
)

// symbols are the kernel's functions by their addresses, in that order.
type symbols []symbol

type symbol struct {
	address uint64
	name    string // "vfs_read", or "ovl_open [overlay]" of a module
}

func readSymbols(path string) (symbols, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s, err := parseSymbols(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// parseSymbols reads what /proc/kallsyms says (proc_kallsyms(5)): address, type as nm(1)
// has it, name, and the module in brackets.
func parseSymbols(r io.Reader) (all symbols, err error) {
	in := bufio.NewScanner(r)
	for in.Scan() {
		address, rest, ok := strings.Cut(in.Text(), " ")
		if !ok || len(rest) < 3 || rest[1] != ' ' {
			return nil, fmt.Errorf("%q is no symbol", in.Text())
		}
		switch rest[0] {
		case 't', 'T', 'w', 'W':
		default: // data
			continue
		}
		a, err := strconv.ParseUint(address, 16, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is no symbol", in.Text())
		}
		if a == 0 {
			return nil, errors.New("it hides the addresses (kernel.kptr_restrict, proc_sys_kernel(5))")
		}
		all = append(all, symbol{a, strings.Replace(rest[2:], "\t", " ", 1)})
	}
	if err := in.Err(); err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, errors.New("it has no functions")
	}
	// Of several names of one address the first is the one.
	slices.SortStableFunc(all, func(a, b symbol) int { return cmp.Compare(a.address, b.address) })
	return slices.CompactFunc(all, func(a, b symbol) bool { return a.address == b.address }), nil
}

// name is that of the function in which an address lies.
func (s symbols) name(address uint64) string {
	i, found := slices.BinarySearchFunc(s, address, func(x symbol, a uint64) int { return cmp.Compare(x.address, a) })
	if !found {
		i--
	}
	if i < 0 {
		return fmt.Sprintf("%#x", address)
	}
	return s[i].name
}
