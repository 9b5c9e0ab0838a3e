package testbed

import (
	"maps"
	"sync"
)

// What the issuers of this process handed out, and what edge has of its own: none of it may be found where edge or an API server
// writes. See Testbed.Leaks.
var handedOut struct {
	sync.Mutex
	kind map[string]string // by token
}

func note(token, kind string) string {
	handedOut.Lock()
	defer handedOut.Unlock()
	if handedOut.kind == nil {
		handedOut.kind = map[string]string{}
	}
	handedOut.kind[token] = kind
	return token
}

// issued notes a user's token.
func issued(token string) string { return note(token, "a user's token") }

// SentOn notes that a test lets edge send a token on in a URL, as a client may that talks to an application behind a proxy: edge
// must not write it down, but others may.
func SentOn(token string) { note(token, sentOn) }

func allIssued() map[string]string {
	handedOut.Lock()
	defer handedOut.Unlock()
	return maps.Clone(handedOut.kind)
}
