package testbed

import (
	"maps"
	"slices"
	"sync"
)

// What the issuers of this process handed out, and the accounts of edge: none of it may be found where edge or the API server
// writes. See Testbed.Leaks.
var handedOut struct {
	sync.Mutex
	tokens map[string]bool
}

// issued remembers a token.
func issued(token string) string {
	handedOut.Lock()
	defer handedOut.Unlock()
	if handedOut.tokens == nil {
		handedOut.tokens = map[string]bool{}
	}
	handedOut.tokens[token] = true
	return token
}

func allIssued() []string {
	handedOut.Lock()
	defer handedOut.Unlock()
	return slices.Sorted(maps.Keys(handedOut.tokens))
}
