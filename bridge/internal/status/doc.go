// Package status has every failure as a metav1.Status: what a client reads, and why in a word for the log.
//
//	status.go         an error as a Status, and its headers
//	refusalreason.go  why edge itself is the author of an answer: the list of reasons
//	errors.go         errors that are an answer, or have the reason of one
//	writestatus.go    writing one to a client that may not take it
package status
