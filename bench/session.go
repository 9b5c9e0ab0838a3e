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
	// bufferSize is kubectl's (k8s.io/client-go/transport/websocket): a read of 32 KiB and its channel.
	bufferSize       = 33 << 10
	handshakeTimeout = 30 * time.Second
	closeTimeout     = 5 * time.Second
	maxStatus        = 64 << 10
)

// forwardPort is the port that is asked for. Upstream forwards every port to the workload.
const forwardPort = "8080"

// target is where a client reaches a proxy.
type target struct {
	address string // host:port
	token   string
	pool    *x509.CertPool
}

// work is a command of the workload and how it is started.
type work struct {
	command []string
	tty     bool // exec only
}

// dialect is a protocol that a client speaks, on one subresource of a pod.
type dialect struct {
	name    string // as in a pair's name
	forward bool   // port-forward instead of exec
	dial    func(context.Context, target, work) (io.ReadWriteCloser, error)
}

// session is the client's end of one exec or of one forwarded connection. One goroutine uses it at a time;
// close may be called by any.
type session struct {
	// conn carries the workload's bytes. Its Read returns io.EOF itself only where the dialect says that all
	// went well; an error that wraps it is a failure. Its Write is one message or frame.
	conn      io.ReadWriteCloser
	forward   bool
	buf       []byte // one read
	payload   []byte // what send repeats
	disengage func() bool
}

// open starts a command and returns when upstream has said that it runs. The end of ctx ends the session.
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

// begin lets the command start its work.
func (s *session) begin() error {
	_, err := s.conn.Write([]byte{goByte})
	return err
}

// sending makes every later send one message of size bytes, at most maxWrite.
func (s *session) sending(size int) { s.payload = make([]byte, size) }

func (s *session) send() error {
	_, err := s.conn.Write(s.payload)
	return err
}

// receive reads exactly n bytes of output, in messages of whatever size the proxy makes them.
func (s *session) receive(n int64) error {
	for n > 0 {
		read, err := s.conn.Read(s.buf)
		n -= int64(read)
		if err == io.EOF { // itself, see conn
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

// finish waits for the end of an exec, which must be a success, and closes. A forwarded connection is
// closed at once: WebSocket v4 cannot tell that one has ended.
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
		case err == io.EOF: // itself, see conn
			return nil
		case err != nil:
			return err
		}
	}
}

// hold reads until the session ends and says why.
func (s *session) hold() error {
	for {
		if _, err := s.conn.Read(s.buf); err != nil {
			return err
		}
	}
}

// close ends the session wherever it stands.
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

// checkStatus reads a Status, which must be a success.
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

// checkSilent reads an error stream that says nothing if all went well.
func checkSilent(r io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(r, maxStatus))
	if err == nil && len(text) > 0 {
		err = &statusError{status: "Failure", message: string(text)}
	}
	return err
}

// refusal adds to err what a proxy answered instead of a 101.
func refusal(err error, response *http.Response) error {
	if response == nil {
		return err
	}
	body, _ := io.ReadAll(io.LimitReader(response.Body, maxStatus))
	return fmt.Errorf("%w: %s: %s", err, response.Status, body)
}
