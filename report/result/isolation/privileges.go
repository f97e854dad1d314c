package isolation

// Privileges are what a program may do, by what the kernel says of it and by trying.
type Privileges struct {
	// Variant is the configuration in the throwaway machine ([Bare], [Without]); "" is the
	// platform as it is.
	Variant string `json:"variant,omitempty"`
	// Error says why there is nothing.
	Error string `json:"error,omitempty"`
	// BootID names the kernel that gave the answers. Of a machine it is the machine's own:
	// what is allowed there, its kernel allows, and not the host's.
	BootID string `json:"boot_id"`

	UID    int    `json:"uid"`
	UIDMap string `json:"uid_map"` // lines joined by "; " (user_namespaces(7))
	GIDMap string `json:"gid_map"`
	// Capabilities are the names in each set: "inheritable", "permitted", "effective",
	// "bounding" and "ambient" (capabilities(7)); Known counts those that the kernel has.
	Capabilities map[string][]string `json:"capabilities"`
	Known        int                 `json:"known"`
	Securebits   []string            `json:"securebits,omitempty"` // PR_GET_SECUREBITS(2const)
	Seccomp      int                 `json:"seccomp"`              // 0 off, 1 strict, 2 filter (proc_pid_status(5))
	Filters      int                 `json:"filters"`              // of system calls, one behind the other; since Linux 5.9
	NoNewPrivs   bool                `json:"no_new_privs"`
	Label        string              `json:"label,omitempty"` // /proc/self/attr/current: by a security module
	LSMs         string              `json:"lsms,omitempty"`  // that the kernel has, where it shows them (/sys/kernel/security/lsm)

	// Calls are all system calls of the table of this architecture, by number. Of a process
	// on the host itself they are not tried, and CallsError says so, as it says what went
	// wrong.
	Calls      []Call    `json:"calls,omitempty"`
	CallsError string    `json:"calls_error,omitempty"`
	Devices    []Opening `json:"devices,omitempty"`
	Knobs      *Knobs    `json:"knobs,omitempty"`
}

// A Class is how far a system call comes.
type Class string

// The classes of system calls.
const (
	Filtered    Class = "filtered"     // a seccomp filter answers, and the kernel does not look at it
	NotInKernel Class = "absent"       // ENOSYS: this kernel does not have it
	Denied      Class = "refused"      // EPERM or EACCES: the kernel asks for a privilege
	Served      Class = "served"       // the kernel looked at its arguments, or did it
	NotTried    Class = "not executed" // the filter lets it through; it would end or stop who tries
	Unclear     Class = "unclear"      // what the filter says of it could not be found out
)

// Classes are all of them, from what is stopped first.
var Classes = []Class{Filtered, NotInKernel, Denied, Served, NotTried, Unclear}

// Call is what came of one system call.
type Call struct {
	Number int    `json:"number"`
	Name   string `json:"name,omitempty"` // "" of a number that has none in the table
	Class  Class  `json:"class"`
	// Answer is the error that it gave ("EINVAL"), "0" if none, or what else became of who
	// made it ("ended by SIGSYS", "did not return").
	Answer string `json:"answer,omitempty"`
}

// Count counts those of a class.
func (p *Privileges) Count(c Class) (n int) {
	for _, call := range p.Calls {
		if call.Class == c {
			n++
		}
	}
	return n
}

// Opening is what came of opening a device: "" if it opens, the error else. Write is "not
// tried" where opening alone does something.
type Opening struct {
	Path  string `json:"path"`
	Read  string `json:"read,omitempty"`
	Write string `json:"write,omitempty"`
}

// Knobs are the files of /proc/sys and /sys with which a kernel is set.
type Knobs struct {
	Files int `json:"files"` // that are for writing, by their mode
	Open  int `json:"open"`  // those that open for writing
	// By counts these by folder: "/proc/sys/kernel".
	By map[string]int `json:"by,omitempty"`
	// Error says why not all were tried.
	Error string `json:"error,omitempty"`
}
