package bridge_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/client-go/rest"

	"edge/bridge"
	"edge/impersonate"
	"edge/internal/testkit"
)

// edgeToken is the credential with which edge authenticates to the API server.
const edgeToken = "edge-own-token"

// jane is the identity of every client in these tests.
var jane = impersonate.Identity{
	Name:   "jane",
	UID:    "u-1",
	Groups: []string{"dev", "ops, eu"},
	Extra:  map[string][]string{"example.com/team": {"blue"}},
}

// world is edge with an API server behind it, for one test.
type world struct {
	*testing.T
	api     *httptest.Server
	edge    *httptest.Server
	handler *bridge.Handler
	log     *syncBuffer
}

// newWorld starts edge in front of api as cmd/edge does, with TLS, HTTP/1.1 and HTTP/2. At the end
// of the test it checks that all sessions have ended.
func newWorld(t *testing.T, api http.Handler, change ...func(*bridge.Config)) *world {
	t.Helper()
	switch api.(type) {
	case *apiServer, versioned:
	default:
		api = versionless(api)
	}
	w := &world{T: t, api: serveTLS(t, api), log: new(syncBuffer)}
	upstream := configFor(w.api)
	upstream.BearerToken = edgeToken
	w.front(upstream, change...)
	return w
}

// versioned marks an API server that reports its release at /version although another handler wraps
// it.
type versioned struct{ http.Handler }

// versionless returns an API server that does not report its release: /version answers 404.
func versionless(api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/version" && r.Header.Get("Impersonate-User") == "" {
			http.NotFound(w, r)
			return
		}
		api.ServeHTTP(w, r)
	})
}

// front starts edge. The parameter upstream is edge's configuration for the API server.
func (w *world) front(upstream *rest.Config, change ...func(*bridge.Config)) {
	w.Helper()
	cfg := bridge.Config{
		Upstream: upstream,
		Identify: func(*http.Request) (impersonate.Identity, error) { return jane, nil },
		Review:   func(context.Context, impersonate.Identity, authorizationv1.ResourceAttributes) error { return nil },
		Log:      slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(&cfg)
	}
	w.handler = must(bridge.New(cfg))
	w.handler.SetAnswerTime(50*time.Millisecond, 50*time.Millisecond) // most raw clients of the tests never answer a Close
	w.edge = serveTLS(w.T, w.handler)
	w.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		w.handler.Drain(ctx)
		if ctx.Err() != nil {
			w.Error("sessions did not end")
		}
		w.handler.Close()
	})
}

// serveTLS serves h on the loopback interface until the end of the test.
func serveTLS(t *testing.T, h http.Handler) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	if _, ok := h.(*bridge.Handler); ok {
		s.Listener = bridge.Listener(s.Listener)
	}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	if err := http2.ConfigureServer(s.Config, &http2.Server{}); err != nil {
		t.Fatal(err)
	}
	s.TLS = &tls.Config{NextProtos: []string{"h2", "http/1.1"}}
	testkit.StartTLS(s)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// configFor returns the client configuration for a server that serveTLS has started.
func configFor(s *httptest.Server) *rest.Config {
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	return &rest.Config{Host: s.URL, TLSClientConfig: rest.TLSClientConfig{CAData: ca}}
}

// tlsFor returns a client's TLS configuration for a server that serveTLS has started.
func tlsFor(s *httptest.Server, protocols ...string) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", NextProtos: protocols}
}

// credentialKind selects what authenticates the requests of all clients: a bearer token, or a
// credential that the browser adds by itself.
type credentialKind struct{ bearer atomic.Bool } // false: a credential that the browser adds

func (k *credentialKind) use(cfg *bridge.Config) {
	cfg.Identify = func(*http.Request) (impersonate.Identity, error) {
		id := jane
		id.Bearer = k.bearer.Load()
		return id, nil
	}
}

// podURL returns the URL of a subresource of the pod default/web, on the server s.
func podURL(s *httptest.Server, verb, query string) *url.URL {
	return must(url.Parse(s.URL + "/api/v1/namespaces/default/pods/web/" + verb + "?" + query))
}

// syncBuffer is a buffer that is safe for concurrent use. It holds edge's log.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *syncBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *syncBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// ended waits until the n-th session has ended, and returns that session's last log line.
func (w *world) ended(n int) string {
	w.Helper()
	var line string
	w.eventually("the session's log line", func() bool {
		var lines []string
		for l := range strings.Lines(w.log.String()) {
			if strings.Contains(l, `msg="session ended"`) {
				lines = append(lines, l)
			}
		}
		if len(lines) < n {
			return false
		}
		line = lines[n-1]
		return true
	})
	return line
}

// patience is the timeout of every wait for an event that must happen. It is long enough for a busy
// machine, and shorter than the minute that tests give edge for timeouts which must not expire.
const patience = 45 * time.Second

func (w *world) eventually(what string, ok func() bool) {
	w.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			w.Fatalf("%s: not in %v\n%s", what, patience, w.log)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// client returns an HTTP client for edge that uses HTTP/2 or HTTP/1.1.
func (w *world) client(t testing.TB, http2 bool) *http.Client {
	transport := &http.Transport{TLSClientConfig: tlsFor(w.edge), ForceAttemptHTTP2: http2, DisableCompression: true}
	if !http2 {
		transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func containsAll(s string, parts ...string) bool {
	for _, part := range parts {
		if !strings.Contains(s, part) {
			return false
		}
	}
	return true
}
