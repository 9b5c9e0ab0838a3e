package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/e2e/testbed/cluster"
)

// answer is the response to one HTTP request.
type answer struct {
	code   int
	header http.Header
	body   []byte // nil after status code 101
}

// status returns the response's body as a metav1.Status, or the zero value if the body is not a
// Status.
func (a answer) status() metav1.Status {
	var s metav1.Status
	if json.Unmarshal(a.body, &s) != nil || s.Kind != "Status" {
		return metav1.Status{}
	}
	return s
}

func (a answer) String() string { return fmt.Sprintf("%d %.500s", a.code, a.body) }

// raw sends a request over HTTP/1.1 on its own connection. No library changes the header lines:
// their case, order and number stay as given. raw closes the connection after the response; after
// status code 101 it reads only the header.
func raw(ctx context.Context, t *testing.T, to cluster.Access, method, uri string, header ...string) answer {
	t.Helper()
	conn := dial(ctx, t, to, "", "http/1.1")
	defer conn.Close()
	return exchange(t, conn, to, method, uri, header...)
}

// exchange sends a request over HTTP/1.1 like the function raw, but on the caller's connection, and
// leaves the connection open.
func exchange(t *testing.T, conn net.Conn, to cluster.Access, method, uri string, header ...string) answer {
	t.Helper()
	resp, err := tryExchange(conn, to, method, uri, header...)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, resp)
}

func tryExchange(conn net.Conn, to cluster.Access, method, uri string, header ...string) (*http.Response, error) {
	lines := []string{method + " " + uri + " HTTP/1.1", "Host: " + host(to)}
	if to.Token != "" {
		lines = append(lines, "Authorization: Bearer "+to.Token)
	}
	if _, err := io.WriteString(conn, strings.Join(append(lines, header...), "\r\n")+"\r\n\r\n"); err != nil {
		return nil, err
	}
	return http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
}

// dial opens a TLS connection for one application protocol (ALPN), such as "h2", from the IP
// address in the parameter source; empty: any address of this machine. The caller closes the
// connection.
func dial(ctx context.Context, t *testing.T, to cluster.Access, source, protocol string) *tls.Conn {
	t.Helper()
	config := &tls.Config{RootCAs: roots(to), NextProtos: []string{protocol}}
	if to.Client.Cert != nil {
		pair, err := tls.X509KeyPair(to.Client.Cert, to.Client.Key)
		if err != nil {
			t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	dialer := tls.Dialer{Config: config, NetDialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}}
	conn, err := dialer.DialContext(ctx, "tcp", host(to))
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(patience))
	return conn.(*tls.Conn)
}

// overHTTP2 sends a GET over HTTP/2 with net/http, like an ordinary client.
func overHTTP2(ctx context.Context, t *testing.T, to cluster.Access, uri string, header http.Header) answer {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots(to)}, ForceAttemptHTTP2: true, DisableCompression: true}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to.Server+uri, nil)
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(req.Header, header)
	if to.Token != "" {
		req.Header.Set("Authorization", "Bearer "+to.Token)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.ProtoMajor != 2 {
		t.Fatalf("%s, want HTTP/2", resp.Proto)
	}
	return read(t, resp)
}

func read(t *testing.T, resp *http.Response) answer {
	t.Helper()
	a := answer{code: resp.StatusCode, header: resp.Header}
	if a.code == http.StatusSwitchingProtocols {
		return a
	}
	defer resp.Body.Close()
	var err error
	if a.body, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20)); err != nil {
		t.Fatal(err)
	}
	return a
}

func host(to cluster.Access) string { return strings.TrimPrefix(to.Server, "https://") }

func roots(to cluster.Access) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(to.CA)
	return pool
}

// Header lines that ask for a JSON response, and header lines of an SPDY upgrade.
var (
	askJSON = "Accept: application/json"
	askSPDY = []string{"Connection: Upgrade", "Upgrade: SPDY/3.1", "X-Stream-Protocol-Version: v4.channel.k8s.io", "Content-Length: 0"}
)

func askWebSocket(subprotocol string) []string {
	return []string{
		"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol: " + subprotocol,
	}
}

// Paths to which the tests send requests.
const (
	podsURI        = "/api/v1/namespaces/" + cluster.Namespace + "/pods"
	execURI        = podsURI + "/shell/exec?command=true&stdout=true"
	portForwardURI = podsURI + "/shell/portforward"
)
