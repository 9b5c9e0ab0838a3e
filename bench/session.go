package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/gorilla/websocket"
)

const (
	subprotocolV4 = "v4.channel.k8s.io"
	subprotocolV5 = "v5.channel.k8s.io"
)

// Channels of remote command over WebSocket.
const (
	channelStdin  = 0
	channelStdout = 1
	channelError  = 3
)

const (
	// bufferSize is kubectl's (k8s.io/client-go/transport/websocket): a read of 32 KiB and its channel.
	bufferSize       = 33 << 10
	handshakeTimeout = 30 * time.Second
	closeTimeout     = 5 * time.Second
	maxStatus        = 64 << 10
)

// target is where and how a client reaches a proxy.
type target struct {
	address     string // host:port
	subprotocol string
	token       string
	pool        *x509.CertPool
}

// session is the client's end of one exec. One goroutine uses it at a time; close may be called by any.
type session struct {
	conn      *websocket.Conn
	buf       []byte // one read
	message   []byte // channel and payload of the message that send repeats
	disengage func() bool
}

// open starts a command, with a terminal or without, and returns when upstream has said that it runs.
// The end of ctx ends the session.
func (t target) open(ctx context.Context, tty bool, command ...string) (*session, error) {
	query := url.Values{"container": {"c"}, "stdin": {"true"}, "stdout": {"true"}, "command": command}
	if tty {
		query.Set("tty", "true")
	} else {
		query.Set("stderr", "true")
	}
	location := url.URL{Scheme: "wss", Host: t.address, Path: "/api/v1/namespaces/default/pods/bench/exec",
		RawQuery: query.Encode()}
	dialer := websocket.Dialer{
		TLSClientConfig:  &tls.Config{RootCAs: t.pool},
		Subprotocols:     []string{t.subprotocol},
		HandshakeTimeout: handshakeTimeout,
		ReadBufferSize:   bufferSize,
		WriteBufferSize:  bufferSize,
	}
	conn, response, err := dialer.DialContext(ctx, location.String(), http.Header{"Authorization": {"Bearer " + t.token}})
	if err != nil {
		if response != nil {
			body, _ := io.ReadAll(io.LimitReader(response.Body, maxStatus))
			err = fmt.Errorf("%w: %s: %s", err, response.Status, body)
		}
		return nil, fmt.Errorf("bench: open a session: %w", err)
	}
	s := &session{conn: conn, buf: make([]byte, bufferSize)}
	s.disengage = context.AfterFunc(ctx, func() { _ = conn.Close() })
	if chosen := conn.Subprotocol(); chosen != t.subprotocol {
		s.close()
		return nil, fmt.Errorf("bench: open a session: asked for %s, got %q", t.subprotocol, chosen)
	}
	if err := s.receive(1); err != nil {
		s.close()
		return nil, fmt.Errorf("bench: wait for the command: %w", errors.Join(err, ctx.Err()))
	}
	return s, nil
}

// begin lets the command start its work.
func (s *session) begin() error {
	return s.conn.WriteMessage(websocket.BinaryMessage, []byte{channelStdin, goByte})
}

// sending makes every later send one message of size bytes, at most maxWrite, to stdin.
func (s *session) sending(size int) {
	s.message = make([]byte, 1+size)
	s.message[0] = channelStdin
}

func (s *session) send() error { return s.conn.WriteMessage(websocket.BinaryMessage, s.message) }

// receive reads exactly n bytes of stdout, in messages of whatever size the proxy makes them.
func (s *session) receive(n int64) error {
	for n > 0 {
		channel, payload, err := s.next()
		if err != nil {
			return err
		}
		if channel != channelStdout {
			if err := asError(channel, payload); err != nil {
				return err
			}
			return errEarlyEnd
		}
		read, err := s.discard(payload)
		if err != nil {
			return err
		}
		n -= read
	}
	if n < 0 {
		return errSurplus
	}
	return nil
}

// finish reads the Status, which must be success, then waits for the proxy to close.
func (s *session) finish() error {
	defer s.close()
	channel, payload, err := s.next()
	if err != nil {
		return fmt.Errorf("bench: no status: %w", err)
	}
	if channel == channelStdout {
		return errSurplus
	}
	if err := asError(channel, payload); err != nil {
		return err
	}
	_ = s.conn.SetReadDeadline(time.Now().Add(closeTimeout))
	for err == nil {
		_, _, err = s.conn.NextReader()
	}
	return nil
}

// hold reads until the session ends and says why.
func (s *session) hold() error {
	for {
		if _, _, err := s.next(); err != nil {
			return err
		}
	}
}

// close ends the session wherever it stands.
func (s *session) close() {
	s.disengage()
	_ = s.conn.Close()
}

// next is the next message: its channel, and a reader of its payload, which may be empty.
func (s *session) next() (byte, io.Reader, error) {
	kind, r, err := s.conn.NextReader()
	if err != nil {
		return 0, nil, err
	}
	if kind != websocket.BinaryMessage {
		return 0, nil, fmt.Errorf("bench: message of kind %d where binary was agreed on", kind)
	}
	if _, err := io.ReadFull(r, s.buf[:1]); err != nil {
		return 0, nil, fmt.Errorf("bench: read a message's channel: %w", err)
	}
	return s.buf[0], r, nil
}

// discard counts a payload: io.Copy would borrow a buffer of its own.
func (s *session) discard(payload io.Reader) (int64, error) {
	var total int64
	for {
		n, err := payload.Read(s.buf)
		total += int64(n)
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// asError is what a message other than output says: nil for a Status of success.
func asError(channel byte, payload io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(payload, maxStatus))
	if err != nil {
		return err
	}
	if channel != channelError {
		return fmt.Errorf("bench: unexpected message on channel %d: %q", channel, text)
	}
	var status struct{ Status, Message string }
	if err := json.Unmarshal(text, &status); err != nil {
		return fmt.Errorf("bench: read the status: %w", err)
	}
	if status.Status != "Success" {
		return &statusError{status: status.Status, message: status.Message}
	}
	return nil
}
