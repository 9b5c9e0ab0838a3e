package status

import (
	"errors"
	"net/http"
)

// A Reason says why edge itself, and not the API server, is the author of an answer. It is one of the short list below, so
// that logs can be searched for it and a metric may have it as a label; these words stay.
type Reason string

const (
	// About who asks.
	ReasonCredential    Reason = "credential"    // 401: none, or not accepted; 429, 500, 503: nobody could tell
	ReasonIdentity      Reason = "identity"      // 403: a name, group or extra that may not, or cannot, go upstream
	ReasonImpersonation Reason = "impersonation" // 400, 403: whom the request asks to impersonate
	ReasonReview        Reason = "review"        // 403: an access review said no; 429, 500, 503: it had no answer
	ReasonOrigin        Reason = "origin"        // 403: a WebSocket, 403: a write, 401: a preflight, from a web page that may not send it

	// About the request.
	ReasonMethod   Reason = "method"    // 405: CONNECT, TRACE
	ReasonPath     Reason = "path"      // 400: two servers could read it in two ways
	ReasonURLToken Reason = "url_token" // 400: a token in the URL
	ReasonBody     Reason = "body"      // 400: the client broke it off, or broke the rules of HTTP in it
	ReasonDialect  Reason = "dialect"   // 400, 403: an upgrade in a protocol that edge does not speak there
	// ReasonUpgradeRequired: a stream's request without an Upgrade, 400, or with the answer that its WebSocket had before.
	ReasonUpgradeRequired Reason = "upgrade_required"

	// About edge.
	ReasonLimit    Reason = "limit"    // 429: as many streams are open as may be
	ReasonDraining Reason = "draining" // 503: edge ends
	ReasonAudit    Reason = "audit"    // 500: the request cannot be put on record
	ReasonInternal Reason = "internal" // 500: a fault of edge's

	// About the API server.
	ReasonUpstream      Reason = "upstream"       // 502, 503, 504: it cannot be reached, or does not answer as it should
	ReasonOwnCredential Reason = "own_credential" // 503: it does not accept edge's own credential
)

// reasonOf is the outermost Reason in an error. One without any is not meant to be an answer.
func reasonOf(err error) Reason {
	var reasoned interface{ refusal() Reason }
	if errors.As(err, &reasoned) {
		return reasoned.refusal()
	}
	return ReasonInternal
}

// A Noter is an http.ResponseWriter that is told why edge answers by itself.
type Noter interface{ NoteReason(Reason) }

// NoteReason tells w, if it wants to know.
func NoteReason(w http.ResponseWriter, reason Reason) {
	if noter, ok := w.(Noter); ok {
		noter.NoteReason(reason)
	}
}
