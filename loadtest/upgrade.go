package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/streaming/pkg/httpstream"
)

const (
	// maxAnswer limits the status line and header of a response, in bytes.
	maxAnswer = 64 << 10
	// headBuffer is the size of the buffers for reading the status line and header of a response,
	// in bytes. Sessions share the buffers while they open; an open session has no such buffer.
	headBuffer = 4 << 10
	// maxRefusal limits how much loadtest reads of the body of a response that refuses an upgrade,
	// in bytes.
	maxRefusal = 4 << 10
)

var heads = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, headBuffer) }}

// upgrader is an http.RoundTripper that sends each upgrade request on a new connection. client-go's
// wrappers around the upgrader add the credential. The body of a 101 response is a *switched, which
// contains the connection.
type upgrader struct{ dialer *dialer }

// connected is the context key of a *time.Time. upgrader sets this time when the TLS handshake is
// complete.
type connected struct{}

func (u upgrader) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx := r.Context()
	conn, err := u.dialer.dial(ctx)
	if err != nil {
		return nil, err
	}
	if at, ok := ctx.Value(connected{}).(*time.Time); ok {
		*at = time.Now()
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	interrupt := context.AfterFunc(ctx, func() { _ = conn.NetConn().Close() })
	resp, err := ask(conn, r)
	if !interrupt() { // AfterFunc has closed the connection because ctx ended, so the end of ctx is the reason of any error
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.NetConn().Close()
		return nil, err
	}
	_ = conn.SetDeadline(time.Time{})
	return resp, nil
}

// ask sends an upgrade request and reads the response. The body of a 101 response is the
// connection. For another status, ask reads up to maxRefusal bytes of the body and closes the
// connection.
func ask(conn *tls.Conn, r *http.Request) (*http.Response, error) {
	if err := r.Write(conn); err != nil {
		return nil, err
	}
	head := heads.Get().(*bufio.Reader)
	head.Reset(&io.LimitedReader{R: conn, N: maxAnswer})
	defer func() {
		head.Reset(nil)
		heads.Put(head)
	}()
	resp, err := http.ReadResponse(head, r)
	if err != nil {
		return nil, fmt.Errorf("read response: %w", err)
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		ahead, _ := head.Peek(head.Buffered())
		resp.Body = &switched{wire{conn: conn, ahead: bytes.Clone(ahead)}}
		return resp, nil
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	resp.Body = io.NopCloser(bytes.NewReader(body))
	_ = conn.NetConn().Close()
	return resp, nil
}

// switched is the body of a 101 response: the connection after the upgrade.
type switched struct{ wire }

// Close implements io.Closer.
func (s *switched) Close() error {
	s.close()
	return nil
}

// redact replaces the request's credential in a response body, in case the server repeats the
// credential.
func redact(body []byte, r *http.Request) string {
	text := string(body)
	if _, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && token != "" {
		text = strings.ReplaceAll(text, token, "[redacted]")
	}
	return text
}

// upgrade sends the upgrade request r for a session of kind k and returns the session's connection.
// rt is an upgrader, possibly inside client-go's wrappers.
func (k *kind) upgrade(rt http.RoundTripper, r *http.Request) (*wire, error) {
	var key string
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", k.protocol)
	if k.protocol == webSocket {
		var random [16]byte
		_, _ = rand.Read(random[:])
		key = base64.StdEncoding.EncodeToString(random[:])
		r.Header["Sec-WebSocket-Key"] = []string{key}
		r.Header["Sec-WebSocket-Version"] = []string{"13"}
		r.Header["Sec-WebSocket-Protocol"] = []string{k.offer}
	} else {
		r.Header[httpstream.HeaderProtocolVersion] = []string{k.offer}
	}
	resp, err := rt.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	s, ok := resp.Body.(*switched)
	if !ok {
		return nil, refusal(resp)
	}
	if err := k.agreed(resp.Header, key); err != nil {
		s.cut()
		return nil, err
	}
	return &s.wire, nil
}

// agreed checks that a 101 response agrees to the protocol and the subprotocol that the request
// offered. key is the request's Sec-WebSocket-Key, empty for SPDY.
func (k *kind) agreed(h http.Header, key string) error {
	if !httpguts.HeaderValuesContainsToken(h["Connection"], "upgrade") || !strings.EqualFold(h.Get("Upgrade"), k.protocol) {
		return faultf(classRefused, "the 101 response does not upgrade to %s", k.protocol)
	}
	name := httpstream.HeaderProtocolVersion
	if key != "" {
		name = "Sec-WebSocket-Protocol"
		if h.Get("Sec-WebSocket-Accept") != acceptKey(key) {
			return faultf(classRefused, "wrong Sec-WebSocket-Accept in the 101 response")
		}
	}
	if chosen := h.Get(name); chosen != k.offer {
		return faultf(classRefused, "requested subprotocol %s, but the server chose %s", k.offer, short([]byte(chosen)))
	}
	return nil
}

// acceptKey computes the Sec-WebSocket-Accept for a Sec-WebSocket-Key (RFC 6455 section 4.2.2).
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// refusal turns a response that does not open the session into an error with the server's message,
// and closes the body.
func refusal(resp *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	_ = resp.Body.Close()
	text := bytes.TrimSpace([]byte(redact(body, resp.Request)))
	var status metav1.Status
	if json.Unmarshal(text, &status) == nil && status.Message != "" {
		text = []byte(status.Message)
	}
	said := short(text)
	if resp.StatusCode < http.StatusBadRequest {
		return faultf(classRefused, "%s: %s", resp.Status, said)
	}
	return faultf(fmt.Sprintf("http %d", resp.StatusCode), "%s", said)
}
