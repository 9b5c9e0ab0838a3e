package upstream

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/version"

	"edge/bridge/internal/negotiate"
)

const (
	// learnedFor is how long edge stores what it has found out about the API server: its release,
	// and which protocols work on the path to it.
	learnedFor = 10 * time.Minute
	// retryVersionAfter is how long edge waits before it requests the API server's release again
	// after a failure.
	retryVersionAfter = 10 * time.Second
	versionWait       = 5 * time.Second
	maxVersion        = 64 << 10 // maximum bytes of the answer to /version
)

// asksCreate is the first Kubernetes release that checks the verb create on a WebSocket GET
// (feature gate AuthorizePodWebsocketUpgradeCreatePermission).
var asksCreate = version.MustParseGeneric("1.35.0")

// streamKind is a kind of stream. edge stores for each kind whether SPDY works.
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

// enoughCuts is the number of SPDY upgrades in a row that end without an answer after which edge
// assumes that the path refuses SPDY. A single one may be caused by a restart of the API server.
const enoughCuts = 2

// protocolCache stores what edge found out about the API server and the path to it. Each entry
// expires.
type protocolCache struct {
	mu      sync.Mutex
	refused [streamKinds]time.Time // until this time edge assumes that SPDY is refused
	cuts    [streamKinds]int       // number of SPDY upgrades in a row that were closed without an answer

	asking  chan struct{} // a lock, held while edge requests the release; guards release and until
	release *version.Version
	until   time.Time // when edge requests the API server's release again
}

func newProtocolCache() *protocolCache { return &protocolCache{asking: make(chan struct{}, 1)} }

func (l *protocolCache) spdyRefused(f streamKind) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().Before(l.refused[f])
}

// reset makes edge use SPDY again for streams of kind f, because SPDY works or may work again.
func (l *protocolCache) reset(f streamKind) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused[f], l.cuts[f] = time.Time{}, 0
}

// noteSPDYFailure records that SPDY failed for a stream of kind f and WebSocket worked. cut means
// that the connection was closed without an answer. noteSPDYFailure reports whether edge now stops
// using SPDY for f.
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
