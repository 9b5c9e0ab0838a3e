//go:build !unix

package main

// maxDescriptors is not asked where there is no such limit.
func maxDescriptors() int { return maxSessions * 2 }
