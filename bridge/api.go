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

// This file re-exports types and functions of the internal packages below bridge, so that packages
// outside bridge can use them.

type (
	// Reason states why edge itself, and not the API server, answered a request.
	Reason = status.Reason
	// Cause states why a stream (an exec, attach, port-forward or other upgrade) ended.
	Cause = session.Cause
	// Streaming selects the protocol between edge and the API server for exec, attach and
	// port-forward.
	Streaming = upstream.Streaming
	// Credential is the credential that edge itself uses at the API server.
	Credential = upstream.Credential
	// CredentialConfig names the sources of edge's own credential, see [Credential].
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
	// ErrNoCredential is the error of a request of edge's own if edge has no credential to send to
	// the API server.
	ErrNoCredential = upstream.ErrNoCredential
	// ErrRefused is returned by [Credential.Ready] while the API server does not accept edge's own
	// credential.
	ErrRefused = upstream.ErrRefused
)

// NewCredential reads edge's own credential for the API server from the sources in cfg.
func NewCredential(cfg CredentialConfig) (*Credential, error) { return upstream.NewCredential(cfg) }

// NewTransport returns a transport for edge's own requests. Such requests take the same route to
// the API server as the requests of clients. The returned function end closes the transport.
func NewTransport(cfg *rest.Config) (rt http.RoundTripper, end func(), err error) {
	return upstream.NewTransport(cfg)
}

// Listener wraps l. The relay moves bytes between clients and the API server; with Listener it can
// read what has arrived on a connection without waiting for more. Pass the result to
// tls.NewListener, so that it is below TLS. edge works without Listener, but then small messages
// cost more CPU.
func Listener(l net.Listener) net.Listener { return leg.Listener(l) }

// Refuse answers a request that does not reach a Handler, in the form in which a Handler answers: a
// metav1.Status, or plain text. The answer is err if err is an APIStatus, and a 500 otherwise.
func Refuse(w http.ResponseWriter, r *http.Request, err error) { status.Refuse(w, r, err) }

// BeginsStream reports whether r is an upgrade to an exec, attach or port-forward, also through a
// proxy subresource. Such a request requires the verb create, whatever its HTTP method.
func BeginsStream(r *http.Request) bool { return negotiate.BeginsStream(r) }
