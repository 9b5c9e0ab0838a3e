package rawclient

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"time"

	"github.com/gorilla/websocket"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/e2e/testbed/cluster"
)

// refused is the error for a response other than 101. The field answer is the description of the
// response that an Observation contains.
type refused struct{ answer string }

func (r *refused) Error() string { return "rawclient: refused: " + r.answer }

// dialTLS opens a TLS connection to the server of `to`. It offers only HTTP/1.1, because HTTP/2 has
// no Upgrade header. If ctx contains an httptrace, dialTLS calls its TLSHandshakeDone; the code
// that reads the response calls GotFirstResponseByte.
func dialTLS(ctx context.Context, to cluster.Access) (*tls.Conn, error) {
	server, err := url.Parse(to.Server)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), NextProtos: []string{"http/1.1"}}
	config.RootCAs.AppendCertsFromPEM(to.CA)
	if to.Client.Cert != nil {
		pair, err := tls.X509KeyPair(to.Client.Cert, to.Client.Key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: time.Minute}, Config: config}
	conn, err := dialer.DialContext(ctx, "tcp", server.Host)
	if err != nil {
		return nil, err
	}
	if trace := httptrace.ContextClientTrace(ctx); trace != nil && trace.TLSHandshakeDone != nil {
		trace.TLSHandshakeDone(conn.(*tls.Conn).ConnectionState(), nil)
	}
	return conn.(*tls.Conn), nil
}

func header(to cluster.Access) http.Header {
	h := http.Header{}
	if to.Token != "" {
		h.Set("Authorization", "Bearer "+to.Token)
	}
	return h
}

// mostRefusal is how many bytes the client reads of the body of a response other than 101. The
// WebSocket dialer of the library gorilla has the same limit, so the client reads equally much with
// SPDY.
const mostRefusal = 1024

// readRefusal returns an error with the code, content type and body of a response other than 101.
func readRefusal(resp *http.Response) *refused {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, mostRefusal))
	said := fmt.Sprintf("%q", body)
	var status metav1.Status
	if json.Unmarshal(body, &status) == nil && status.Kind == "Status" {
		raw, _ := json.Marshal(status)
		said = string(raw)
	}
	return &refused{normal(fmt.Sprintf("%d, %q, %s", resp.StatusCode, resp.Header.Get("Content-Type"), said))}
}

// DialWebSocket opens a WebSocket, offers these subprotocols, and returns the response's header. If
// the response is not a 101, the error is a *refused.
func DialWebSocket(ctx context.Context, to cluster.Access, uri string, offer ...string) (*websocket.Conn, http.Header, error) {
	dialer := websocket.Dialer{
		Subprotocols:     offer,
		HandshakeTimeout: time.Minute,
		ReadBufferSize:   32 << 10,
		// the buffer is so large that each message is one WebSocket frame; Kubernetes does not
		// expect fragmented messages
		WriteBufferSize: 64 << 10,
		NetDialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialTLS(ctx, to)
		},
	}
	h := header(to)
	// send the server's own origin; the API server refuses a watch without the header Origin
	h.Set("Origin", to.Server)
	c, resp, err := dialer.DialContext(ctx, "wss"+strings.TrimPrefix(to.Server, "https")+uri, h)
	if errors.Is(err, websocket.ErrBadHandshake) {
		return nil, nil, readRefusal(resp)
	} else if err != nil {
		return nil, nil, err
	}
	return c, resp.Header, nil
}

// dialSPDY opens a connection and upgrades it to SPDY/3.1. It returns the connection, a reader that
// starts with the bytes received after the response's header, and the subprotocol that the server
// chose.
func dialSPDY(ctx context.Context, to cluster.Access, uri string, offer []string) (net.Conn, *bufio.Reader, string, error) {
	conn, err := dialTLS(ctx, to)
	if err != nil {
		return nil, nil, "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.Server+uri, nil)
	if err != nil {
		return nil, nil, "", err
	}
	req.Header = header(to)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "SPDY/3.1")
	// send each subprotocol on a header line of its own, as client-go does
	req.Header["X-Stream-Protocol-Version"] = offer
	conn.SetDeadline(time.Now().Add(time.Minute))
	reader := bufio.NewReaderSize(conn, 32<<10)
	err = req.Write(conn)
	var resp *http.Response
	if err == nil {
		_, err = reader.Peek(1)
	}
	if trace := httptrace.ContextClientTrace(ctx); err == nil && trace != nil && trace.GotFirstResponseByte != nil {
		trace.GotFirstResponseByte()
	}
	if err == nil {
		resp, err = http.ReadResponse(reader, req)
	}
	if err == nil && resp.StatusCode != http.StatusSwitchingProtocols {
		err = readRefusal(resp)
	}
	if err != nil {
		conn.Close()
		return nil, nil, "", err
	}
	conn.SetDeadline(time.Time{})
	return conn, reader, resp.Header.Get("X-Stream-Protocol-Version"), nil
}
