package upstream

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/version"

	"edge/bridge/internal/negotiate"
)

const (
	// learnedFor is how long edge believes what it learned about the way to the API
	// server, and about its release.
	learnedFor = 10 * time.Minute
	// retryVersionAfter is how long it does not ask again after no answer.
	retryVersionAfter = 10 * time.Second
	versionWait       = 5 * time.Second
	maxVersion        = 64 << 10 // bytes of an answer
)

// asksCreate is the first release that asks for create on the GET of a WebSocket
// (AuthorizePodWebsocketUpgradeCreatePermission).
var asksCreate = version.MustParseGeneric("1.35.0")

// streamKind is a kind of stream whose protocols come and go together.
type streamKind int

const (
	remoteCommand streamKind = iota
	portForward
	streamKinds
)

func kindOf(t negotiate.Target) streamKind {
	if t.Verb == negotiate.VerbPortForward {
		return portForward
	}
	return remoteCommand
}

// enoughCuts is how many upgrades in a row must have been cut without an answer
// to be taken for a refusal: one may be an API server that restarts.
const enoughCuts = 2

// protocolCache is what edge found out about its API server and the way to it. All of
// it goes stale.
type protocolCache struct {
	mu      sync.Mutex
	refused [streamKinds]time.Time // until when SPDY is taken for refused
	cuts    [streamKinds]int       // upgrades in a row that were cut

	asking  chan struct{} // one question at a time; guards what follows
	release *version.Version
	until   time.Time // when to ask again
}

func newProtocolCache() *protocolCache { return &protocolCache{asking: make(chan struct{}, 1)} }

func (l *protocolCache) spdyRefused(f streamKind) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().Before(l.refused[f])
}

// reset is for when SPDY works, or may work again.
func (l *protocolCache) reset(f streamKind) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused[f], l.cuts[f] = time.Time{}, 0
}

// noteSPDYFailure notes that SPDY was refused, or cut, where WebSocket was not, and
// tells whether SPDY is left out from now on.
func (l *protocolCache) noteSPDYFailure(f streamKind, cut bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if cut {
		if l.cuts[f]++; l.cuts[f] < enoughCuts {
			return false
		}
	}
	l.refused[f], l.cuts[f] = time.Now().Add(learnedFor), 0
	return true
}
