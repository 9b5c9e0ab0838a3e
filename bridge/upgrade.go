package bridge

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
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
)

// serveUpgrade is the way of a stream: choose the client's dialect, ask upstream
// for its own, and only after a valid 101 answer with one.
func (h *Handler) serveUpgrade(w http.ResponseWriter, r *http.Request, id impersonate.Identity, seen *observed) {
	d, err := negotiate.Choose(r)
	var key *refusalKey // nil: how this ends is not remembered
	if d.Target.IsStream() && httpguts.HeaderValuesContainsToken(r.Header["Upgrade"], negotiate.WebSocket) {
		key = refusalKeyOf(id, r.URL)
	}
	deny := func(err error) {
		h.refusals.rememberOwn(key, w.Header(), err)
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
	stream := session.Description{ID: newSessionID(), User: id.Name, Target: d.Target, Downstream: d.Name, Started: time.Now()}
	if id.Nested && id.Requestor != nil {
		stream.Requestor = id.Requestor.GetName()
	}
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

	up, err := h.cluster.Connect(r.Context(), asked)
	if err != nil {
		if r.Context().Err() != nil {
			panic(http.ErrAbortHandler)
		}
		deny(h.upgradeError(d, err))
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
	if err != nil { // the response is written or the connection gone
		up.Conn.Close()
		h.log.Debug("client went away during the upgrade", "verb", d.Target.Verb, "error", err.Error())
		return
	}

	stream.Upstream, stream.Started = up.Offer.Name(), time.Now()
	handedOver = true
	h.sessions.Run(session.Params{
		Description:  stream,
		Dialect:      d,
		Offer:        up.Offer,
		ClientConn:   client,
		UpstreamConn: up.Conn,
		Again:        h.cluster.Again(asked, up.Offer),
		AnswersPings: h.cluster.AnswersPings(up.Offer),
		Times:        h.times,
		Log:          h.log,
		OnLost:       h.onLost,
		OnEnd:        seen.handOver(),
	})
}

// upgradeError is the client's view of why upstream did not switch.
func (h *Handler) upgradeError(d negotiate.Dialect, err error) error {
	if known := apierrors.APIStatus(nil); errors.As(err, &known) {
		if known.Status().Code >= http.StatusInternalServerError {
			h.log.Warn("an upgrade was not possible", "verb", d.Target.Verb, "error", err.Error())
		}
		return err
	}
	if errors.Is(err, negotiate.ErrNotSwitched) {
		h.log.Warn("API server answered an upgrade wrongly", "verb", d.Target.Verb, "error", err.Error())
		return status.New(status.ReasonUpstream, http.StatusBadGateway, metav1.StatusReasonServiceUnavailable, "edge: the API server answered the upgrade with another protocol")
	}
	h.log.Warn("API server did not answer an upgrade", "verb", d.Target.Verb, "error", err.Error())
	return upstream.GatewayError(http.MethodGet, err)
}

// passOn gives a refusal to the client as it is: status, headers and body.
func passOn(w http.ResponseWriter, r *http.Request, resp *http.Response) {
	defer resp.Body.Close()
	impersonate.StripHopByHop(resp.Header)
	header := w.Header()
	for name, values := range resp.Header {
		header[name] = values
	}
	u := status.BoundWrites(w, r, status.DiscardBody(w, r))
	if resp.ContentLength < 0 && u.HTTP1 { // net/http writes the last chunk after us, within the last write's time
		header.Set("Connection", "close")
	}
	w.WriteHeader(resp.StatusCode)
	if _, err := io.Copy(flushing{w, u}, resp.Body); err != nil {
		panic(http.ErrAbortHandler) // a part of the body must not look whole
	}
	if resp.ContentLength >= 0 {
		u.Done()
	}
}

// flushing sends what it is given at once.
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
