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
	"strings"
	"time"
)

const (
	// bufferSize is kubectl's read buffer (k8s.io/client-go/transport/websocket): 32 KiB and space
	// for the channel byte.
	bufferSize       = 33 << 10
	handshakeTimeout = 30 * time.Second
	closeTimeout     = 5 * time.Second
	maxStatus        = 64 << 10
)

// forwardPort is the port in port-forward requests. Upstream runs the workload on every port except
// echoPort.
const forwardPort = "8080"

// target is the address of a proxy, with the client's credential and its CA pool.
type target struct {
	address string // host:port
	token   string
	pool    *x509.CertPool
}

// work is a command of the workload and its options.
type work struct {
	command []string
	tty     bool // exec only
}

// dialect is a protocol that a client uses for one subresource of a pod.
type dialect struct {
	name    string // part of a pair's name
	forward bool   // port-forward; otherwise exec
	dial    func(context.Context, target, work) (io.ReadWriteCloser, error)
}

// session is the client's end of one exec or of one forwarded connection. One goroutine uses it at
// a time; any goroutine may call close.
type session struct {
	// conn carries the bytes of the workload. Its Read returns io.EOF itself only after a success;
	// an error that wraps io.EOF is a failure. Each Write sends one message or frame.
	conn      io.ReadWriteCloser
	forward   bool
	buf       []byte // buffer for one read
	payload   []byte // message that send sends
	disengage func() bool
}

// open starts a command and returns when upstream has reported that it runs. The session ends when
// ctx ends.
func (d dialect) open(ctx context.Context, t target, w work) (*session, error) {
	conn, err := d.dial(ctx, t, w)
	if err != nil {
		return nil, fmt.Errorf("bench: open a session: %w", err)
	}
	s := &session{conn: conn, forward: d.forward, buf: make([]byte, bufferSize)}
	s.disengage = context.AfterFunc(ctx, func() { _ = conn.Close() })
	if d.forward {
		_, err = io.WriteString(conn, strings.Join(w.command, " ")+"\n")
	}
	if err == nil {
		err = s.receive(1)
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("bench: wait for the command: %w", errors.Join(err, ctx.Err()))
	}
	return s, nil
}

// begin tells the command to start its work.
func (s *session) begin() error {
	_, err := s.conn.Write([]byte{goByte})
	return err
}

// sending sets the size of the messages that send sends, in bytes, at most maxWrite.
func (s *session) sending(size int) { s.payload = make([]byte, size) }

func (s *session) send() error {
	_, err := s.conn.Write(s.payload)
	return err
}

// receive reads exactly n bytes of output, in messages of any size.
func (s *session) receive(n int64) error {
	for n > 0 {
		read, err := s.conn.Read(s.buf)
		n -= int64(read)
		if err == io.EOF { // compared with ==, because an error that wraps io.EOF is a failure
			return errEarlyEnd
		}
		if err != nil {
			return err
		}
	}
	if n < 0 {
		return errSurplus
	}
	return nil
}

// finish waits for the end of an exec, which must be a success, and closes the session. It closes a
// forwarded connection at once, because WebSocket v4 has no message for its end.
func (s *session) finish() error {
	defer s.close()
	if s.forward {
		return nil
	}
	for {
		n, err := s.conn.Read(s.buf)
		switch {
		case n > 0:
			return errSurplus
		case err == io.EOF: // compared with ==, because an error that wraps io.EOF is a failure
			return nil
		case err != nil:
			return err
		}
	}
}

// hold reads until the session ends and returns the reason.
func (s *session) hold() error {
	for {
		if _, err := s.conn.Read(s.buf); err != nil {
			return err
		}
	}
}

// close ends the session in any state.
func (s *session) close() {
	s.disengage()
	_ = s.conn.Close()
}

func (t target) tlsConfig() *tls.Config { return &tls.Config{RootCAs: t.pool} }

func (t target) header() http.Header { return http.Header{"Authorization": {"Bearer " + t.token}} }

func (t target) execURL(scheme string, w work) *url.URL {
	query := url.Values{"container": {"c"}, "stdin": {"true"}, "stdout": {"true"}, "command": w.command}
	if w.tty {
		query.Set("tty", "true")
	} else {
		query.Set("stderr", "true")
	}
	return t.podURL(scheme, "exec", query)
}

func (t target) forwardURL(scheme string) *url.URL {
	return t.podURL(scheme, "portforward", url.Values{"ports": {forwardPort}})
}

func (t target) podURL(scheme, subresource string, query url.Values) *url.URL {
	return &url.URL{Scheme: scheme, Host: t.address, Path: "/api/v1/namespaces/default/pods/bench/" + subresource,
		RawQuery: query.Encode()}
}

// checkStatus reads a Status and returns an error unless it is a success.
func checkStatus(r io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(r, maxStatus))
	if err != nil {
		return fmt.Errorf("%w: %w", errNoStatus, err)
	}
	if len(text) == 0 {
		return errNoStatus
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

// checkSilent reads an error stream that is empty after a success. Text on it is a failure.
func checkSilent(r io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(r, maxStatus))
	if err == nil && len(text) > 0 {
		err = &statusError{status: "Failure", message: string(text)}
	}
	return err
}

// refusal adds the status and the body of the response that refused an upgrade to err.
func refusal(err error, response *http.Response) error {
	if response == nil {
		return err
	}
	body, _ := io.ReadAll(io.LimitReader(response.Body, maxStatus))
	return fmt.Errorf("%w: %s: %s", err, response.Status, body)
}
