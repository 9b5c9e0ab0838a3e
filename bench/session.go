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
	// bufferSize is the size of kubectl's read buffer (k8s.io/client-go/transport/websocket): 32
	// KiB and space for the channel byte.
	bufferSize       = 33 << 10
	handshakeTimeout = 30 * time.Second
	closeTimeout     = 5 * time.Second
	maxStatus        = 64 << 10
)

// forwardPort is the port in port-forward requests. The upstream server runs commands of the
// workload on every port except echoPort.
const forwardPort = "8080"

// target is the address of a proxy, with the client's credential and the CA certificates for the
// proxy.
type target struct {
	address string // address as host:port
	token   string
	pool    *x509.CertPool
}

// work is a command that the upstream server runs in a session, and its options.
type work struct {
	command []string
	tty     bool // true: the command has a terminal; for exec only
}

// dialect is a protocol that a client uses for one subresource of a pod.
type dialect struct {
	name    string // the dialect's part of a pair's name, such as exec/v5
	forward bool   // true: port-forward; false: exec
	dial    func(context.Context, target, work) (io.ReadWriteCloser, error)
}

// session is the client's end of one exec or of one forwarded connection. One goroutine uses it at
// a time; any goroutine may call close.
type session struct {
	// conn carries the bytes of the session's command. Its Read returns io.EOF itself only after a
	// success; an error that wraps io.EOF is a failure. Each Write sends one message or frame.
	conn      io.ReadWriteCloser
	forward   bool
	buf       []byte // buffer into which the session reads from the field conn
	payload   []byte // content of each message that the method send writes
	disengage func() bool
}

// open starts a command in a new session and returns when the upstream server has reported that the
// command runs. The session ends when ctx ends.
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

// begin sends the byte that makes the session's command start its work.
func (s *session) begin() error {
	_, err := s.conn.Write([]byte{goByte})
	return err
}

// sending sets the size in bytes of the messages that the method send writes; at most maxWrite.
func (s *session) sending(size int) { s.payload = make([]byte, size) }

func (s *session) send() error {
	_, err := s.conn.Write(s.payload)
	return err
}

// receive reads exactly n bytes of the command's output, in messages of any size.
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

// finish waits for the end of the session's command, which must be a success, and closes the
// session. It closes a port-forward at once, because WebSocket v4 has no message for the end of a
// forwarded connection.
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

// hold reads until the session ends and returns the reason of its end.
func (s *session) hold() error {
	for {
		if _, err := s.conn.Read(s.buf); err != nil {
			return err
		}
	}
}

// close ends the session, whatever its state is.
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

// checkSilent reads an error stream, which is empty after a success. It returns the text of a
// failure as an error.
func checkSilent(r io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(r, maxStatus))
	if err == nil && len(text) > 0 {
		err = &statusError{status: "Failure", message: string(text)}
	}
	return err
}

// refusal adds to err the status and the body of the response with which the server refused an
// upgrade.
func refusal(err error, response *http.Response) error {
	if response == nil {
		return err
	}
	body, _ := io.ReadAll(io.LimitReader(response.Body, maxStatus))
	return fmt.Errorf("%w: %s: %s", err, response.Status, body)
}
