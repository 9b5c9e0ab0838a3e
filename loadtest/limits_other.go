//go:build !unix

package main

// maxDescriptors returns the number of file descriptors that this process may open, or the
// parameter enough if that is less. It always returns enough: on this platform there is no
// RLIMIT_NOFILE.
func maxDescriptors(enough int) int { return enough }
