package bridge

import (
	"net"
	"net/http"

	"k8s.io/client-go/rest"

	"edge/bridge/internal/leg"
	"edge/bridge/internal/negotiate"
	"edge/bridge/internal/session"
	"edge/bridge/internal/status"
	"edge/bridge/internal/upstream"
)

// What the inner rooms have for other packages.

type (
	// Reason says why edge itself is the author of an answer.
	Reason = status.Reason
	// Cause says why a stream ended.
	Cause = session.Cause
	// Streaming says what edge speaks to the API server on exec, attach and port-forward.
	Streaming = upstream.Streaming
	// Credential is edge's own at the API server.
	Credential = upstream.Credential
	// CredentialConfig says which credential that is.
	CredentialConfig = upstream.CredentialConfig
)

const (
	ReasonCredential      = status.ReasonCredential
	ReasonIdentity        = status.ReasonIdentity
	ReasonImpersonation   = status.ReasonImpersonation
	ReasonReview          = status.ReasonReview
	ReasonOrigin          = status.ReasonOrigin
	ReasonMethod          = status.ReasonMethod
	ReasonPath            = status.ReasonPath
	ReasonURLToken        = status.ReasonURLToken
	ReasonBody            = status.ReasonBody
	ReasonDialect         = status.ReasonDialect
	ReasonUpgradeRequired = status.ReasonUpgradeRequired
	ReasonLimit           = status.ReasonLimit
	ReasonDraining        = status.ReasonDraining
	ReasonAudit           = status.ReasonAudit
	ReasonInternal        = status.ReasonInternal
	ReasonUpstream        = status.ReasonUpstream
	ReasonOwnCredential   = status.ReasonOwnCredential

	CauseCompleted       = session.CauseCompleted
	CauseClientClosed    = session.CauseClientClosed
	CauseClientGone      = session.CauseClientGone
	CauseClientBreach    = session.CauseClientBreach
	CauseClientNotOpened = session.CauseClientNotOpened
	CauseUpstreamLost    = session.CauseUpstreamLost
	CauseUpstreamSilent  = session.CauseUpstreamSilent
	CauseNoStatus        = session.CauseNoStatus
	CauseBadStatus       = session.CauseBadStatus
	CauseShutdown        = session.CauseShutdown
	CauseInternal        = session.CauseInternal

	StreamingAuto           = upstream.StreamingAuto
	StreamingWebSocket      = upstream.StreamingWebSocket
	StreamingSPDY           = upstream.StreamingSPDY
	StreamingWebSocketFirst = upstream.StreamingWebSocketFirst
)

var (
	// ErrNoCredential is the error of a transport that has no credential to send.
	ErrNoCredential = upstream.ErrNoCredential
	// ErrRefused is what [Credential.Ready] says.
	ErrRefused = upstream.ErrRefused
)

// NewCredential reads what the configuration names.
func NewCredential(cfg CredentialConfig) (*Credential, error) { return upstream.NewCredential(cfg) }

// NewTransport makes a transport for requests of edge's own, which fare as its clients' do. close closes it.
func NewTransport(cfg *rest.Config) (rt http.RoundTripper, close func(), err error) {
	return upstream.NewTransport(cfg)
}

// Listener returns l with connections from which the relay can read what is there without waiting. Without it everything
// works, and small messages cost more. It belongs below TLS.
func Listener(l net.Listener) net.Listener { return leg.Listener(l) }

// Refuse answers a request that does not come to a Handler, as a Handler answers one: with err, if that is an APIStatus.
func Refuse(w http.ResponseWriter, r *http.Request, err error) { status.Refuse(w, r, err) }

// BeginsStream tells whether a request is an upgrade to an exec, attach or port-forward, also by way of a proxy: what takes
// create, whatever its method.
func BeginsStream(r *http.Request) bool { return negotiate.BeginsStream(r) }
