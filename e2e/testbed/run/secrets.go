package run

import (
	"maps"
	"sync"
)

// handedOut records the tokens that the issuers in this process have issued, and edge's own tokens.
// Run.Leaks searches files for them, because neither edge nor an API server may write a token to a
// file.
var handedOut struct {
	sync.Mutex
	kind map[string]string // maps each token to the kind of the token
}

// NoteToken records a token and its kind, so that Run.Leaks searches for the token, and returns the
// token.
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
