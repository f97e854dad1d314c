package main

// It ends at once: so is found out whether a runtime starts it at all.
func init() { verbs["exit"] = func([]string) error { begun(); return nil } }
