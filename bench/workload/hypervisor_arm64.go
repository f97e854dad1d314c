package main

// hypervisor cannot tell: of an arm64 processor, a program without privileges
// reads no register that names who runs it.
func hypervisor() (bool, string) { return false, "" }
