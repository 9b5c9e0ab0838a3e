package bridge_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"edge/bridge"
	"edge/impersonate"
	"edge/internal/testkit"
)

// refusalTime is edge's timeout for each write of a refusal. goneTime is how long the connection of
// a refused request may stay open.
const (
	refusalTime = 10 * time.Second
	goneTime    = 5 * time.Second
)

// stern is a Handler that refuses every request and keeps a record of the requests.
type stern struct {
	*bridge.Handler
	mu   sync.Mutex
	seen []*http.Request
}

func newStern(t *testing.T) *stern {
	h := new(stern)
	h.Handler = must(bridge.New(bridge.Config{
		Upstream: &rest.Config{Host: "https://127.0.0.1:1"},
		Identify: func(r *http.Request) (impersonate.Identity, error) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.seen = append(h.seen, r)
			return impersonate.Identity{}, apierrors.NewUnauthorized("Unauthorized")
		},
		Review: func(context.Context, impersonate.Identity, authorizationv1.ResourceAttributes) error { return nil },
		Log:    slog.New(slog.DiscardHandler),
	}))
	t.Cleanup(h.Close)
	return h
}

// pipes is a listener whose connections are in memory, so that synctest can control the time.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// serveHTTP1 serves h over HTTP/1.1 until the test ends. dial opens a client's connection.
func serveHTTP1(t *testing.T, h http.Handler) (dial func() net.Conn) {
	l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	s := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return func() net.Conn {
		client, server := net.Pipe()
		l.conns <- server
		t.Cleanup(func() { client.Close() })
		return client
	}
}

// framed is an HTTP/2 client that writes and reads single frames, as the test requests.
type framed struct {
	*http2.Framer
	fields *hpack.Encoder
	block  bytes.Buffer
	mu     sync.Mutex
	got    []string // frames that the server has sent, one line for each
}

// serveHTTP2 serves h on one HTTP/2 connection. The client begins the connection with the given
// settings.
func serveHTTP2(t *testing.T, h http.Handler, settings ...http2.Setting) *framed {
	client, server := net.Pipe()
	served := make(chan struct{})
	go func() {
		defer close(served)
		testkit.HTTP2Server(0).ServeConn(server, &http2.ServeConnOpts{Handler: h, BaseConfig: &http.Server{ErrorLog: log.New(io.Discard, "", 0)}})
	}()
	c := &framed{Framer: http2.NewFramer(client, client)}
	c.fields = hpack.NewEncoder(&c.block)
	c.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	listened := make(chan struct{})
	go func() {
		defer close(listened)
		c.listen()
	}()
	t.Cleanup(func() { client.Close(); <-served; <-listened })
	if _, err := io.WriteString(client, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := c.WriteSettings(settings...); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *framed) listen() {
	for {
		frame, err := c.ReadFrame()
		if err != nil {
			return
		}
		var said string
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			said = fmt.Sprintf("%d: %s", f.StreamID, f.PseudoValue("status"))
		case *http2.DataFrame:
			said = fmt.Sprintf("%d: %d bytes", f.StreamID, len(f.Data()))
		case *http2.RSTStreamFrame:
			if f.ErrCode == http2.ErrCodeNo { // the answer is complete, and the server needs no more of the request
				continue
			}
			said = fmt.Sprintf("%d: reset", f.StreamID)
		case *http2.GoAwayFrame:
			said = "goaway"
		default:
			continue
		}
		c.mu.Lock()
		c.got = append(c.got, said)
		c.mu.Unlock()
	}
}

// said returns the frames that have arrived from the server since the last call of said.
func (c *framed) said() string {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	said := strings.Join(c.got, ", ")
	c.got = nil
	return said
}

// ask sends a request. The parameter tiny is the number of the request's short headers. The
// parameter body is true if a request body follows.
func (c *framed) ask(t *testing.T, stream uint32, method string, tiny int, body bool) {
	t.Helper()
	c.block.Reset()
	for _, f := range [][2]string{{":method", method}, {":scheme", "https"}, {":authority", "edge"}, {":path", "/api"}} {
		c.fields.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	for i := range tiny {
		c.fields.WriteField(hpack.HeaderField{Name: fmt.Sprintf("a%d", i)})
	}
	const most = 16 << 10
	block := c.block.Bytes()
	n := min(len(block), most)
	err := c.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block[:n], EndStream: !body, EndHeaders: n == len(block)})
	for block = block[n:]; len(block) > 0 && err == nil; block = block[n:] {
		n = min(len(block), most)
		err = c.WriteContinuation(stream, n == len(block), block[:n])
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestUntakenRefusalHTTP2 checks a client that does not read a refusal because its HTTP/2 window is
// zero. edge must hold the request for 10 s at most, and must not keep its header at all. The other
// streams of the connection must continue.
func TestUntakenRefusalHTTP2(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newStern(t)
		c := serveHTTP2(t, h, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		c.ask(t, 1, "GET", 3000, false)
		if got := c.said(); got != "1: 401" {
			t.Fatalf("at first: %q", got)
		}
		for _, r := range h.seen {
			if n := len(r.Header); n > 0 || r.RequestURI != "" || r.URL.Path != "" {
				t.Errorf("a request that waits for its client has %d headers and %q", n, r.RequestURI)
			}
		}
		time.Sleep(refusalTime - time.Second)
		c.ask(t, 3, "GET", 0, false)
		if got := c.said(); got != "3: 401" {
			t.Fatalf("just before its time is over: %q", got)
		}
		time.Sleep(2 * time.Second)
		if got := c.said(); got != "1: reset" {
			t.Fatalf("after its time: %q", got)
		}
		if err := c.WriteWindowUpdate(3, 1<<10); err != nil {
			t.Fatal(err)
		}
		if got := c.said(); !strings.HasPrefix(got, "3: ") || strings.Contains(got, "reset") {
			t.Errorf("another stream: %q", got)
		}
		c.ask(t, 5, "HEAD", 0, false)
		if got := c.said(); got != "5: 401" {
			t.Errorf("a later stream: %q", got)
		}
	})
}

// TestUntakenRefusalBody checks that edge keeps nothing of a refused request's body while the
// client has not read the answer. The deadline for that answer must not affect a client that sends
// the whole body before it reads the answer.
func TestUntakenRefusalBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newStern(t)
		c := serveHTTP2(t, h, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		c.ask(t, 1, "POST", 0, true)
		for i := range 3 {
			if err := c.WriteData(1, i == 2, make([]byte, 16<<10)); err != nil {
				t.Fatal(err)
			}
		}
		if got := c.said(); got != "1: 401" {
			t.Fatalf("at first: %q", got)
		}
		if n, err := h.seen[0].Body.Read(make([]byte, 1)); n > 0 || err == nil {
			t.Errorf("the body is still there: %d, %v", n, err)
		}
		if err := c.WriteWindowUpdate(1, 1<<10); err != nil {
			t.Fatal(err)
		}
		if got := c.said(); !strings.HasPrefix(got, "1: ") || strings.Contains(got, "reset") {
			t.Errorf("to a client that takes its answer late: %q", got)
		}
	})
}

// TestUntakenRefusalHTTP1 checks that a client which does not read a refusal loses its connection
// after 10 s. A client that reads the refusal keeps its connection, and the deadline does not apply
// to later answers.
func TestUntakenRefusalHTTP1(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dial := serveHTTP1(t, newStern(t))
		untaken := dial()
		io.WriteString(untaken, "GET /api HTTP/1.1\r\nHost: edge\r\n\r\n")
		time.Sleep(refusalTime + time.Second)
		if rest, err := io.ReadAll(untaken); err != nil || len(rest) > 0 {
			t.Errorf("after its time: %d bytes, %v", len(rest), err)
		}
		taken := dial()
		answers := bufio.NewReader(taken)
		for range 3 {
			io.WriteString(taken, "GET /api HTTP/1.1\r\nHost: edge\r\n\r\n")
			resp, err := http.ReadResponse(answers, nil)
			if err != nil || resp.StatusCode != http.StatusUnauthorized || resp.Close {
				t.Fatalf("%v, %v", resp, err)
			}
			io.Copy(io.Discard, resp.Body)
			time.Sleep(2 * refusalTime)
		}
	})
}

// TestBodyThatNeverComes checks refused requests that declare a body. edge must answer at once,
// whatever body the request declares, and close the connection within 5 s if the body does not
// arrive. If a small body has arrived, the connection must stay open, as at kube-apiserver.
func TestBodyThatNeverComes(t *testing.T) {
	t.Parallel()
	const head = "POST /api HTTP/1.1\r\nHost: edge\r\n"
	for name, test := range map[string]struct {
		request string
		kept    bool
	}{
		"no body":                     {"GET /api HTTP/1.1\r\nHost: edge\r\n\r\n", true},
		"an empty one":                {head + "Content-Length: 0\r\n\r\n", true},
		"whole":                       {head + "Content-Length: 5\r\n\r\nhello", true},
		"whole, in chunks":            {head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", true},
		"never":                       {head + "Content-Length: 5\r\n\r\n", false},
		"never, long":                 {head + "Content-Length: 1000000\r\n\r\n", false},
		"never, in chunks":            {head + "Transfer-Encoding: chunked\r\n\r\n", false},
		"half":                        {head + "Content-Length: 5\r\n\r\nhel", false},
		"half, in chunks":             {head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", false},
		"when it is asked for":        {head + "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n", false},
		"an upgrade's":                {head + "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 5\r\n\r\n", false},
		"never, of many header lines": {head + strings.Repeat("a:\r\n", 25_000) + "Content-Length: 5\r\n\r\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newStern(t)
				conn := serveHTTP1(t, h)()
				began := time.Now()
				if _, err := io.WriteString(conn, test.request); err != nil {
					t.Fatal(err)
				}
				answers := bufio.NewReader(conn)
				resp, err := http.ReadResponse(answers, nil)
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took > 100*time.Millisecond {
					t.Errorf("answered after %v", took)
				}
				if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusUnauthorized || !strings.Contains(string(body), `"Status"`) {
					t.Errorf("%s %s, %v", resp.Status, body, err)
				}
				if resp.Close == test.kept {
					t.Errorf("Connection: %q", resp.Header["Connection"])
				}
				for _, r := range h.seen {
					if n := len(r.Header); n > 0 {
						t.Errorf("%d headers are left", n)
					}
				}
				conn.SetReadDeadline(began.Add(goneTime))
				switch _, err := answers.ReadByte(); {
				case test.kept:
					conn.SetReadDeadline(time.Time{})
					io.WriteString(conn, "HEAD /api HTTP/1.1\r\nHost: edge\r\n\r\n")
					if resp, err := http.ReadResponse(answers, nil); err != nil || resp.StatusCode != http.StatusUnauthorized {
						t.Errorf("the connection was not kept: %v", err)
					}
				case !errors.Is(err, io.EOF):
					t.Errorf("the connection is not closed after %v: %v", goneTime, err)
				}
			})
		})
	}
}

// TestUntakenUpgradeRefusal checks the API server's own refusal of an upgrade: edge must give the
// client 10 s to read each piece of it.
func TestUntakenUpgradeRefusal(t *testing.T) {
	t.Parallel()
	for name, length := range map[string]int64{"of a known length": 1 << 20, "in chunks": -1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dial := serveHTTP1(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					resp := &http.Response{StatusCode: http.StatusForbidden, Header: http.Header{}, ContentLength: length}
					if length >= 0 {
						resp.Header.Set("Content-Length", fmt.Sprint(length))
					}
					resp.Body = io.NopCloser(io.LimitReader(zeros{}, 1<<20))
					bridge.PassOn(w, r, resp)
				}))
				conn := dial()
				io.WriteString(conn, "GET /api HTTP/1.1\r\nHost: edge\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n")
				time.Sleep(refusalTime + time.Second)
				if rest, err := io.ReadAll(conn); err != nil || len(rest) > 0 {
					t.Errorf("after its time: %d bytes, %v", len(rest), err)
				}
				slow := dial()
				io.WriteString(slow, "GET /api HTTP/1.1\r\nHost: edge\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n")
				resp, err := http.ReadResponse(bufio.NewReaderSize(slow, 64), nil)
				if err != nil || resp.StatusCode != http.StatusForbidden {
					t.Fatal(resp, err)
				}
				n, buf := 0, make([]byte, 256<<10)
				for err == nil {
					var more int
					more, err = io.ReadFull(resp.Body, buf)
					n += more
					time.Sleep(refusalTime - time.Second)
				}
				if n != 1<<20 || !errors.Is(err, io.EOF) {
					t.Errorf("a client that is slow got %d bytes, %v", n, err)
				}
			})
		})
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }
