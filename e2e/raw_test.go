package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/e2e/testbed/cluster"
)

// answer is what came back for one request.
type answer struct {
	code   int
	header http.Header
	body   []byte // not after 101
}

// status is the body as the API's clients read it; its zero value if it is none.
func (a answer) status() metav1.Status {
	var s metav1.Status
	if json.Unmarshal(a.body, &s) != nil || s.Kind != "Status" {
		return metav1.Status{}
	}
	return s
}

func (a answer) String() string { return fmt.Sprintf("%d %.500s", a.code, a.body) }

// raw writes a request as it stands, over HTTP/1.1, and hangs up after the answer's head or, except after 101, its body.
// No library comes between: header lines keep their case, order and number.
func raw(ctx context.Context, t *testing.T, to cluster.Access, method, uri string, header ...string) answer {
	t.Helper()
	conn := dial(ctx, t, to, "", "http/1.1")
	defer conn.Close()
	return exchange(t, conn, to, method, uri, header...)
}

// exchange is raw on a connection of the caller's.
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

// dial opens a connection for one protocol, from a source address ("": any). The caller closes it.
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

// overHTTP2 makes a request as a well-behaved client does.
func overHTTP2(ctx context.Context, t *testing.T, to cluster.Access, uri string, header http.Header) answer {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots(to)}, ForceAttemptHTTP2: true, DisableCompression: true}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to.Server+uri, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
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

// The head lines with which clients ask for the three ways to stream.
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

// The requests that those go with.
const (
	podsURI        = "/api/v1/namespaces/" + cluster.Namespace + "/pods"
	execURI        = podsURI + "/shell/exec?command=true&stdout=true"
	portForwardURI = podsURI + "/shell/portforward"
)
