package bridge

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/http/httpguts"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/streaming/pkg/httpstream"

	"edge/bridge/internal/negotiate"
	"edge/bridge/internal/session"
	"edge/bridge/internal/status"
	"edge/bridge/internal/upstream"
	"edge/impersonate"
	"edge/internal/tracing"
	"edge/streams/ws"
)

// serveUpgrade serves a stream. It chooses the client's dialect (protocol and subprotocol) and
// requests an upgrade from upstream. It answers the client with a 101 only after a valid 101 from
// upstream.
func (h *Handler) serveUpgrade(w http.ResponseWriter, r *http.Request, id impersonate.Identity, seen *observed) {
	d, err := negotiate.Choose(r)
	var key *refusalKey // nil: the refusal of this request is not remembered
	if d.Target.IsStream() && httpguts.HeaderValuesContainsToken(r.Header["Upgrade"], negotiate.WebSocket) {
		key = refusalKeyOf(id, r.URL)
	}
	deny := func(err error) {
		h.refusals.rememberOwn(key, w.Header(), r.Header, err)
		status.Refuse(w, r, err)
	}
	if err != nil {
		for _, version := range d.Accepted {
			w.Header().Add(httpstream.HeaderAcceptedProtocolVersions, version)
		}
		deny(err)
		return
	}
	asked := upstream.Request{URL: r.URL, Header: r.Header.Clone(), Identity: id, Dialect: d}
	if err := rewriteHeader(asked.Header, id); err != nil {
		deny(err)
		return
	}
	stream := describe(r, id, d)
	if err := seen.streaming(stream); err != nil {
		deny(status.Because(status.ReasonAudit, err))
		return
	}
	if err := h.sessions.Admit(stream); err != nil {
		deny(err)
		return
	}
	handedOver := false
	defer func() {
		if !handedOver {
			h.sessions.Release()
		}
	}()

	up, err := h.connect(r.Context(), asked)
	if err != nil {
		deny(err)
		return
	}
	if up.Conn == nil {
		h.refusals.rememberUpstreams(key, up.Response)
		passOn(w, r, up.Response)
		return
	}
	h.refusals.forget(key)
	impersonate.StripHopByHop(up.Response.Header)
	seen.switchingProtocols()
	client, err := d.Accept(w, r, up.Response)
	if err != nil {
		// An error response is already written, or the client has disconnected.
		up.Conn.Close()
		h.log.Debug("client disconnected during the upgrade", "verb", d.Target.Verb, "error", err.Error())
		return
	}
	handedOver = true
	h.run(stream, asked, up, client, seen.handOver())
}

// connect requests a stream from upstream. The error is for the client.
func (h *Handler) connect(ctx context.Context, asked upstream.Request) (upstream.Answer, error) {
	ctx, end := tracing.Begin(ctx, tracing.SessionStart)
	up, err := h.cluster.Connect(ctx, asked)
	end(err)
	if err == nil {
		return up, nil
	}
	if ctx.Err() != nil {
		panic(http.ErrAbortHandler)
	}
	refusal := h.upgradeError(asked.Dialect, asked.Header.Get(status.HeaderAuditID), err)
	if isFallingBack(asked.Dialect) && up.MayHaveBegun(err) {
		return up.Ended(), nil
	}
	return up, refusal
}

// run relays a stream between the client's connection and up, both of which have been upgraded. It
// returns at once.
func (h *Handler) run(stream session.Description, asked upstream.Request, up upstream.Answer, client net.Conn, onEnd func(session.Summary)) {
	stream.Upstream, stream.Started = up.Offer.Name(), time.Now()
	h.sessions.Run(session.Params{
		Description:  stream,
		Dialect:      asked.Dialect,
		Offer:        up.Offer,
		ClientConn:   client,
		UpstreamConn: up.Conn,
		Again:        h.cluster.Again(asked, up.Offer),
		AnswersPings: h.cluster.AnswersPings(up.Offer),
		Times:        h.times,
		Log:          h.log,
		OnLost:       h.onLost,
		OnEnd:        onEnd,
	})
}

// describe returns the description of a stream that id requests by r in the dialect d.
func describe(r *http.Request, id impersonate.Identity, d negotiate.Dialect) session.Description {
	stream := session.Description{
		ID: newSessionID(), AuditID: r.Header.Get(status.HeaderAuditID), User: id.Name, Target: d.Target, Downstream: d.Name, Started: time.Now(),
	}
	if id.Nested && id.Requestor != nil {
		stream.Requestor = id.Requestor.GetName()
	}
	return stream
}

// upgradeError returns the answer for the client after an upgrade request to the API server failed
// with err, and logs err with the request's Audit-ID.
func (h *Handler) upgradeError(d negotiate.Dialect, auditID string, err error) error {
	warn := func(what string) {
		h.log.Warn(what, "audit-ID", auditID, "verb", d.Target.Verb, "error", err.Error())
	}
	if known := apierrors.APIStatus(nil); errors.As(err, &known) {
		if known.Status().Code >= http.StatusInternalServerError {
			warn("upgrade failed")
		}
		return err
	}
	if errors.Is(err, negotiate.ErrNotSwitched) {
		warn("invalid response of the API server to an upgrade")
		message := "edge: the API server answered the upgrade with another protocol than edge requested"
		if errors.Is(err, negotiate.ErrBegun) && d.Target.Verb == negotiate.VerbExec {
			message += upstream.MayBeDone
		}
		return status.New(status.ReasonUpstream, http.StatusBadGateway, metav1.StatusReasonServiceUnavailable, message)
	}
	warn("API server did not answer an upgrade request")
	method := d.Own.Method
	switch {
	case d.Target.Verb == negotiate.VerbExec:
		method = http.MethodPost // also if the client requested the exec by GET
	case d.Target.IsStream():
		method = http.MethodGet // to attach or to forward ports twice changes nothing
	}
	return upstream.GatewayError(method, err)
}

// isFallingBack reports whether the client is one that requests the exec again over SPDY if the
// WebSocket is refused, as kubectl does. If the command may have begun, edge accepts the WebSocket
// of such a client, and reports the failure in the final Status, as the API server does. Otherwise
// the client would run the command twice.
func isFallingBack(d negotiate.Dialect) bool {
	return d.Kind == negotiate.WebSocketExec && d.Target.Verb == negotiate.VerbExec && d.Version == ws.V5Channel
}

// passOn copies an upstream refusal to the client unchanged: status, headers and body.
func passOn(w http.ResponseWriter, r *http.Request, resp *http.Response) {
	defer resp.Body.Close()
	impersonate.StripHopByHop(resp.Header)
	header := w.Header()
	maps.Copy(header, resp.Header)
	u := status.BoundWrites(w, r, status.DiscardBody(w, r))
	// net/http writes the end of a chunked body after passOn has returned. So the write deadline
	// must stay set, and the connection cannot be reused.
	if resp.ContentLength < 0 && u.HTTP1 {
		header.Set("Connection", "close")
	}
	w.WriteHeader(resp.StatusCode)
	if _, err := io.Copy(flushing{w, u}, resp.Body); err != nil {
		panic(http.ErrAbortHandler) // cut the connection: a partial body must not look complete
	}
	if resp.ContentLength >= 0 {
		u.Done()
	}
}

// flushing is a writer that flushes each write at once, and extends the write deadline before it.
type flushing struct {
	io.Writer
	untaken status.BoundedWrite
}

func (f flushing) Write(b []byte) (int, error) {
	f.untaken.Extend()
	n, err := f.Writer.Write(b)
	if err == nil {
		err = f.untaken.Controller.Flush()
	}
	return n, err
}

func newSessionID() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
