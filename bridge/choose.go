package bridge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/impersonate"
)

// Streaming says what edge speaks to the API server on exec, attach and
// port-forward.
type Streaming string

const (
	// StreamingAuto is SPDY, which costs API server and edge least and which every
	// release knows, and WebSocket where the way to the API server does not carry
	// SPDY. See Handler.auto.
	StreamingAuto Streaming = "auto"
	// StreamingWebSocket is v5 and the tunnel, with a review for create.
	StreamingWebSocket Streaming = "websocket"
	// StreamingSPDY is SPDY only.
	StreamingSPDY Streaming = "spdy"
	// StreamingWebSocketFirst is WebSocket, and SPDY where the API server or the way
	// to it refuses that. It reviews nothing: it is for who holds their own
	// credential, as in edge connect.
	StreamingWebSocketFirst Streaming = "websocket-first"
)

// An upswitch is an answer to an upgrade: a connection that speaks link, or with
// conn nil a refusal, whose body its holder closes.
type upswitch struct {
	link uplink
	conn *switched
	resp *http.Response
}

func (a upswitch) close() {
	if a.conn == nil && a.resp != nil {
		a.resp.Body.Close()
	}
}

// connect asks the API server for a client's stream, in what edge speaks to it.
//
// Who may not have it and came by WebSocket reads what the API server says of that:
// it asks for get before create, and names it.
func (h *Handler) connect(r *http.Request, id impersonate.Identity, d dialect) (upswitch, error) {
	a, err := h.choose(r, id, d)
	if !d.isGet() || h.streaming == StreamingWebSocketFirst || !isForbidden(a, err) {
		return a, err
	}
	denied := h.review(r.Context(), id, d.target.attributes("get"))
	if !isForbidden(upswitch{}, denied) {
		return a, err
	}
	a.close()
	return upswitch{}, denied
}

// isGet tells whether a client's stream is a GET that edge translates.
func (d dialect) isGet() bool { return d.kind == wsExec || d.kind == wsPorts || d.kind == wsTunnel }

// isForbidden tells an authorizer's refusal, asked by a request or by a review.
func isForbidden(a upswitch, err error) bool {
	var status apierrors.APIStatus
	if err != nil {
		return errors.As(err, &status) && status.Status().Code == http.StatusForbidden
	}
	return a.conn == nil && a.resp != nil && a.resp.StatusCode == http.StatusForbidden && !isBare(a.resp)
}

func (h *Handler) choose(r *http.Request, id impersonate.Identity, d dialect) (upswitch, error) {
	switch {
	case d.kind == opaque:
		if d.target.proxied != "" {
			if err := h.mayCreate(r.Context(), id, d); err != nil {
				return upswitch{}, err
			}
		}
		return h.ask(r, id, opaqueUplink(r, d))
	case h.streaming == StreamingSPDY:
		return h.ask(r, id, spdyUplink(d))
	case h.streaming == StreamingWebSocket:
		return h.askWebSocket(r, id, d)
	case h.streaming == StreamingWebSocketFirst:
		return h.webSocketFirst(r, id, d)
	}
	return h.auto(r, id, d)
}

// webSocketFirst asks in WebSocket, which passes more load balancers, and in SPDY
// where that is refused: every release speaks it, and for it RBAC asks for create
// only. A refusal has begun nothing.
func (h *Handler) webSocketFirst(r *http.Request, id impersonate.Identity, d dialect) (upswitch, error) {
	a, err := h.ask(r, id, webSocketUplink(d))
	denied := err == nil && isForbidden(a, nil)
	if err == nil && a.conn != nil || !denied && !d.mayFallBack(a, err) || r.Context().Err() != nil {
		return a, err
	}
	b, spdyErr := h.ask(r, id, spdyUplink(d))
	if spdyErr == nil && b.conn != nil || !d.mayFallBack(b, spdyErr) { // it was heard: its answer says more than that of the first
		a.close()
		return b, spdyErr
	}
	b.close()
	if denied {
		return a, nil
	}
	a.close()
	return upswitch{}, failure(ReasonUpstream, http.StatusBadGateway, metav1.StatusReasonServiceUnavailable,
		fmt.Sprintf("edge: this %s was taken neither over WebSocket (%s: %s) nor over SPDY (%s). API servers speak WebSocket "+
			"since Kubernetes 1.30, its port-forward since 1.31; for older ones, edge has to run in front of the API server, or the "+
			"load balancer has to carry SPDY. If something else stands in between, such as a login page, it answered",
			d.target.verb, strings.Join(webSocketUplink(d).offers, ", "), answered(a, err), answered(b, spdyErr)))
}

// answered is an answer in short.
func answered(a upswitch, err error) string {
	switch {
	case isCut(err):
		return "the connection was cut"
	case err != nil:
		return "a wrong 101"
	}
	return fmt.Sprintf("%d %s", a.resp.StatusCode, http.StatusText(a.resp.StatusCode))
}

// auto asks in SPDY, and in WebSocket where something on the way refused SPDY. A
// refusal before the 101 has begun nothing, so to ask once more is safe. What
// came of it is remembered. Only what no API server or kubelet says of a stream
// counts as such a refusal, see isCarriersWord: anything else is final.
//
// WebSocket is for API servers of 1.35 and later, which ask for create themselves
// on the GET that it is.
func (h *Handler) auto(r *http.Request, id impersonate.Identity, d dialect) (upswitch, error) {
	family := familyOf(d.target)
	noSPDY := h.learned.noSPDY(family)
	if noSPDY {
		a, err := h.askWebSocket(r, id, d)
		if err == nil && a.conn != nil || !d.mayFallBack(a, err) {
			if isCut(err) { // the next finds out whether SPDY does
				h.learned.forget(family)
			}
			return a, err
		}
		a.close()
	}
	a, err := h.ask(r, id, spdyUplink(d))
	if err == nil && a.conn != nil {
		h.learned.forget(family)
		return a, nil
	}
	if noSPDY || r.Context().Err() != nil {
		return a, err
	}
	if !d.mayFallBack(a, err) {
		if isCut(err) && h.speaksWebSocket(r.Context()) { // not now, but the next may
			h.learned.spdyFails(family, true)
		}
		return a, err
	}
	if !h.speaksWebSocket(r.Context()) {
		if err == nil && isUpgradeRequired(a.resp) {
			a.close()
			return upswitch{}, failure(ReasonUpstream, http.StatusBadGateway, metav1.StatusReasonServiceUnavailable,
				"edge: the way from edge to the API server does not carry SPDY, and edge speaks WebSocket by itself only to API servers of 1.35 and later: "+
					"connect edge to the API server directly, or set --upstream-streaming=websocket")
		}
		return a, err
	}
	b, wsErr := h.askWebSocket(r, id, d)
	var denied apierrors.APIStatus
	if wsErr == nil && b.conn != nil || errors.As(wsErr, &denied) {
		a.close()
		if wsErr == nil && h.learned.spdyFails(family, err != nil) {
			h.log.Warn("the way to the API server carries no SPDY: using WebSocket", "verb", d.target.verb, "for", remember)
		}
		return b, wsErr
	}
	b.close()
	return a, err
}

// mayFallBack tells whether an attempt failed in a way that another protocol may
// not: nothing began, and nobody in the cluster has decided. A connection that was
// cut may have been cut after the 101, and a command must not run twice.
func (d dialect) mayFallBack(a upswitch, err error) bool {
	if err == nil {
		return a.conn == nil && isCarriersWord(a.resp)
	}
	var failed *impersonate.ReviewError
	return isCut(err) && d.target.verb != verbExec ||
		errors.Is(err, errNotSwitched) && !errors.Is(err, errBegun) || errors.As(err, &failed)
}

// askWebSocket asks in WebSocket, after a review: as the GET that it is, an API
// server before 1.35, or a later one with a gate off, would ask for get only.
func (h *Handler) askWebSocket(r *http.Request, id impersonate.Identity, d dialect) (upswitch, error) {
	if err := h.mayCreate(r.Context(), id, d); err != nil {
		return upswitch{}, err
	}
	a, err := h.ask(r, id, webSocketUplink(d))
	if err != nil || a.conn != nil || !isSubprotocolRefusal(a.resp) || h.streaming != StreamingWebSocket {
		return a, err
	}
	a.close()
	return upswitch{}, failure(ReasonUpstream, http.StatusBadGateway, metav1.StatusReasonServiceUnavailable,
		fmt.Sprintf("edge: the API server does not speak %s, and edge was told to speak nothing but WebSocket to it: "+
			"set --upstream-streaming=auto or spdy", strings.Join(webSocketUplink(d).offers, " or ")))
}

func (h *Handler) mayCreate(ctx context.Context, id impersonate.Identity, d dialect) error {
	return h.review(ctx, id, d.target.attributes("create"))
}

// ask sends one upgrade and checks the answer.
func (h *Handler) ask(r *http.Request, id impersonate.Identity, link uplink) (upswitch, error) {
	header := r.Header.Clone()
	if err := outbound(header, id); err != nil {
		return upswitch{}, err
	}
	link.ask(header)
	conn, resp, err := h.up.route(id).switchProtocols(r.Context(), &http.Request{
		Method: link.method, URL: h.up.url(r.URL), Header: header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	})
	if err != nil {
		return upswitch{}, &unansweredError{err}
	}
	if conn == nil {
		return upswitch{resp: resp}, nil
	}
	if err := link.check(resp.Header); err != nil {
		conn.Close()
		return upswitch{}, err
	}
	return upswitch{link: link, conn: conn, resp: resp}, nil
}

// again is how a port-forward asks for one more upstream session, which it does
// as it asked for link, or nil where its connections share the one: edge connect
// gives each its own, see fanout; edge serve does as the API server does.
func (h *Handler) again(r *http.Request, id impersonate.Identity, d dialect, link uplink) func(context.Context) (upswitch, error) {
	if h.streaming != StreamingWebSocketFirst || d.kind != spdyPorts && d.kind != wsTunnel {
		return nil
	}
	asked := &http.Request{Method: r.Method, URL: r.URL, Header: r.Header.Clone(), RemoteAddr: r.RemoteAddr}
	return func(ctx context.Context) (upswitch, error) {
		if link.protocol == webSocket {
			return h.ask(asked.WithContext(ctx), id, webSocketUplink(d))
		}
		return h.ask(asked.WithContext(ctx), id, spdyUplink(d))
	}
}

// unansweredError is an upgrade that got no answer.
type unansweredError struct{ err error }

func (e *unansweredError) Error() string { return e.err.Error() }
func (e *unansweredError) Unwrap() error { return e.err }

// isCut tells whether a connection was made and ended without an answer, as some
// load balancers refuse what they do not know.
func isCut(err error) bool {
	var unanswered *unansweredError
	return errors.As(err, &unanswered) &&
		(errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET))
}

// isCarriersWord knows how something between edge and the API server refuses an
// upgrade: it takes the Upgrade off, answers it as a plain request, or forbids it
// without a word, as Envoy does (and wsstream, of a subprotocol). An API server's
// refusal is a Status, a kubelet's is text.
func isCarriersWord(resp *http.Response) bool {
	switch code := resp.StatusCode; code {
	case http.StatusBadRequest:
		return isUpgradeRequired(resp)
	case http.StatusForbidden:
		return isBare(resp)
	case http.StatusUpgradeRequired, http.StatusNotImplemented:
		return true
	default:
		return code < http.StatusBadRequest
	}
}

// isUpgradeRequired knows the API server's 400 to a stream request without an
// Upgrade, and the kubelet's, where "Connection: Upgrade" was left.
func isUpgradeRequired(resp *http.Response) bool {
	if resp.StatusCode != http.StatusBadRequest {
		return false
	}
	body := peekBody(resp, maxExplained)
	var s metav1.Status
	if json.Unmarshal(body, &s) != nil {
		s.Message = strings.TrimSpace(string(body))
	}
	return s.Message == upgradeRequired || strings.HasPrefix(s.Message, missingUpgrade)
}

// isSubprotocolRefusal knows what wsstream answers to subprotocols that are none
// of its own.
func isSubprotocolRefusal(resp *http.Response) bool {
	return resp.StatusCode == http.StatusForbidden && isBare(resp)
}

func isBare(resp *http.Response) bool {
	return resp.ContentLength == 0 || resp.ContentLength < 0 && len(peekBody(resp, 1)) == 0
}

const (
	maxExplained = 4 << 10         // bytes of a refusal that are looked at
	peekWait     = 5 * time.Second // for them
)

// peekBody reads the beginning of a body, and puts it back. A body that keeps
// edge waiting is cut off there.
func peekBody(resp *http.Response, most int64) []byte {
	rest := resp.Body
	late := time.AfterFunc(peekWait, func() { rest.Close() })
	defer late.Stop()
	begin, err := io.ReadAll(io.LimitReader(rest, most))
	body := io.MultiReader(bytes.NewReader(begin), rest)
	if err != nil {
		body = io.MultiReader(bytes.NewReader(begin), failing{err})
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{body, rest}
	return begin
}

// failing is what is left of a body that broke.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
