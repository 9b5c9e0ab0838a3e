package roundtrip_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"

	"edge/bridge/internal/roundtrip"
	"edge/internal/testkit"
)

// TestMaxConcurrentStreams checks that the Transport opens more connections if a server limits the
// streams of each connection, and that no request fails.
func TestMaxConcurrentStreams(t *testing.T) {
	const most, requests = 10, 35
	release := make(chan struct{})
	var arrived sync.WaitGroup
	arrived.Add(requests)
	n, tr := newNetwork(t, func(n int, c *tls.Conn) {
		var now atomic.Int32
		testkit.HTTP2Server(most).ServeConn(c, &http2.ServeConnOpts{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			if now.Add(1) > most {
				t.Error("too many streams")
			}
			defer now.Add(-1)
			arrived.Done()
			<-release
		})})
	})
	var work sync.WaitGroup
	for range requests {
		work.Go(func() {
			resp, err := tr.RoundTrip(get("/"))
			if err != nil {
				t.Error(err)
				return
			}
			read(resp)
		})
	}
	arrived.Wait()
	close(release)
	work.Wait()
	if n.dials() < 4 {
		t.Errorf("%d connections", n.dials())
	}
}

// TestOneDialForAll checks that requests share a new connection, and that it is opened even if the
// request that started the dial is canceled.
func TestOneDialForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		n, tr := newNetwork(t, genuine(func(http.ResponseWriter, *http.Request) {}), func(c *roundtrip.Config) {
			dial := c.Dial
			c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				<-gate
				return dial(ctx, network, address)
			}
		})
		ctx, cancel := context.WithCancel(t.Context())
		var work sync.WaitGroup
		work.Go(func() {
			if _, err := tr.RoundTrip(get("/").WithContext(ctx)); !errors.Is(err, context.Canceled) {
				t.Errorf("the one that left: %v", err)
			}
		})
		synctest.Wait()
		for range 20 {
			work.Go(func() { read(must(tr.RoundTrip(get("/")))) })
		}
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(gate)
		work.Wait()
		if n.dials() != 1 {
			t.Errorf("%d connections", n.dials())
		}
	})
}

// TestWindows checks the HTTP/2 receive windows of answers. Answers that end have wide windows, as
// long as all wide windows together have at most wideWindows bytes. Watches, which do not end, have
// narrow windows and do not count. When a body ends, in whatever way, its wide window no longer
// counts.
func TestWindows(t *testing.T) {
	windows := new(roundtrip.Windows)
	var mu sync.Mutex
	offered := map[string]uint32{}
	s := func(_ int, c *tls.Conn) {
		var window uint32
		peek := &settingsReader{Conn: c, seen: func(v uint32) { window = v }}
		testkit.HTTP2Server(0).ServeConn(peek, &http2.ServeConnOpts{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			offered[r.URL.Path] = window
			mu.Unlock()
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
			if r.URL.Path != "/short" {
				<-r.Context().Done()
			}
		})})
	}
	_, tr := newNetwork(t, s, func(c *roundtrip.Config) { c.Windows = windows })
	var open []*http.Response
	for range 200 {
		open = append(open, must(tr.RoundTrip(get("/endless?watch=1"))))
	}
	if windows.Used() != 0 {
		t.Errorf("watches take %d bytes", windows.Used())
	}
	for range roundtrip.WideWindows / roundtrip.WideSize {
		open = append(open, must(tr.RoundTrip(get("/wide"))))
	}
	open = append(open, must(tr.RoundTrip(get("/past"))))
	if windows.Used() != roundtrip.WideWindows {
		t.Errorf("%d bytes are used", windows.Used())
	}
	for _, resp := range open {
		resp.Body.Close()
	}
	read(must(tr.RoundTrip(get("/short"))))
	if windows.Used() != 0 {
		t.Errorf("%d bytes did not come back", windows.Used())
	}
	mu.Lock()
	defer mu.Unlock()
	for path, want := range map[string]uint32{
		"/endless": roundtrip.NarrowSize, "/wide": roundtrip.WideSize, "/past": roundtrip.NarrowSize, "/short": roundtrip.WideSize,
	} {
		if offered[path] != want {
			t.Errorf("%s: a window of %d bytes, not %d", path, offered[path], want)
		}
	}
}

// settingsReader reports the initial window size in a client's SETTINGS.
type settingsReader struct {
	net.Conn
	seen func(uint32)
	got  []byte
	done bool
}

func (s *settingsReader) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	if s.done {
		return n, err
	}
	s.got = append(s.got, b[:n]...)
	if len(s.got) > len(http2.ClientPreface) {
		f, err := http2.NewFramer(nil, bytes.NewReader(s.got[len(http2.ClientPreface):])).ReadFrame()
		if settings, ok := f.(*http2.SettingsFrame); ok && err == nil {
			v, _ := settings.Value(http2.SettingInitialWindowSize)
			s.seen(v)
			s.done = true
		}
	}
	return n, err
}

// TestProxies checks connections to the API server through HTTP proxies with and without TLS and a
// password, with HTTP/1.1 and HTTP/2 to the API server.
func TestProxies(t *testing.T) {
	for _, secure := range []bool{false, true} {
		for _, h2 := range []bool{false, true} {
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }))
			s.EnableHTTP2 = h2
			testkit.StartTLS(s)
			defer s.Close()
			var asked atomic.Int32
			p := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if want := "Basic " + base64.StdEncoding.EncodeToString([]byte("me:secret")); r.Method != http.MethodConnect || r.Header.Get("Proxy-Authorization") != want {
					w.WriteHeader(http.StatusProxyAuthRequired)
					return
				}
				asked.Add(1)
				up, err := net.Dial("tcp", r.Host)
				if err != nil {
					w.WriteHeader(http.StatusBadGateway)
					return
				}
				defer up.Close()
				down, _, _ := http.NewResponseController(w).Hijack()
				defer down.Close()
				io.WriteString(down, "HTTP/1.1 200 OK\r\n\r\n")
				go func() {
					defer up.Close()
					io.Copy(up, down)
				}()
				io.Copy(down, up)
			}))
			if secure {
				testkit.StartTLS(p)
			} else {
				p.Start()
			}
			defer p.Close()
			via := must(url.Parse(p.URL))
			via.User = url.UserPassword("me", "secret")
			tr := newTransport(t, s.URL, func(c *roundtrip.Config) { c.Proxy = http.ProxyURL(via) })
			want := map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[h2]
			for range 3 {
				if got := read(must(tr.RoundTrip(must(http.NewRequest("GET", s.URL, nil))))); got != want {
					t.Errorf("secure %v: %s, not %s", secure, got, want)
				}
			}
			if asked.Load() != 1 {
				t.Errorf("secure %v, %s: %d connections", secure, want, asked.Load())
			}
			tr.Close()
			via.User = nil
			if _, err := newTransport(t, s.URL, func(c *roundtrip.Config) { c.Proxy = http.ProxyURL(via) }).RoundTrip(must(http.NewRequest("GET", s.URL, nil))); !errors.Is(err, roundtrip.ErrUnreached) {
				t.Errorf("without the password: %v", err)
			}
		}
	}
}
