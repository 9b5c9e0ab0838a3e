package serving

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/internal/testkit"
)

// TestRequestsHaveTheirConnection checks that from a request the handler gets its Conn, the TLS
// state and the client's address, over HTTP/1.1 and HTTP/2.
func TestRequestsHaveTheirConnection(t *testing.T) {
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		if Of(r) == nil || r.TLS == nil || !r.TLS.HandshakeComplete || r.RemoteAddr == "" {
			t.Errorf("%s: %v, %v, %q", r.Proto, Of(r), r.TLS, r.RemoteAddr)
		}
		io.WriteString(w, r.Proto)
	}, Config{})
	c := b.client("http/1.1")
	for range 2 {
		if resp, body := c.get("/"); resp.StatusCode != 200 || body != "HTTP/1.1" {
			t.Error(resp.Status, body)
		}
	}
	h2 := b.overHTTP2()
	for range 2 {
		if resp, body, err := ask(t.Context(), h2, "/"); err != nil || body != "HTTP/2.0" {
			t.Error(resp, body, err)
		}
	}
	var nobody *Conn
	nobody.Authenticated()
	nobody.Refused()
	if nobody.Kept() != nil {
		t.Error("a value without a connection")
	}
}

// TestListeners checks that a Server serves several listeners, that a request has the local address
// at which it came, and that Close ends all listeners.
func TestListeners(t *testing.T) {
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Context().Value(http.LocalAddrContextKey).(net.Addr).String())
	}, Config{})
	first := b.dial
	ends := make(chan error, 3)
	for range cap(ends) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() { ends <- b.Serve(l) }()
		b.dial = func() net.Conn {
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			return conn
		}
		c := b.client("http/1.1")
		if _, body := c.get("/"); body != c.RemoteAddr().String() {
			t.Errorf("%s came at %s", c.RemoteAddr(), body)
		}
		h2 := b.overHTTP2()
		if _, body, err := ask(t.Context(), h2, "/"); err != nil || body != l.Addr().String() {
			t.Errorf("over HTTP/2 %s came at %s, %v", l.Addr(), body, err)
		}
	}
	b.dial = first
	c := b.client("http/1.1")
	if _, body := c.get("/"); body != c.RemoteAddr().String() {
		t.Errorf("%s came at %s", c.RemoteAddr(), body)
	}
	b.Close()
	for range cap(ends) {
		if err := <-ends; err != nil {
			t.Error(err)
		}
	}
}

// TestHijackedConnectionIsNoMore checks that a hijacked connection is not in the registry (the list
// of open connections), and that NetConn finds its TCP connection.
func TestHijackedConnectionIsNoMore(t *testing.T) {
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		c := Of(r)
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		c.server.conns.mu.Lock()
		if c.in != nil || c.server.conns.open != 0 {
			t.Error("still a connection of the server's")
		}
		c.server.conns.mu.Unlock()
		bottom := conn
		for layers := 0; ; layers++ {
			below, ok := bottom.(interface{ NetConn() net.Conn })
			if !ok {
				break
			}
			bottom = below.NetConn()
		}
		if _, ok := bottom.(*net.TCPConn); !ok {
			t.Errorf("at the bottom is a %T", bottom)
		}
		line, _ := rw.ReadString('\n')
		io.WriteString(conn, "echo "+line)
	}, Config{})
	c := b.client("http/1.1")
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\nraw\n")
	if got, err := io.ReadAll(c.read); err != nil || string(got) != "echo raw\n" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestPlainHTTP checks that a client that sends plain HTTP to a TLS server gets an explanation, and
// that a Server without TLS serves plain HTTP.
func TestPlainHTTP(t *testing.T) {
	b := start(t, hello, Config{})
	conn := b.dial()
	defer conn.Close()
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if got, _ := io.ReadAll(conn); !strings.Contains(string(got), "HTTP request to an HTTPS server") {
		t.Errorf("%q", got)
	}
	s := New(&http.Server{Handler: http.HandlerFunc(hello)}, Config{MaxConnections: 3, UnknownIdleTimeout: time.Minute})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	for range 5 { // more connections than the limit of 3: idle ones are closed
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		buf := make([]byte, 12)
		if _, err := io.ReadFull(conn, buf); err != nil || string(buf) != "HTTP/1.1 200" {
			t.Errorf("%q, %v", buf, err)
		}
	}
	s.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestRefusedConnectionEnds checks that an HTTP/1.1 connection is closed with the first answer
// after maxRefusals 401 answers.
func TestRefusedConnectionEnds(t *testing.T) {
	b := start(t, gate(hello), Config{})
	c := b.client("http/1.1")
	for i := range maxRefusals {
		if resp, _ := c.get("/", bad); resp.StatusCode != 401 || resp.Close {
			t.Fatal(i, resp.Status, resp.Close)
		}
	}
	if resp, _ := c.get("/", good); resp.StatusCode != 200 || !resp.Close {
		t.Error(resp.Status, resp.Close)
	}
	c.ended()
}

// TestTwoPeopleOnOneConnection checks a connection that two users share, as behind a load balancer.
// After one user has sent bad tokens, the connection gets a GOAWAY and takes no new requests, but
// the other user's watch goes on to its end.
func TestTwoPeopleOnOneConnection(t *testing.T) {
	next, watching := make(chan string), make(chan struct{})
	b := start(t, gate(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		http.NewResponseController(w).Flush()
		close(watching)
		for event := range next {
			io.WriteString(w, event)
			http.NewResponseController(w).Flush()
		}
	}), Config{})
	h2 := b.overHTTP2()
	type result struct {
		body string
		err  error
	}
	watch := make(chan result, 1)
	go func() {
		_, body, err := ask(t.Context(), h2, "/watch", "Authorization", "Bearer good")
		watch <- result{body, err}
	}()
	<-watching
	next <- "one "
	for range maxRefusals + 1 {
		if resp, _, err := ask(t.Context(), h2, "/", "Authorization", "Bearer bad"); err != nil || resp.StatusCode != 401 {
			t.Fatal(resp, err)
		}
	}
	testkit.WaitFor(t, "GOAWAY", func() bool { return !h2.CanTakeNewRequest() })
	next <- "two"
	close(next)
	if got := <-watch; got.err != nil || got.body != "one two" {
		t.Error(got)
	}
}

// TestGoAwayWithoutWindow checks that edge sends the GOAWAY after too many 401 answers even if the
// client's flow control window allows edge to send no body.
func TestGoAwayWithoutWindow(t *testing.T) {
	b := start(t, gate(hello), Config{})
	c := b.client("h2")
	io.WriteString(c, http2.ClientPreface)
	f := http2.NewFramer(c, c)
	f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	head := block(t, headersOf("Bearer bad")...)
	for id := uint32(1); id <= 2*maxRefusals+1; id += 2 {
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: head, EndHeaders: true, EndStream: true})
	}
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := frame.(*http2.GoAwayFrame); ok {
			return
		}
	}
}

// TestShutdown checks that Shutdown sends GOAWAY to HTTP/2 clients and waits for requests in
// progress.
func TestShutdown(t *testing.T) {
	release, in := make(chan struct{}), make(chan struct{}, 2)
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		in <- struct{}{}
		<-release
		hello(w, r)
	}, Config{})
	idle := b.client("http/1.1")
	h2 := b.overHTTP2()
	answered := make(chan error, 1)
	go func() { _, _, err := ask(t.Context(), h2, "/"); answered <- err }()
	<-in
	one := b.client("http/1.1")
	one.send("/")
	<-in
	down := make(chan error, 1)
	go func() { down <- b.Shutdown(t.Context()) }()
	testkit.WaitFor(t, "GOAWAY", func() bool { return !h2.CanTakeNewRequest() })
	idle.Close()
	close(release)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	if _, body := one.answer(); body != "hello" {
		t.Error(body)
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
}

// TestPeerCertificates checks that eight certificates of a client are accepted, and that nine end
// the handshake.
func TestPeerCertificates(t *testing.T) {
	b := start(t, hello, Config{TLS: &tls.Config{
		Certificates: []tls.Certificate{pair()}, ClientAuth: tls.RequestClientCert, VerifyPeerCertificate: VerifyPeer, NextProtos: []string{"http/1.1"},
	}})
	chain := make([][]byte, maxPeerCertificates+1)
	for i := range chain {
		chain[i] = pair().Certificate[0]
	}
	if resp, _ := b.client("http/1.1", chain[1:]...).get("/"); resp.StatusCode != 200 {
		t.Error(resp.Status)
	}
	c := b.client("http/1.1", chain...) // no error here: in TLS 1.3 the client's handshake ends before the server checks the certificates
	c.send("/")
	if got, err := io.ReadAll(c.read); err == nil || !strings.Contains(err.Error(), "bad certificate") {
		t.Errorf("%q, %v", got, err)
	}
}

// TestLongHandshake checks that a handshake with hundreds of client certificates ends before
// crypto/tls parses them.
func TestLongHandshake(t *testing.T) {
	b := start(t, hello, Config{TLS: &tls.Config{Certificates: []tls.Certificate{pair()}, ClientAuth: tls.RequestClientCert, NextProtos: []string{"http/1.1"}}})
	chain := make([][]byte, 1+maxHandshake/len(pair().Certificate[0]))
	for i := range chain {
		chain[i] = pair().Certificate[0]
	}
	c := b.client("http/1.1", chain...)
	c.send("/")
	if got, err := io.ReadAll(c.read); len(got) > 0 {
		t.Errorf("%q, %v", got, err)
	}
}

// TestWindows checks that a new HTTP/2 connection gets smaller flow control windows when many
// connections are open.
func TestWindows(t *testing.T) {
	b := start(t, hello, Config{})
	windows := func() (stream, conn uint32) {
		c := b.client("h2")
		io.WriteString(c, http2.ClientPreface)
		f := http2.NewFramer(c, c)
		f.WriteSettings()
		for stream == 0 || conn == 0 {
			frame, err := f.ReadFrame()
			if err != nil {
				t.Fatal(err)
			}
			switch frame := frame.(type) {
			case *http2.SettingsFrame:
				if v, ok := frame.Value(http2.SettingInitialWindowSize); ok {
					stream = v
				}
			case *http2.WindowUpdateFrame:
				conn = frame.Increment + 65535
			}
		}
		return stream, conn
	}
	if stream, conn := windows(); stream != 1<<20 || conn != 4<<20 {
		t.Error(stream, conn)
	}
	for range manyConns {
		b.client("http/1.1")
	}
	if stream, conn := windows(); stream != 512<<10 || conn != 2<<20 {
		t.Error("with many connections:", stream, conn)
	}
}

// statusOf parses the Status in an answer's body.
func statusOf(t *testing.T, body string) (s metav1.Status) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), &s); err != nil || s.Kind != "Status" {
		t.Errorf("%q: %v", body, err)
	}
	return s
}

// TestLargeHeader checks that a header above MaxHeaderBytes is refused with a Status that contains
// the limit.
func TestLargeHeader(t *testing.T) {
	b := start(t, hello, Config{})
	long := func(n int) string { return strings.Repeat("a", n) }
	if resp, _ := b.client("http/1.1").get("/", "X-Long: "+long(1000<<10)); resp.StatusCode != 200 {
		t.Error(resp.Status)
	}
	resp, body := b.client("http/1.1").get("/", "X-Long: "+long(1100<<10))
	if s := statusOf(t, body); resp.StatusCode != 431 || s.Code != 431 || !strings.Contains(s.Message, "1024 KiB") {
		t.Error(resp.Status, body)
	}
	h2 := b.overHTTP2()
	var manyLines []string
	for range 1000 {
		manyLines = append(manyLines, "Impersonate-Group", "group")
	}
	for name, header := range map[string][]string{"1000 KiB": {"X-Long", long(1000 << 10)}, "1000 lines": manyLines} {
		if resp, body, err := ask(context.Background(), h2, "/", header...); err != nil || resp.StatusCode != 200 {
			t.Error(name, resp, body, err)
		}
	}
	resp, body, err := ask(context.Background(), h2, "/", "X-Long", long(1100<<10))
	if err != nil {
		t.Fatal(err)
	}
	if s := statusOf(t, body); resp.StatusCode != 431 || s.Code != 431 || !strings.Contains(s.Message, "1024 KiB") {
		t.Error(resp.Status, body)
	}
}
