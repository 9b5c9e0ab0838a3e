// Package status turns every failure into a metav1.Status for the client and a Reason for the log.
//
//	status.go         the Status for an error, and the headers of the answer
//	plaintext.go      the clients that get a message as plain text and not as a Status
//	refusalreason.go  the Reasons why edge itself, and not the API server, answers
//	errors.go         errors that are an answer, or that carry the Reason of one
//	writestatus.go    writing a Status to a client that may not read it
//	discardbody.go    what happens to the body of a refused request
package status
