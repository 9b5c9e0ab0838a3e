package issuer

import "edge/e2e/testbed/run"

// issued records a user's token, so that run.Leaks searches for it in files, and returns the token.
func issued(token string) string { return run.NoteToken(token, "a user's token") }

// SentOn records a token that edge forwards in a URL, because a test's client sends it to an
// application behind edge. run.Leaks then reports the token only in files that edge writes, because
// the API server may log the URL.
func SentOn(token string) { run.NoteToken(token, run.SentOn) }
