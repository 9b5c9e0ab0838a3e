package bridge_test

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/cert"

	"edge/bridge"
	"edge/internal/testkit"
)

// accepts records the connections that an API server has accepted, and their states.
type accepts struct {
	mu    sync.Mutex
	state map[net.Conn]http.ConnState
}

func (c *accepts) note(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state[conn] = state
}

// fresh returns the connections that are open and have not carried a request yet.
func (c *accepts) fresh() (fresh []net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn, state := range c.state {
		if state == http.StateNew {
			fresh = append(fresh, conn)
		}
	}
	return fresh
}

// all returns the number of connections that edge has ever opened to the API server.
func (c *accepts) all() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.state)
}

// sparing starts edge in front of an API server whose connections the test can see.
func sparing(t *testing.T, api *apiServer, change func(*rest.Config)) (*world, *accepts) {
	seen := &accepts{state: map[net.Conn]http.ConnState{}}
	server := httptest.NewUnstartedServer(api.start(t))
	server.Config.ConnState = seen.note
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	server.TLS = &tls.Config{NextProtos: []string{"http/1.1"}, ClientAuth: tls.RequestClientCert}
	testkit.StartTLS(server)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	w := &world{T: t, api: server, log: new(syncBuffer)}
	upstream := configFor(server)
	upstream.BearerToken = edgeToken
	if change != nil {
		change(upstream)
	}
	w.front(upstream)
	return w, seen
}

// exec runs one exec through edge and returns the request that the API server received for it.
func (w *world) exec(api *apiServer) *http.Request {
	w.Helper()
	before := len(api.requests())
	got := clientNamed("websocket v5").do(w.T, w.edge, command{})
	seen := api.requests()
	if got.stdout != "out" || len(seen) != before+1 {
		w.Fatalf("%+v after %d requests\n%s", got, len(seen)-before, w.log)
	}
	return seen[before]
}

// warm runs execs until edge has spare connections to the API server.
func (w *world) warm(api *apiServer) {
	w.Helper()
	w.exec(api)
	if n := w.handler.Spares(); n != 0 {
		w.Errorf("%d spares after a single exec", n)
	}
	w.exec(api)
	w.eventually("spares", func() bool { return w.handler.Spares() == bridge.MaxSpares })
}

// TestSpare checks that edge has spare connections ready when execs follow each other. The next
// exec must use one of them, with the credential that is current then, and edge must open another
// spare.
func TestSpare(t *testing.T) {
	t.Parallel()
	var token atomic.Pointer[string]
	set := func(s string) { token.Store(&s) }
	api := &apiServer{run: exit7}
	w, seen := sparing(t, api, func(cfg *rest.Config) {
		cfg.BearerToken = ""
		cfg.WrapTransport = func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				r = r.Clone(r.Context())
				r.Header.Set("Authorization", "Bearer "+*token.Load())
				return next.RoundTrip(r)
			})
		}
	})
	set("first")
	w.warm(api)
	set("second")
	var there []string
	for _, c := range seen.fresh() {
		there = append(there, c.RemoteAddr().String())
	}
	r := w.exec(api)
	if !strings.Contains(strings.Join(there, " "), r.RemoteAddr) {
		t.Errorf("the exec came over %s, and not over one of %v", r.RemoteAddr, there)
	}
	if got := r.Header.Get("Authorization"); got != "Bearer second" {
		t.Errorf("the exec came with the credential %q", got)
	}
	if !r.TLS.DidResume {
		t.Error("its TLS session was not resumed")
	}
	w.eventually("spares again", func() bool { return w.handler.Spares() == bridge.MaxSpares })
	w.handler.Close()
	w.eventually("their end", func() bool { return w.handler.Spares() == 0 && edgeSockets(t, w) == 0 })
	w.exec(api)
	w.exec(api)
	if n := w.handler.Spares(); n != 0 {
		t.Errorf("%d spares of a closed handler", n)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestSpareIsGone checks that edge does not use a spare connection that the API server has closed,
// or on which the API server has sent something. No client may get an error.
func TestSpareIsGone(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*tls.Conn) error{
		"closed": func(c *tls.Conn) error { return c.Close() },
		"cut": func(c *tls.Conn) error {
			tcpOf(c).SetLinger(0)
			return tcpOf(c).Close()
		},
		"in TLS": func(c *tls.Conn) error { return c.CloseWrite() },
		"told": func(c *tls.Conn) error {
			_, err := io.WriteString(c, "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			api := &apiServer{run: exit7}
			w, seen := sparing(t, api, nil)
			w.warm(api)
			gone := seen.fresh()
			if len(gone) != bridge.MaxSpares {
				t.Fatalf("%d connections are fresh", len(gone))
			}
			for _, c := range gone {
				secure := c.(*tls.Conn)
				w.eventually("the end of the handshake", func() bool { return secure.ConnectionState().HandshakeComplete })
				if err := end(secure); err != nil {
					t.Fatal(err)
				}
			}
			r := w.exec(api)
			for _, c := range gone {
				if c.RemoteAddr().String() == r.RemoteAddr {
					t.Error("edge used a spare connection that had been closed")
				}
			}
		})
	}
}

// TestSpareIsCut checks an API server that reads a request on a spare connection and then cuts the
// connection: edge must not send the request again.
func TestSpareIsCut(t *testing.T) {
	t.Parallel()
	var cut atomic.Bool
	api := &apiServer{run: exit7}
	w, _ := sparing(t, api, nil)
	w.warm(api)
	api.mu.Lock()
	api.refuse = func(http.ResponseWriter, *http.Request) { cut.Store(true); panic(http.ErrAbortHandler) }
	api.mu.Unlock()
	before := len(api.requests())
	c := dialRaw(t, w.edge)
	c.ask("", askWebSocket(execPath, "Sec-WebSocket-Protocol: v5.channel.k8s.io")...)
	if resp := c.answer(); resp.StatusCode != http.StatusBadGateway || !cut.Load() {
		t.Errorf("the answer is %s", resp.Status)
	}
	if n := len(api.requests()) - before; n != 1 {
		t.Errorf("the API server got %d requests", n)
	}
}

// TestSpareGrowsOld checks that edge closes an unused spare connection at its maximum age.
func TestSpareGrowsOld(t *testing.T) {
	t.Parallel()
	api := &apiServer{run: exit7}
	w, seen := sparing(t, api, nil)
	w.handler.SetSpareAge(300 * time.Millisecond)
	for seen.all() <= 2 { // edge opens a spare only if two execs start within the spare age of 300 ms
		w.exec(api)
	}
	w.eventually("no spare", func() bool { return w.handler.Spares() == 0 && len(seen.fresh()) == 0 })
}

// TestNoSpareOfACertificate checks that edge keeps neither a connection nor a TLS session if it
// authenticates with a client certificate: both would still carry the old identity after a
// rotation.
func TestNoSpareOfACertificate(t *testing.T) {
	t.Parallel()
	crt, key, err := cert.GenerateSelfSignedCertKey("edge", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	api := &apiServer{run: exit7}
	w, seen := sparing(t, api, func(cfg *rest.Config) {
		cfg.BearerToken, cfg.CertData, cfg.KeyData = "", crt, key
	})
	const execs = 4
	for range execs {
		if r := w.exec(api); r.TLS.DidResume || len(r.TLS.PeerCertificates) == 0 {
			t.Error("not a handshake with edge's certificate")
		}
	}
	if n := seen.all(); n != execs {
		t.Errorf("%d connections for %d execs", n, execs)
	}
}

// TestBehindProxy checks that edge opens a new connection for each exec through a proxy. edge must
// use TLS to the proxy if the proxy's URL begins with https.
func TestBehindProxy(t *testing.T) {
	t.Parallel()
	for scheme, start := range map[string]func(*httptest.Server){"http": (*httptest.Server).Start, "https": testkit.StartTLS} {
		t.Run(scheme, func(t *testing.T) {
			proxy := httptest.NewUnstartedServer(http.HandlerFunc(tunnel))
			start(proxy)
			defer proxy.Close()
			api := &apiServer{run: exit7}
			w, seen := sparing(t, api, func(cfg *rest.Config) {
				cfg.Proxy = http.ProxyURL(must(url.Parse(proxy.URL)))
			})
			const execs = 3
			for range execs {
				w.exec(api)
			}
			if n := seen.all(); n != execs {
				t.Errorf("%d connections for %d execs", n, execs)
			}
		})
	}
}

// tunnel implements a proxy's CONNECT (RFC 9110, section 9.3.6).
func tunnel(w http.ResponseWriter, r *http.Request) {
	up, err := net.Dial("tcp", r.Host)
	if err != nil || r.Method != http.MethodConnect {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer up.Close()
	w.WriteHeader(http.StatusOK)
	down, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer down.Close()
	var both sync.WaitGroup
	both.Go(func() { io.Copy(up, rw); up.(*net.TCPConn).CloseWrite() })
	both.Go(func() { io.Copy(down, up); down.Close() })
	both.Wait()
}
