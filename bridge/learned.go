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

// learned is what edge found out about its API server and the way to it. All of
// it goes stale.
type learned struct {
	mu       sync.Mutex
	refusing [families]time.Time // until when SPDY is taken for refused

	asking  sync.Mutex // one question at a time
	release *version.Version
	until   time.Time // release is that of the API server until then; nil: unknown
}

func (l *learned) noSPDY(f family) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().Before(l.refusing[f])
}

func (l *learned) setNoSPDY(f family, no bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refusing[f] = time.Time{}
	if no {
		l.refusing[f] = time.Now().Add(remember)
	}
}

// speaksWebSocket tells whether the API server is of a release to which edge
// speaks WebSocket by itself.
func (h *Handler) speaksWebSocket(ctx context.Context) bool {
	l := &h.learned
	l.asking.Lock()
	defer l.asking.Unlock()
	if time.Now().After(l.until) {
		release, err := h.up.version(ctx)
		l.release, l.until = release, time.Now().Add(remember)
		if err != nil {
			if ctx.Err() == nil {
				h.log.Warn("API server did not tell its version", "error", err.Error())
			}
			l.until = time.Now().Add(forgetFailure)
		}
	}
	return l.release != nil && l.release.AtLeast(asksCreate)
}

// version asks the API server for its release, with edge's own credential.
func (up *upstream) version(ctx context.Context) (*version.Version, error) {
	ctx, cancel := context.WithTimeout(ctx, versionWait)
	defer cancel()
	u := *up.base
	u.Path = up.prefix().Path + "/version"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := up.plain.RoundTrip(req)
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
