package status

import (
	"errors"
	"net/http"
)

// A Reason states why edge itself, and not the API server, answered a request. The constants in
// refusalreason.go are the only values and do not change, so logs can be searched for them and a
// metric may have them as a label.
type Reason string

// The comment of each Reason lists the HTTP status codes of the answers that have the Reason.
const (
	// The following Reasons are about the client's identity.

	// ReasonCredential: 401, the credential is missing or not accepted; 429, 500 or 503, edge could
	// not check it.
	ReasonCredential Reason = "credential"
	// ReasonIdentity: 403, the client has no user name; or its user name, a group or an extra value
	// must not go upstream (for example a reserved system identity), or cannot be sent in a header.
	ReasonIdentity Reason = "identity"
	// ReasonImpersonation: 400 or 403, about the identity that the request asks to impersonate.
	ReasonImpersonation Reason = "impersonation"
	// ReasonReview: 403, an access review denied the request; 429, 500 or 503, the access review
	// got no answer; 400, the access review cannot be sent.
	ReasonReview Reason = "review"
	// ReasonOrigin: 403 for a WebSocket or a write, 401 for a preflight. The origin of the web page
	// that sent it is not allowed.
	ReasonOrigin Reason = "origin"

	// The following Reasons are about the request.

	// ReasonMethod: 405, the method is CONNECT or TRACE.
	ReasonMethod Reason = "method"
	// ReasonPath: 400, two servers could interpret the path differently.
	ReasonPath Reason = "path"
	// ReasonURLToken: 400, the URL contains a token.
	ReasonURLToken Reason = "url_token"
	// ReasonBody: 400, the client did not send the whole body, or violated HTTP in it.
	ReasonBody Reason = "body"
	// ReasonDialect: 400 or 403, the upgrade request is invalid, or names a protocol that edge does
	// not support on the request's path.
	ReasonDialect Reason = "dialect"
	// ReasonUpgradeRequired: a request for an exec, attach or port-forward has no Upgrade header.
	// The answer is a 400. But if edge or the API server has refused the client's WebSocket for the
	// same stream in the last seconds, the answer is that refusal again.
	ReasonUpgradeRequired Reason = "upgrade_required"

	// The following Reasons are about edge itself.

	// ReasonLimit: 429, the maximum number of streams is open.
	ReasonLimit Reason = "limit"
	// ReasonDraining: 503, edge is shutting down.
	ReasonDraining Reason = "draining"
	// ReasonAudit: 500, the request cannot be recorded in the audit log. An Observer that refuses a
	// request for another reason also has this Reason; its error decides the code.
	ReasonAudit Reason = "audit"
	// ReasonInternal: 500, an error in edge.
	ReasonInternal Reason = "internal"

	// The following Reasons are about the API server.

	// ReasonUpstream: 502, 503 or 504, the API server is unreachable or does not answer correctly.
	ReasonUpstream Reason = "upstream"
	// ReasonOwnCredential: 503, the API server does not accept edge's own credential.
	ReasonOwnCredential Reason = "own_credential"
)

// Reasons are all values of Reason.
var Reasons = []Reason{
	ReasonCredential, ReasonIdentity, ReasonImpersonation, ReasonReview, ReasonOrigin,
	ReasonMethod, ReasonPath, ReasonURLToken, ReasonBody, ReasonDialect, ReasonUpgradeRequired,
	ReasonLimit, ReasonDraining, ReasonAudit, ReasonInternal,
	ReasonUpstream, ReasonOwnCredential,
}

// reasonOf returns the outermost Reason in err. An error without a Reason was not meant as an
// answer, so its reason is ReasonInternal.
func reasonOf(err error) Reason {
	var reasoned interface{ refusal() Reason }
	if errors.As(err, &reasoned) {
		return reasoned.refusal()
	}
	return ReasonInternal
}

// A Noter is an http.ResponseWriter that records the Reason why edge itself answers.
type Noter interface{ NoteReason(reason Reason) }

// NoteReason passes reason to w, or to the Noter that w wraps. Like http.ResponseController it
// follows Unwrap.
func NoteReason(w http.ResponseWriter, reason Reason) {
	for w != nil {
		switch outer := w.(type) {
		case Noter:
			outer.NoteReason(reason)
			return
		case interface{ Unwrap() http.ResponseWriter }:
			w = outer.Unwrap()
		default:
			return
		}
	}
}
