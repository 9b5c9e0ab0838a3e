package bridge_test

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	moby "github.com/moby/spdystream/spdy"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// rawConn is a client connection on which the test writes the bytes itself.
type rawConn struct {
	*tls.Conn
	t  testing.TB
	br *bufio.Reader
}

// dialRaw connects to a server with HTTP/1.1. The deadline of all reads and writes on the
// connection is the constant patience after the dial.
func dialRaw(t testing.TB, s *httptest.Server) *rawConn {
	t.Helper()
	conn, err := tls.Dial("tcp", s.Listener.Addr().String(), tlsFor(s, "http/1.1"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return &rawConn{Conn: conn, t: t, br: bufio.NewReader(conn)}
}

// Read returns first the bytes that the method answer has buffered.
func (c *rawConn) Read(b []byte) (int, error) { return c.br.Read(b) }

// ask sends a request with the given header lines, and right after it the bytes in early.
func (c *rawConn) ask(early string, lines ...string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, strings.Join(lines, "\r\n")+"\r\n\r\n"+early); err != nil {
		c.t.Fatal(err)
	}
}

// answer reads the header of a response. After a 101, the response's body is the connection.
func (c *rawConn) answer() *http.Response {
	c.t.Helper()
	resp, err := http.ReadResponse(c.br, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp
}

// rest reads everything that still arrives until the connection ends, and returns how it ended.
func (c *rawConn) rest() ([]byte, error) { return io.ReadAll(c.br) }

const (
	execPath    = "/api/v1/namespaces/default/pods/web/exec?command=run&stdin=true&stdout=true&stderr=true"
	forwardPath = "/api/v1/namespaces/default/pods/web/portforward"
)

// askWebSocket returns the header lines of a WebSocket handshake.
func askWebSocket(path string, more ...string) []string {
	return append([]string{
		"GET " + path + " HTTP/1.1", "Host: edge.example", "Connection: Upgrade", "Upgrade: websocket",
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
	}, more...)
}

// askSPDY returns the header lines of an SPDY upgrade.
func askSPDY(path string, protocols ...string) []string {
	lines := []string{"POST " + path + " HTTP/1.1", "Host: edge.example", "Connection: Upgrade", "Upgrade: SPDY/3.1", "Content-Length: 0"}
	for _, p := range protocols {
		lines = append(lines, "X-Stream-Protocol-Version: "+p)
	}
	return lines
}

// rawWebSocket returns a raw client that has completed a WebSocket handshake.
func (w *world) rawWebSocket(t testing.TB, path, protocol string) *rawConn {
	t.Helper()
	c := dialRaw(t, w.edge)
	c.ask("", askWebSocket(path, "Sec-WebSocket-Protocol: "+protocol)...)
	if resp := c.answer(); resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("the answer is %s", resp.Status)
	}
	return c
}

// rawSPDY returns a raw client that has completed an SPDY upgrade.
func (w *world) rawSPDY(t testing.TB, path, protocol string) *rawConn {
	t.Helper()
	c := dialRaw(t, w.edge)
	c.ask("", askSPDY(path, protocol)...)
	if resp := c.answer(); resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("the answer is %s", resp.Status)
	}
	return c
}

// framer returns a Framer that reads and writes SPDY frames on c as moby/spdystream does.
func (c *rawConn) framer() *moby.Framer {
	f, err := moby.NewFramer(c.Conn, c.br)
	if err != nil {
		c.t.Fatal(err)
	}
	return f
}

// open opens SPDY streams of the given types, with the ids 1, 3, 5 and so on.
func open(t testing.TB, f *moby.Framer, types ...string) {
	t.Helper()
	for i, kind := range types {
		syn := &moby.SynStreamFrame{StreamId: moby.StreamId(2*i + 1), Headers: http.Header{"Streamtype": {kind}}}
		if err := f.WriteFrame(syn); err != nil {
			t.Fatal(err)
		}
	}
}

// webSocket returns a WebSocket client of the gorilla library. Like the Python client, it sends no
// pings, and does not fragment messages of up to 4 KiB.
func (w *world) webSocket(t testing.TB, path string, protocols ...string) *websocket.Conn {
	t.Helper()
	d := websocket.Dialer{TLSClientConfig: tlsFor(w.edge), Subprotocols: protocols, HandshakeTimeout: patience}
	c, resp, err := d.Dial("wss://"+w.edge.Listener.Addr().String()+path, nil)
	if err != nil {
		t.Fatalf("%v, %+v", err, resp)
	}
	t.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(patience))
	return c
}

// transcript is everything that arrived on a WebSocket. The method channel joins the payloads of
// one channel.
type transcript struct {
	messages []string // messages in order, each with its channel byte
	channel  [5]string
	code     int   // the code of the Close; -1: no Close
	err      error // the error after which the WebSocket could not be read any more
}

// status returns the Status on the error channel.
func (tr transcript) status(t testing.TB) metav1.Status {
	t.Helper()
	var s metav1.Status
	if err := json.Unmarshal([]byte(tr.channel[3]), &s); err != nil {
		t.Errorf("error channel %q: %v", tr.channel[3], err)
	}
	return s
}

// transcribe reads a WebSocket until it ends, and returns everything that arrived.
func transcribe(t testing.TB, c *websocket.Conn) transcript {
	t.Helper()
	tr := transcript{code: -1}
	for {
		kind, b, err := c.ReadMessage()
		if err != nil {
			tr.err = err
			if closed := (*websocket.CloseError)(nil); errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure {
				tr.code = closed.Code
			}
			return tr
		}
		if kind != websocket.BinaryMessage || len(b) == 0 || b[0] > 3 {
			t.Fatalf("a message of type %d: %q", kind, b)
		}
		tr.messages = append(tr.messages, string(b))
		tr.channel[b[0]] += string(b[1:])
	}
}

// take takes over a request's connection from net/http. The returned reader also returns the bytes
// that the client sent early.
func take(t testing.TB, w http.ResponseWriter) (net.Conn, *bufio.Reader) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		panic(http.ErrAbortHandler)
	}
	return conn, rw.Reader
}

// tcpOf returns the TCP connection below a TLS connection.
func tcpOf(c net.Conn) *net.TCPConn { return c.(*tls.Conn).NetConn().(*net.TCPConn) }

// accepted returns the header of the 101 that accepts an SPDY upgrade.
func accepted(protocol string) string {
	return "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: " + protocol + "\r\n\r\n"
}

// counter counts the bytes that are written to it.
type counter struct{ n, seen, since atomic.Int64 }

func (c *counter) Write(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return len(b), nil
}

// stalled reports whether bytes were written to the counter, but none in the last 150 ms.
func (c *counter) stalled() bool {
	now := time.Now().UnixMilli()
	if n := c.n.Load(); n != c.seen.Swap(n) || n == 0 {
		c.since.Store(now)
	}
	return now-c.since.Load() > 150
}
