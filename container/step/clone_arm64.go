package step

// clone3 makes a child that calls entry(s) on the stack that args names.
func clone3(args *cloneArgs, size uintptr, s *state, entry uintptr) (pid, errno uintptr)
