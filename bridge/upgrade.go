package bridge

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/impersonate"
)

// serveUpgrade is the way of a stream: choose the client's dialect, ask upstream
// for its own, and only after a valid 101 answer with one.
func (h *Handler) serveUpgrade(w http.ResponseWriter, r *http.Request, id impersonate.Identity, seen *sighting) {
	d, err := chooseDialect(r)
	var key *refusalKey // nil: how this ends is not remembered
	if d.target.isStream() && httpguts.HeaderValuesContainsToken(r.Header["Upgrade"], webSocket) {
		key = keyOf(id, r.URL)
	}
	deny := func(err error) {
		h.refusals.own(key, w.Header(), err)
		refuse(w, r, err)
	}
	if err != nil {
		for _, version := range d.accepts {
			w.Header().Add(headerAccepted, version)
		}
		deny(err)
		return
	}
	if err := h.sessions.admit(); err != nil {
		deny(err)
		return
	}
	handedOver := false
	defer func() {
		if !handedOver {
			h.sessions.release()
		}
	}()

	up, err := h.connect(r, id, d)
	if err != nil {
		if r.Context().Err() != nil {
			panic(http.ErrAbortHandler)
		}
		deny(h.upgradeError(d, err))
		return
	}
	if up.conn == nil {
		h.refusals.passing(key, up.resp)
		passOn(w, r, up.resp)
		return
	}
	h.refusals.forget(key)
	seen.switching()
	client, err := d.accept(w, r, up.resp)
	if err != nil { // the response is written or the connection gone
		up.conn.Close()
		h.log.Debug("client went away during the upgrade", "verb", d.target.verb, "error", err.Error())
		return
	}

	s := &session{
		id: newSessionID(), user: id.Name, target: d.target,
		downstream: d.name, upstream: up.link.name(),
		log: h.log, times: h.times, started: time.Now(), over: make(chan struct{}),
		answers: h.streaming == StreamingWebSocketFirst && up.link.protocol == webSocket && !up.link.opaque,
		onLost:  h.onLost,
		seen:    seen,
	}
	if id.Nested && id.Requestor != nil {
		s.requestor = id.Requestor.GetName()
	}
	s.begun()
	handedOver = true
	seen.handOver()
	go h.run(s, pair{dialect: d, up: up.link, again: h.again(r, id, d, up.link)}, client, up.conn)
}

// upgradeError is the client's view of why upstream did not switch.
func (h *Handler) upgradeError(d dialect, err error) error {
	if known := apierrors.APIStatus(nil); errors.As(err, &known) {
		if known.Status().Code >= http.StatusInternalServerError {
			h.log.Warn("an upgrade was not possible", "verb", d.target.verb, "error", err.Error())
		}
		return err
	}
	if errors.Is(err, errNotSwitched) {
		h.log.Warn("API server answered an upgrade wrongly", "verb", d.target.verb, "error", err.Error())
		return failure(ReasonUpstream, http.StatusBadGateway, metav1.StatusReasonServiceUnavailable, "edge: the API server answered the upgrade with another protocol")
	}
	h.log.Warn("API server did not answer an upgrade", "verb", d.target.verb, "error", err.Error())
	return gatewayError(http.MethodGet, err)
}

// run gives the session its legs and relays until the end. It is a goroutine of
// its own, which the registry waits for, so that the handler can return: net/http
// keeps a request, its buffers and a deep stack for as long as a handler runs,
// some 20 KiB for every idle session.
func (h *Handler) run(s *session, p pair, client, conn net.Conn) {
	if p.passed == webSocket {
		p.pass = newPassing()
	}
	s.down = newLeg(client, p.downBeat(), s.lost)
	s.up = newLeg(conn, p.upBeat(), nil)
	s.idlers = &h.idlers
	h.sessions.add(s)
	s.keepalives()
	over := func() {
		s.finish()
		h.sessions.remove(s)
		h.sessions.release()
	}
	s.carry(func() bool { return p.relay(s, over) }, over)
}

// passOn gives a refusal to the client as it is: status, headers and body.
func passOn(w http.ResponseWriter, r *http.Request, resp *http.Response) {
	defer resp.Body.Close()
	impersonate.StripHopByHop(resp.Header)
	header := w.Header()
	for name, values := range resp.Header {
		header[name] = values
	}
	u := newUntaken(w, r, takeBody(w, r))
	if resp.ContentLength < 0 && u.http1 { // net/http writes the last chunk after us, within the last write's time
		header.Set("Connection", "close")
	}
	w.WriteHeader(resp.StatusCode)
	if _, err := io.Copy(flushing{w, u}, resp.Body); err != nil {
		panic(http.ErrAbortHandler) // a part of the body must not look whole
	}
	if resp.ContentLength >= 0 {
		u.written()
	}
}

// flushing sends what it is given at once.
type flushing struct {
	io.Writer
	untaken untaken
}

func (f flushing) Write(b []byte) (int, error) {
	f.untaken.extend()
	n, err := f.Writer.Write(b)
	if err == nil {
		err = f.untaken.at.Flush()
	}
	return n, err
}

// hijacked writes a 101 and takes the connection over, with what the client
// may have sent already.
func hijacked(w http.ResponseWriter) (net.Conn, error) {
	w.WriteHeader(http.StatusSwitchingProtocols)
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		conn.Close()
		return nil, err
	}
	n := rw.Reader.Buffered()
	if n == 0 {
		return conn, nil
	}
	early := make([]byte, n) // at most net/http's buffer
	if _, err := io.ReadFull(rw.Reader, early); err != nil {
		conn.Close()
		return nil, err
	}
	return &switched{Conn: conn, read: io.MultiReader(strings.NewReader(string(early)), conn)}, nil
}

func newSessionID() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func badRequest(why Reason, format string, args ...any) error {
	return failure(why, http.StatusBadRequest, metav1.StatusReasonBadRequest, "edge: "+fmt.Sprintf(format, args...))
}
