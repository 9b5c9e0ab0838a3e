package run

import (
	"maps"
	"sync"
)

// What the issuers of this process handed out, and what edge has of its own: none of it may be found where edge or an API server
// writes. See Run.Leaks.
var handedOut struct {
	sync.Mutex
	kind map[string]string // by token
}

// NoteToken notes what kind of token it is, and returns it.
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
