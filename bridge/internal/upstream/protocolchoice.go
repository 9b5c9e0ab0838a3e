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
)

// An Request is a client's stream as it is asked for upstream, in any protocol.
type Request struct {
	URL      *url.URL    // the client's
	Header   http.Header // as it goes upstream; each try has a copy
	Identity impersonate.Identity
	negotiate.Dialect
}

// Connect asks the API server for a client's stream, in what edge speaks to it.
//
// Who may not have it and came by WebSocket reads what the API server says of that:
// it asks for get before create, and names it.
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

// isGet tells whether a client's stream is a GET that edge translates.
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

// webSocketFirst asks in WebSocket, which passes more load balancers, and in SPDY
// where that is refused: every release speaks it, and for it RBAC asks for create
// only. A refusal has begun nothing.
func (up *Cluster) webSocketFirst(ctx context.Context, d Request) (Answer, error) {
	a, err := up.try(ctx, d, negotiate.OfferWebSocket(d.Target, d.Streams.Stdin))
	denied := err == nil && isForbidden(a, nil)
	mayAskAgain := denied || d.mayFallBack(a, err)
	if !mayAskAgain || ctx.Err() != nil {
		return a, err
	}
	b, spdyErr := up.try(ctx, d, negotiate.OfferSPDY(d.Target))
	if !d.mayFallBack(b, spdyErr) { // it was heard: its answer says more than that of the first
		a.close()
		return b, spdyErr
	}
	b.close()
	if denied {
		return a, nil
	}
	a.close()
	return Answer{}, status.New(status.ReasonUpstream, http.StatusBadGateway, metav1.StatusReasonServiceUnavailable,
		fmt.Sprintf("edge: this %s was taken neither over WebSocket (%s: %s) nor over SPDY (%s). API servers speak WebSocket "+
			"since Kubernetes 1.30, its port-forward since 1.31; for older ones, edge has to run in front of the API server, or the "+
			"load balancer has to carry SPDY. If something else stands in between, such as a login page, it answered",
			d.Target.Verb, strings.Join(negotiate.OfferWebSocket(d.Target, d.Streams.Stdin).Subprotocols, ", "), describeAnswer(a, err), describeAnswer(b, spdyErr)))
}

// auto asks in SPDY, and in WebSocket where something on the way refused SPDY. A
// refusal before the 101 has begun nothing, so to ask once more is safe. What
// came of it is remembered. Only what no API server or kubelet says of a stream
// counts as such a refusal, see isProxyRefusal: anything else is final.
//
// WebSocket is for API servers of 1.35 and later, which ask for create themselves
// on the GET that it is.
func (up *Cluster) auto(ctx context.Context, d Request) (Answer, error) {
	family := kindOf(d.Target)
	noSPDY := up.protocols.spdyRefused(family)
	if noSPDY {
		a, err := up.askWebSocket(ctx, d)
		if !d.mayFallBack(a, err) {
			if isCut(err) { // the next finds out whether SPDY does
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
		if isCut(err) && up.speaksWebSocket(ctx) { // not now, but the next may
			up.protocols.noteSPDYFailure(family, true)
		}
		return a, err
	}
	if !up.speaksWebSocket(ctx) {
		if err == nil && IsUpgradeRequired(a.Response) {
			a.close()
			return Answer{}, status.New(status.ReasonUpstream, http.StatusBadGateway, metav1.StatusReasonServiceUnavailable,
				"edge: the way from edge to the API server does not carry SPDY, and edge speaks WebSocket by itself only to API servers of 1.35 and later: "+
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
			up.log.Warn("the way to the API server carries no SPDY: using WebSocket", "verb", d.Target.Verb, "for", learnedFor)
		}
		return b, wsErr
	}
	b.close()
	return a, err
}

// mayFallBack tells whether an attempt failed in a way that another protocol may
// not: nothing began, and nobody in the cluster has decided. A connection that was
// cut may have been cut after the 101, and a command must not run twice.
func (d Request) mayFallBack(a Answer, err error) bool {
	if err == nil {
		return a.Conn == nil && isProxyRefusal(a.Response)
	}
	harmlessCut := isCut(err) && d.Target.Verb != negotiate.VerbExec
	notBegun := errors.Is(err, negotiate.ErrNotSwitched) && !errors.Is(err, negotiate.ErrBegun)
	return harmlessCut || notBegun || impersonate.IsUnanswered(err)
}

// askWebSocket asks in WebSocket, after a review: as the GET that it is, an API
// server before 1.35, or a later one with a gate off, would ask for get only.
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
		fmt.Sprintf("edge: the API server does not speak %s, and edge was told to speak nothing but WebSocket to it: "+
			"set --upstream-streaming=auto or spdy", strings.Join(negotiate.OfferWebSocket(d.Target, d.Streams.Stdin).Subprotocols, " or ")))
}

// try sends one upgrade and checks the answer.
func (up *Cluster) try(ctx context.Context, d Request, link negotiate.Offer) (Answer, error) {
	header := d.Header.Clone()
	link.SetHeader(header)
	conn, resp, err := up.route(d.Identity).switchProtocols(ctx, &http.Request{
		Method: link.Method, URL: up.URL(d.URL), Header: header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	})
	if err != nil {
		return Answer{}, &unansweredError{err}
	}
	if conn == nil {
		return Answer{Response: resp}, nil
	}
	if err := link.Check(resp.Header); err != nil {
		conn.Close()
		return Answer{}, err
	}
	return Answer{Offer: link, Conn: conn, Response: resp}, nil
}

// Again is how a port-forward asks for one more upstream session, which it does
// as it asked for link, or nil where its connections share the one: edge connect
// gives each its own, see fanout; edge serve does as the API server does.
func (up *Cluster) Again(d Request, link negotiate.Offer) func(context.Context) (Answer, error) {
	isPortForward := d.Kind == negotiate.SPDYPorts || d.Kind == negotiate.Tunnel
	if !isPortForward || up.streaming != StreamingWebSocketFirst {
		return nil
	}
	return func(ctx context.Context) (Answer, error) {
		if link.Protocol == negotiate.WebSocket {
			return up.try(ctx, d, negotiate.OfferWebSocket(d.Target, d.Streams.Stdin))
		}
		return up.try(ctx, d, negotiate.OfferSPDY(d.Target))
	}
}

// AnswersPings tells whether upstream answers the pings of a stream as long as it is there. Where it is an API server it
// need not: one that feeds a process which does not read may be silent for long. What is between it and edge connect does.
func (up *Cluster) AnswersPings(link negotiate.Offer) bool {
	return up.streaming == StreamingWebSocketFirst && link.Protocol == negotiate.WebSocket && !link.Opaque
}

// speaksWebSocket tells whether the API server is of a release to which edge
// speaks WebSocket by itself. What was known stays known if it does not answer.
func (up *Cluster) speaksWebSocket(ctx context.Context) bool {
	l := up.protocols
	select {
	case l.asking <- struct{}{}:
		defer func() { <-l.asking }()
	case <-ctx.Done():
		return false
	}
	if time.Now().After(l.until) {
		// Whoever asks first asks for all, and may leave.
		release, err := up.version(context.WithoutCancel(ctx))
		if err != nil {
			up.log.Warn("API server did not tell its version", "error", err.Error())
			l.until = time.Now().Add(retryVersionAfter)
		} else {
			l.release, l.until = release, time.Now().Add(learnedFor)
		}
	}
	return l.release != nil && l.release.AtLeast(asksCreate)
}
