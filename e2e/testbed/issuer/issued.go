package issuer

import "edge/e2e/testbed/run"

// issued records a user's token for run.Leaks and returns it.
func issued(token string) string { return run.NoteToken(token, "a user's token") }

// SentOn records a token that a test lets edge forward in a URL, as a client does that talks to an
// application behind edge. For run.Leaks, edge must not write this token to a file, but other
// programs may.
func SentOn(token string) { run.NoteToken(token, run.SentOn) }
