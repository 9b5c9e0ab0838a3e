package run

import (
	"maps"
	"sync"
)

// handedOut records the tokens that the issuers of this process issued, and edge's own tokens.
// Run.Leaks checks that neither edge nor an API server writes them to a file.
var handedOut struct {
	sync.Mutex
	kind map[string]string // by token
}

// NoteToken records token and its kind for Run.Leaks, and returns token.
func NoteToken(token, kind string) string {
	handedOut.Lock()
	defer handedOut.Unlock()
	if handedOut.kind == nil {
		handedOut.kind = map[string]string{}
	}
	handedOut.kind[token] = kind
	return token
}

func allIssued() map[string]string {
	handedOut.Lock()
	defer handedOut.Unlock()
	return maps.Clone(handedOut.kind)
}
