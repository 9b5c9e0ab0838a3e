//go:build !unix

package main

// maxDescriptors returns enough: on this platform there is no RLIMIT_NOFILE.
func maxDescriptors(enough int) int { return enough }
