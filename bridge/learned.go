package bridge

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/version"
	apiversion "k8s.io/apimachinery/pkg/version"
)

const (
	// remember is how long edge believes what it learned about the way to the API
	// server, and about its release.
	remember = 10 * time.Minute
	// forgetFailure is how long it does not ask again after no answer.
	forgetFailure = 10 * time.Second
	versionWait   = 5 * time.Second
	maxVersion    = 64 << 10 // bytes of an answer
)

// asksCreate is the first release that asks for create on the GET of a WebSocket
// (AuthorizePodWebsocketUpgradeCreatePermission).
var asksCreate = version.MustParseGeneric("1.35.0")

// family is a kind of stream whose protocols come and go together.
type family int

const (
	remoteCommand family = iota
	portForward
	families
)

func familyOf(t target) family {
	if t.verb == verbPortForward {
		return portForward
	}
	return remoteCommand
}

// enoughCuts is how many upgrades in a row must have been cut without an answer
// to be taken for a refusal: one may be an API server that restarts.
const enoughCuts = 2

// learned is what edge found out about its API server and the way to it. All of
// it goes stale.
type learned struct {
	mu      sync.Mutex
	refused [families]time.Time // until when SPDY is taken for refused
	cuts    [families]int       // upgrades in a row that were cut

	asking  chan struct{} // one question at a time; guards what follows
	release *version.Version
	until   time.Time // when to ask again
}

func newLearned() *learned { return &learned{asking: make(chan struct{}, 1)} }

func (l *learned) noSPDY(f family) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().Before(l.refused[f])
}

// forget is for when SPDY works, or may work again.
func (l *learned) forget(f family) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused[f], l.cuts[f] = time.Time{}, 0
}

// spdyFails notes that SPDY was refused, or cut, where WebSocket was not, and
// tells whether SPDY is left out from now on.
func (l *learned) spdyFails(f family, cut bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if cut {
		if l.cuts[f]++; l.cuts[f] < enoughCuts {
			return false
		}
	}
	l.refused[f], l.cuts[f] = time.Now().Add(remember), 0
	return true
}

// speaksWebSocket tells whether the API server is of a release to which edge
// speaks WebSocket by itself. What was known stays known if it does not answer.
func (h *Handler) speaksWebSocket(ctx context.Context) bool {
	l := h.learned
	select {
	case l.asking <- struct{}{}:
		defer func() { <-l.asking }()
	case <-ctx.Done():
		return false
	}
	if time.Now().After(l.until) {
		// Whoever asks first asks for all, and may leave.
		release, err := h.up.version(context.WithoutCancel(ctx))
		if err != nil {
			h.log.Warn("API server did not tell its version", "error", err.Error())
			l.until = time.Now().Add(forgetFailure)
		} else {
			l.release, l.until = release, time.Now().Add(remember)
		}
	}
	return l.release != nil && l.release.AtLeast(asksCreate)
}

// version asks the API server for its release, with edge's own credential.
func (up *cluster) version(ctx context.Context) (*version.Version, error) {
	ctx, cancel := context.WithTimeout(ctx, versionWait)
	defer cancel()
	u := *up.base
	u.Path = up.prefix().Path + "/version"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := up.edges.plain.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var info apiversion.Info
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxVersion)).Decode(&info); err != nil {
		return nil, err
	}
	return version.ParseGeneric(info.GitVersion)
}
