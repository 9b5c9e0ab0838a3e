package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/bridge/internal/negotiate"
	"edge/bridge/internal/status"
	"edge/impersonate"
	"edge/internal/tracing"
)

// A Request is the client's request for a stream, from which edge makes a request upstream in any
// protocol.
type Request struct {
	URL      *url.URL    // the client's URL
	Header   http.Header // the upstream header; each attempt sends a copy
	Identity impersonate.Identity
	negotiate.Dialect
}

// Connect requests a client's stream from the API server, in the protocols that up.streaming
// allows.
//
// If a WebSocket client lacks permission, Connect returns the 403 that the API server itself would
// return. The API server checks the verb get before create and names the verb in the 403. Therefore,
// after a 403, Connect also requests a review of get, and returns that 403 if get is not allowed.
func (up *Cluster) Connect(ctx context.Context, d Request) (Answer, error) {
	a, err := up.choose(ctx, d)
	if !d.isGet() || up.streaming == StreamingWebSocketFirst || !isForbidden(a, err) {
		return a, err
	}
	denied := up.review(ctx, d.Identity, d.Target.Attributes("get"))
	if !isForbidden(Answer{}, denied) {
		return a, err
	}
	a.close()
	return Answer{}, denied
}

// isGet reports whether the client requested the stream by GET and edge translates it.
func (d Request) isGet() bool {
	return d.Kind == negotiate.WebSocketExec || d.Kind == negotiate.WebSocketPorts || d.Kind == negotiate.Tunnel
}

func (up *Cluster) choose(ctx context.Context, d Request) (Answer, error) {
	switch {
	case d.Kind == negotiate.Opaque:
		if d.Target.Proxied != "" {
			if err := up.mayCreate(ctx, d.Identity, d.Target); err != nil {
				return Answer{}, err
			}
		}
		return up.try(ctx, d, d.Own)
	case up.streaming == StreamingSPDY:
		return up.try(ctx, d, negotiate.OfferSPDY(d.Target))
	case up.streaming == StreamingWebSocket:
		return up.askWebSocket(ctx, d)
	case up.streaming == StreamingWebSocketFirst:
		return up.webSocketFirst(ctx, d)
	}
	return up.auto(ctx, d)
}

// webSocketFirst requests the stream over WebSocket, which more load balancers support. If
// WebSocket is refused, it uses SPDY: every release supports SPDY, and RBAC needs only create for
// it. This is safe because a refusal has started nothing.
func (up *Cluster) webSocketFirst(ctx context.Context, d Request) (Answer, error) {
	a, err := up.try(ctx, d, negotiate.OfferWebSocket(d.Target, d.Streams.Stdin))
	denied := err == nil && isForbidden(a, nil)
	mayAskAgain := denied || d.mayFallBack(a, err)
	if !mayAskAgain || ctx.Err() != nil {
		return a, err
	}
	b, spdyErr := up.try(ctx, d, negotiate.OfferSPDY(d.Target))
	if !d.mayFallBack(b, spdyErr) { // over SPDY the API server itself answered: return that answer
		a.close()
		return b, spdyErr
	}
	b.close()
	if denied {
		return a, nil
	}
	a.close()
	return Answer{}, status.New(status.ReasonUpstream, http.StatusBadGateway, metav1.StatusReasonServiceUnavailable,
		fmt.Sprintf("edge: this %s was accepted neither over WebSocket (%s: %s) nor over SPDY (%s). API servers support WebSocket "+
			"since Kubernetes 1.30, and WebSocket port-forward since 1.31. For older ones, run edge next to the API server or use a "+
			"load balancer that supports SPDY. These answers may also come from a server in between, such as a login page",
			d.Target.Verb, strings.Join(negotiate.OfferWebSocket(d.Target, d.Streams.Stdin).Subprotocols, ", "), describeAnswer(a, err), describeAnswer(b, spdyErr)))
}

// auto requests the stream over SPDY. If a load balancer or proxy on the path refuses SPDY, auto
// uses WebSocket. A refusal before the 101 has started nothing, so a second request is safe. auto
// stores which protocol works. Only answers that no API server or kubelet gives to a stream request
// count as a refusal of SPDY, see isProxyRefusal. Every other answer is final.
//
// auto uses WebSocket only for API servers of 1.35 and later, because they check create on the
// WebSocket GET.
func (up *Cluster) auto(ctx context.Context, d Request) (Answer, error) {
	family := kindOf(d.Target)
	noSPDY := up.protocols.spdyRefused(family)
	if noSPDY {
		a, err := up.askWebSocket(ctx, d)
		if !d.mayFallBack(a, err) {
			if isCut(err) { // forget that SPDY was refused: the next stream tries SPDY again
				up.protocols.reset(family)
			}
			return a, err
		}
		a.close()
	}
	a, err := up.try(ctx, d, negotiate.OfferSPDY(d.Target))
	if err == nil && a.Conn != nil {
		up.protocols.reset(family)
		return a, nil
	}
	if noSPDY || ctx.Err() != nil {
		return a, err
	}
	if !d.mayFallBack(a, err) {
		if isCut(err) && up.speaksWebSocket(ctx) { // count the cut connection: the next stream may use WebSocket
			up.protocols.noteSPDYFailure(family, true)
		}
		return a, err
	}
	if !up.speaksWebSocket(ctx) {
		if err == nil && IsUpgradeRequired(a.Response) {
			a.close()
			return Answer{}, status.New(status.ReasonUpstream, http.StatusBadGateway, metav1.StatusReasonServiceUnavailable,
				"edge: a proxy before the API server does not support SPDY, and in mode auto edge uses WebSocket only for API servers of 1.35 and later: "+
					"connect edge to the API server directly, or set --upstream-streaming=websocket")
		}
		return a, err
	}
	b, wsErr := up.askWebSocket(ctx, d)
	var denied apierrors.APIStatus
	switched := wsErr == nil && b.Conn != nil
	if switched || errors.As(wsErr, &denied) {
		a.close()
		if wsErr == nil && up.protocols.noteSPDYFailure(family, err != nil) {
			up.log.Warn("the path to the API server does not support SPDY: using WebSocket", "verb", d.Target.Verb, "for", learnedFor)
		}
		return b, wsErr
	}
	if b.MayHaveBegun(wsErr) {
		a.close()
		return b, wsErr
	}
	b.close()
	return a, err
}

// mayFallBack reports whether edge may request the stream again in another protocol after the
// answer a or the error err: nothing has started, and neither the API server nor the kubelet has
// decided. A connection without an answer may have been cut after the 101. A command must not run
// twice, so exec does not fall back then.
func (d Request) mayFallBack(a Answer, err error) bool {
	if err == nil {
		return a.Conn == nil && isProxyRefusal(a.Response)
	}
	harmlessCut := isCut(err) && d.Target.Verb != negotiate.VerbExec
	notBegun := errors.Is(err, negotiate.ErrNotSwitched) && !errors.Is(err, negotiate.ErrBegun)
	return harmlessCut || notBegun || impersonate.IsUnanswered(err)
}

// askWebSocket requests the stream over WebSocket, after a review for create. The review is needed
// because the WebSocket request is a GET: an API server before 1.35, or a later one with the
// feature gate off, checks only get for it.
func (up *Cluster) askWebSocket(ctx context.Context, d Request) (Answer, error) {
	if err := up.mayCreate(ctx, d.Identity, d.Target); err != nil {
		return Answer{}, err
	}
	a, err := up.try(ctx, d, negotiate.OfferWebSocket(d.Target, d.Streams.Stdin))
	if err != nil || a.Conn != nil || !isSubprotocolRefusal(a.Response) || up.streaming != StreamingWebSocket {
		return a, err
	}
	a.close()
	return Answer{}, status.New(status.ReasonUpstream, http.StatusBadGateway, metav1.StatusReasonServiceUnavailable,
		fmt.Sprintf("edge: the API server does not support %s, and edge is configured to use only WebSocket: "+
			"set --upstream-streaming=auto or spdy", strings.Join(negotiate.OfferWebSocket(d.Target, d.Streams.Stdin).Subprotocols, " or ")))
}

// try sends one upgrade request, which offers the API server the protocols in the parameter link,
// and checks the answer. After an error the answer has the offer only.
func (up *Cluster) try(ctx context.Context, d Request, link negotiate.Offer) (Answer, error) {
	header := d.Header.Clone()
	link.SetHeader(header)
	ctx, end := tracing.Call(ctx, tracing.Upstream)
	tracing.Inject(ctx, header)
	conn, resp, err := up.route(d.Identity).switchProtocols(ctx, &http.Request{ //nolint:bodyclose // the caller closes Answer.Response
		Method: link.Method, URL: up.URL(d.URL), Header: header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	})
	if err != nil {
		end(0, err)
		return Answer{Offer: link}, &unansweredError{err}
	}
	end(resp.StatusCode, nil)
	if conn == nil {
		return Answer{Response: resp}, nil
	}
	if err := link.Check(resp.Header); err != nil {
		conn.Close()
		return Answer{Offer: link}, err
	}
	return Answer{Offer: link, Conn: conn, Response: resp}, nil
}

// Again returns the function by which a port-forward requests one more upstream session, in the
// protocol of the parameter link. In edge connect (websocket-first) each forwarded connection has
// its own upstream session. In edge serve the connections share one session, as in the API server,
// and Again returns nil.
func (up *Cluster) Again(d Request, link negotiate.Offer) func(context.Context) (Answer, error) {
	isPortForward := d.Kind == negotiate.SPDYPorts || d.Kind == negotiate.Tunnel
	if !isPortForward || up.streaming != StreamingWebSocketFirst {
		return nil
	}
	request := d // so that d itself stays off the heap for all other streams
	return func(ctx context.Context) (Answer, error) {
		if link.Protocol == negotiate.WebSocket {
			return up.try(ctx, request, negotiate.OfferWebSocket(request.Target, request.Streams.Stdin))
		}
		return up.try(ctx, request, negotiate.OfferSPDY(request.Target))
	}
}

// AnswersPings reports whether upstream answers the pings of a stream as long as upstream is alive.
// An API server need not answer: while it sends to a process that does not read, it may be silent
// for long. In edge connect (websocket-first), another server, such as edge serve, is between edge
// and the API server, and it answers.
func (up *Cluster) AnswersPings(link negotiate.Offer) bool {
	return up.streaming == StreamingWebSocketFirst && link.Protocol == negotiate.WebSocket && !link.Opaque
}

// speaksWebSocket reports whether edge may use WebSocket with this API server, which depends on the
// API server's release. If the API server does not answer the request for its release, the stored
// release stays valid.
func (up *Cluster) speaksWebSocket(ctx context.Context) bool {
	l := up.protocols
	select {
	case l.asking <- struct{}{}:
		defer func() { <-l.asking }()
	case <-ctx.Done():
		return false
	}
	if time.Now().After(l.until) {
		// The first caller requests the release for all callers, and the request continues when
		// that caller's ctx ends.
		release, err := up.version(context.WithoutCancel(ctx))
		if err != nil {
			up.log.Warn("cannot get the version of the API server", "error", err.Error())
			l.until = time.Now().Add(retryVersionAfter)
		} else {
			l.release, l.until = release, time.Now().Add(learnedFor)
		}
	}
	return l.release != nil && l.release.AtLeast(asksCreate)
}
