package bridge

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/impersonate"
	"edge/streams/spdy"
)

// isUpgrade asks for the Upgrade header only. Where a load balancer took it off
// and left "Connection: Upgrade" behind, the request is a plain one, whose
// refusal is the API server's: see explainUpgradeRequired.
func isUpgrade(h http.Header) bool { return len(h["Upgrade"]) > 0 }

// serveUpgrade is the way of a stream: choose the client's dialect, ask upstream
// for its own, and only after a valid 101 answer with one.
func (h *Handler) serveUpgrade(w http.ResponseWriter, r *http.Request, id impersonate.Identity) {
	d, err := chooseDialect(r)
	if err != nil {
		for _, version := range d.accepts {
			w.Header().Add(headerAccepted, version)
		}
		writeStatus(w, r, err)
		return
	}
	if err := h.sessions.admit(); err != nil {
		writeStatus(w, r, err)
		return
	}
	handedOver := false
	defer func() {
		if !handedOver {
			h.sessions.release()
		}
	}()

	req, err := h.upgradeRequest(r, id, d)
	if err != nil {
		writeStatus(w, r, err)
		return
	}
	conn, resp, err := h.up.switchProtocols(r.Context(), req)
	if err != nil {
		if r.Context().Err() != nil {
			panic(http.ErrAbortHandler)
		}
		h.log.Warn("API server did not answer an upgrade", "verb", d.target.verb, "error", err.Error())
		writeStatus(w, r, gatewayError(err))
		return
	}
	if conn == nil {
		passOn(w, resp)
		return
	}
	if err := d.checkAnswer(r, resp); err != nil {
		conn.Close()
		h.log.Warn("API server answered an upgrade wrongly", "verb", d.target.verb, "error", err.Error())
		writeStatus(w, r, failure(http.StatusBadGateway, metav1.StatusReasonServiceUnavailable, "edge: the API server answered the upgrade with another protocol"))
		return
	}
	client, err := d.accept(w, r, resp)
	if err != nil { // the response is written or the connection gone
		conn.Close()
		h.log.Debug("client went away during the upgrade", "verb", d.target.verb, "error", err.Error())
		return
	}

	s := &session{
		id: newSessionID(), user: id.Name, target: d.target,
		downstream: d.name, upstream: d.upstreamName,
		log: h.log, times: h.times, started: time.Now(), over: make(chan struct{}),
	}
	handedOver = true
	go h.run(s, d, client, conn)
}

// run gives the session its legs and relays until the end. It is a goroutine of
// its own, which the registry waits for, so that the handler can return: net/http
// keeps a request, its buffers and a deep stack for as long as a handler runs,
// some 20 KiB for every idle session.
func (h *Handler) run(s *session, d dialect, client, conn net.Conn) {
	defer h.sessions.release()
	s.down = newLeg(client, d.downBeat(), s.lost)
	s.up = newLeg(conn, d.upBeat(), nil)
	h.sessions.add(s)
	defer h.sessions.remove(s)
	s.keepalives()
	defer s.finish()
	defer s.contain()
	d.relay(s)
}

// upgradeRequest is the request that goes upstream: a POST for SPDY whatever the
// client's method was, so that RBAC asks for create whatever the dialect and the
// API server's release. What edge does not read stays the GET that it was.
func (h *Handler) upgradeRequest(r *http.Request, id impersonate.Identity, d dialect) (*http.Request, error) {
	header := r.Header.Clone()
	if err := outbound(header, r.RemoteAddr, id); err != nil {
		return nil, err
	}
	header["Connection"] = []string{"Upgrade"}
	method := http.MethodPost
	if d.kind == opaque {
		method = http.MethodGet
		header["Upgrade"] = []string{"websocket"}
		if offered := subprotocols(r); len(offered) > 0 { // upstream reads the first line only
			header["Sec-Websocket-Protocol"] = []string{strings.Join(offered, ", ")}
		}
	} else {
		for name := range header {
			if strings.HasPrefix(name, "Sec-Websocket-") {
				delete(header, name)
			}
		}
		header["Upgrade"] = []string{spdy.Protocol}
		header[spdy.HeaderProtocolVersion] = []string{d.upstreamProtocol()}
		delete(header, "Origin") // edge has looked at it; the API server knows edge only
	}
	return &http.Request{
		Method: method, URL: h.up.url(r.URL), Header: header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}, nil
}

// passOn gives a refusal to the client as it is: status, headers and body.
func passOn(w http.ResponseWriter, resp *http.Response) {
	defer resp.Body.Close()
	impersonate.StripHopByHop(resp.Header)
	header := w.Header()
	for name, values := range resp.Header {
		header[name] = values
	}
	w.WriteHeader(resp.StatusCode)
	if _, err := io.Copy(w, resp.Body); err != nil {
		panic(http.ErrAbortHandler) // a part of the body must not look whole
	}
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

// sameOrigin accepts a browser's WebSocket only from a page of the same host.
func sameOrigin(r *http.Request) bool {
	origin, ok := r.Header["Origin"]
	if !ok {
		return true
	}
	if len(origin) != 1 {
		return false
	}
	u, err := url.Parse(origin[0])
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

func newSessionID() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func badRequest(format string, args ...any) error {
	return failure(http.StatusBadRequest, metav1.StatusReasonBadRequest, "edge: "+fmt.Sprintf(format, args...))
}

var errNotSwitched = errors.New("bridge: the 101 names another protocol")
