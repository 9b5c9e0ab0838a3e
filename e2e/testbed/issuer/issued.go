package issuer

import "edge/e2e/testbed/run"

// issued notes a user's token.
func issued(token string) string { return run.NoteToken(token, "a user's token") }

// SentOn notes that a test lets edge send a token on in a URL, as a client may that talks to an application behind a proxy: edge
// must not write it down, but others may.
func SentOn(token string) { run.NoteToken(token, run.SentOn) }
