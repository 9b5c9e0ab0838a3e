package bridge_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"

	"edge/bridge"
	"edge/impersonate"
)

// plainAPI returns an API server that serves no streams.
func plainAPI(f http.HandlerFunc) *apiServer { return &apiServer{rest: f} }

// bothVersions runs a test twice: with a client of HTTP/1.1 and with one of HTTP/2.
func bothVersions(t *testing.T, test func(t *testing.T, http2 bool)) {
	for _, http2 := range []bool{false, true} {
		t.Run(map[bool]string{false: "HTTP/1.1", true: "HTTP/2"}[http2], func(t *testing.T) { test(t, http2) })
	}
}

// TestPlainFidelity checks that method, path, query and body reach the API server unchanged over
// HTTP/2, and that the answer reaches the client unchanged.
func TestPlainFidelity(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plainAPI(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Etag", "x")
		w.Header().Set("Warning", `299 - "old"`)
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, "%s %s %s %s %s", r.Proto, r.Method, r.URL.EscapedPath(), r.URL.RawQuery, body)
	}))
	bothVersions(t, func(t *testing.T, http2 bool) {
		for _, target := range []string{
			"/api/v1/pods?limit=5&continue=a%2Fb",
			"/api/v1/namespaces/x/services/https:web:443/proxy/a%2Fb//c/?q=%20",
			"/",
		} {
			path, query, _ := strings.Cut(target, "?")
			resp := must(w.client(t, http2).Post(w.edge.URL+target, "text/plain", strings.NewReader("a body")))
			got := string(must(io.ReadAll(resp.Body)))
			if want := fmt.Sprintf("HTTP/2.0 POST %s %s a body", path, query); got != want {
				t.Errorf("%s: %q, want %q", target, got, want)
			}
			if resp.StatusCode != http.StatusCreated || resp.Header.Get("Etag") != "x" || resp.Header.Get("Warning") == "" {
				t.Errorf("%s: %s %v", target, resp.Status, resp.Header)
			}
		}
	})
}

// TestPlainIdentity checks the complete header that goes upstream: the client's header, without the
// fields that a client may not set, plus the headers for jane's identity.
func TestPlainIdentity(t *testing.T) {
	t.Parallel()
	seen := make(chan http.Header, 1)
	w := newWorld(t, plainAPI(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header }))
	bothVersions(t, func(t *testing.T, http2 bool) {
		req := must(http.NewRequest("GET", w.edge.URL+"/api", nil))
		req.Header = http.Header{
			"Accept": {"application/json"}, "Accept-Encoding": {"gzip"}, "User-Agent": {"kubectl"}, "Kubectl-Session": {"1"},
			"Authorization": {"Bearer of-the-client"}, "X-Forwarded-For": {"1.2.3.4"}, "Forwarded": {"for=1.2.3.4"},
			"X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {"evil"}, "Proxy-Authorization": {"x"},
			"X-Real-Ip": {"6.6.6.6"}, "X-Remote-User": {"admin"}, "x-remote_group": {"system:masters"}, "X_Remote_Extra_a": {"b"},
		}
		must(w.client(t, http2).Do(req)).Body.Close()
		want := http.Header{
			"Accept": {"application/json"}, "Accept-Encoding": {"gzip"}, "User-Agent": {"kubectl"}, "Kubectl-Session": {"1"},
			"Authorization": {"Bearer " + edgeToken}, "X-Forwarded-For": {"127.0.0.1"},
			"Impersonate-User": {"jane"}, "Impersonate-Uid": {"u-1"}, "Impersonate-Group": {"dev", "ops, eu"},
			"Impersonate-Extra-Example.com%2fteam": {"blue"},
		}
		if got := withoutAuditID(t, <-seen); !sameHeader(got, want) {
			t.Errorf("upstream saw\n%v, want\n%v", got, want)
		}
	})
}

func sameHeader(a, b http.Header) bool {
	return string(must(json.Marshal(a))) == string(must(json.Marshal(b)))
}

// TestDisableCompression checks that edge requests no compression from the API server if
// Config.DisableCompression is set: it removes Accept-Encoding.
func TestDisableCompression(t *testing.T) {
	t.Parallel()
	api := plainAPI(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header["Accept-Encoding"]) })
	for disabled, want := range map[bool]string{false: "[gzip]", true: "[]"} {
		w := newWorld(t, api, func(c *bridge.Config) { c.DisableCompression = disabled })
		req := must(http.NewRequest("GET", w.edge.URL, nil))
		req.Header.Set("Accept-Encoding", "gzip")
		resp := must(w.client(t, true).Do(req))
		if got := string(must(io.ReadAll(resp.Body))); got != want {
			t.Errorf("disabled %v: the API server saw %s, want %s", disabled, got, want)
		}
	}
}

// TestWatchIsFlushed checks that each event of a watch reaches the client while the response
// continues.
func TestWatchIsFlushed(t *testing.T) {
	t.Parallel()
	next := make(chan string)
	w := newWorld(t, plainAPI(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		for event := range next {
			fmt.Fprintln(w, event)
			w.(http.Flusher).Flush()
		}
	}))
	bothVersions(t, func(t *testing.T, http2 bool) {
		events := make(chan string)
		next = events
		resp := must(w.client(t, http2).Get(w.edge.URL + "/api/v1/pods?watch=1"))
		defer resp.Body.Close()
		lines := bufio.NewScanner(resp.Body)
		for i := range 3 {
			event := fmt.Sprint("event ", i)
			events <- event
			if !lines.Scan() || lines.Text() != event {
				t.Fatalf("got %q (%v), want %q", lines.Text(), lines.Err(), event)
			}
		}
		close(events)
		if lines.Scan() {
			t.Errorf("after the end: %q", lines.Text())
		}
	})
}

// TestWatchEventsOfAnySize checks that edge delivers each event completely before the next one
// arrives, also if the event is larger than edge's buffers or exactly fills one.
func TestWatchEventsOfAnySize(t *testing.T) {
	t.Parallel()
	sizes := []int{1, 511, 512, 513, 1, 8191, 8192, 8193, 300, 40 << 10, 40<<10 + 1, 200 << 10, 3}
	next := make(chan int)
	w := newWorld(t, plainAPI(func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		for size := range next {
			w.Write(bytes.Repeat([]byte{byte(size)}, size))
			w.(http.Flusher).Flush()
		}
		w.Header().Set(http.TrailerPrefix+"End", "reached")
	}))
	bothVersions(t, func(t *testing.T, http2 bool) {
		for _, target := range []string{"/api/v1/pods?watch=1", "/api/v1/watch/pods", "/api/v1/log?follow=true"} {
			events := make(chan int)
			next = events
			resp := must(w.client(t, http2).Get(w.edge.URL + target))
			defer resp.Body.Close()
			for _, size := range sizes {
				events <- size
				got := make([]byte, size)
				if _, err := io.ReadFull(resp.Body, got); err != nil || !bytes.Equal(got, bytes.Repeat([]byte{byte(size)}, size)) {
					t.Fatalf("%s: %d bytes: %v", target, size, err)
				}
			}
			close(events)
			if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 || resp.Trailer.Get("End") != "reached" {
				t.Errorf("%s: the end: %d bytes, %v, trailer %v", target, len(rest), err, resp.Trailer)
			}
		}
	})
}

// TestIdleWatchMemory checks that edge keeps no buffer for an idle watch, whatever events it has
// carried before.
func TestIdleWatchMemory(t *testing.T) {
	const watches = 200
	list, bookmark := make([]byte, 100<<10), []byte("a bookmark")
	read := make(chan struct{})
	w := newWorld(t, plainAPI(func(w http.ResponseWriter, r *http.Request) {
		for _, part := range [][]byte{list, bookmark} {
			w.Write(part)
			w.(http.Flusher).Flush()
			<-read
		}
		<-r.Context().Done()
	}))
	client := w.client(t, true)
	watch := func() {
		resp := must(client.Get(w.edge.URL + "/api/v1/pods?watch=1"))
		t.Cleanup(func() { resp.Body.Close() })
		for _, part := range [][]byte{list, bookmark} {
			must(io.CopyN(io.Discard, resp.Body, int64(len(part))))
			read <- struct{}{}
		}
	}
	watch()
	before := liveHeap()
	for range watches {
		watch()
	}
	grown := (liveHeap() - before) / watches
	// The memory of the API server and of the client is on the same heap as edge's.
	if grown > 40<<10 {
		t.Errorf("an idle watch takes %d KiB", grown>>10)
	}
}

// TestDeclaredBodyIsNotHeldBack checks that edge relays the first part of a body although the rest
// of its declared length has not arrived.
func TestDeclaredBodyIsNotHeldBack(t *testing.T) {
	t.Parallel()
	next := make(chan string)
	w := newWorld(t, plainAPI(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "9")
		w.(http.Flusher).Flush()
		for part := range next {
			io.WriteString(w, part)
			w.(http.Flusher).Flush()
		}
	}))
	bothVersions(t, func(t *testing.T, http2 bool) {
		parts := make(chan string)
		next = parts
		// Get returns when the header has arrived, although no byte of the body has.
		resp := must(w.client(t, http2).Get(w.edge.URL + "/api/v1/pods"))
		defer resp.Body.Close()
		for _, part := range []string{"one", "two", "six"} {
			parts <- part
			got := make([]byte, len(part))
			if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != part {
				t.Fatalf("got %q (%v), want %q", got, err, part)
			}
		}
		close(parts)
	})
}

// TestBodyIsStreamed checks that edge relays the beginning of a request body before its end. The
// client here sends the end only after it has an answer.
func TestBodyIsStreamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plainAPI(func(w http.ResponseWriter, r *http.Request) {
		first := make([]byte, 5)
		io.ReadFull(r.Body, first)
		w.Write(first)
		w.(http.Flusher).Flush()
		io.Copy(w, r.Body)
	}))
	body, write := io.Pipe()
	go write.Write([]byte("begin"))
	resp := must(w.client(t, true).Post(w.edge.URL, "text/plain", body))
	first := make([]byte, 5)
	if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "begin" {
		t.Fatalf("%q, %v", first, err)
	}
	go func() {
		write.Write([]byte(" end"))
		write.Close()
	}()
	if rest := string(must(io.ReadAll(resp.Body))); rest != " end" {
		t.Errorf("then %q", rest)
	}
}

// TestClientCancel checks that the request to the API server ends when the client cancels.
func TestClientCancel(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	w := newWorld(t, plainAPI(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		gone <- struct{}{}
	}))
	bothVersions(t, func(t *testing.T, http2 bool) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		resp := must(w.client(t, http2).Do(must(http.NewRequestWithContext(ctx, "GET", w.edge.URL, nil))))
		cancel()
		resp.Body.Close()
		select {
		case <-gone:
		case <-time.After(patience):
			t.Error("the API server's request goes on")
		}
	})
}

// TestCutResponse checks that the client gets an error if the API server's response breaks off.
func TestCutResponse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plainAPI(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "half")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}))
	bothVersions(t, func(t *testing.T, http2 bool) {
		resp := must(w.client(t, http2).Get(w.edge.URL))
		if body, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("read %q without an error", body)
		}
	})
}

// TestGatewayErrors checks that edge answers 502 if it cannot reach the API server, and 504 if the
// API server does not answer. The Status must not contain the API server's address.
func TestGatewayErrors(t *testing.T) {
	t.Parallel()
	silent := make(chan struct{})
	defer close(silent)
	slow := newWorld(t, plainAPI(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-silent:
		case <-r.Context().Done():
		}
	}), func(c *bridge.Config) { c.Upstream.Timeout = 50 * time.Millisecond })
	away := newWorld(t, plainAPI(nil), func(c *bridge.Config) { c.Upstream.Host = "https://" + unusedAddress(t) })
	for name, c := range map[string]struct {
		*world
		code   int
		reason metav1.StatusReason
	}{
		"silent":    {slow, http.StatusGatewayTimeout, metav1.StatusReasonTimeout},
		"not there": {away, http.StatusBadGateway, metav1.StatusReasonServiceUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			resp := must(c.client(t, true).Get(c.edge.URL + "/api"))
			var s metav1.Status
			body := must(io.ReadAll(resp.Body))
			if err := json.Unmarshal(body, &s); err != nil {
				t.Fatalf("%q: %v", body, err)
			}
			if resp.StatusCode != c.code || int(s.Code) != c.code || s.Kind != "Status" || s.Status != metav1.StatusFailure || s.Reason != c.reason {
				t.Errorf("%s %s", resp.Status, body)
			}
			if strings.Contains(string(body), "127.0.0.1") {
				t.Errorf("the answer names an address: %s", body)
			}
		})
	}
}

// unusedAddress returns an address on which no process listens until the end of the test.
func unusedAddress(t *testing.T) string {
	t.Helper()
	fd := must(unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	at := must(unix.Getsockname(fd)).(*unix.SockaddrInet4)
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(at.Port))
}

// TestIdentifyErrors checks that a request which Identify refuses does not reach the API server.
// The answer must be a Status, or plain text if the client's Accept asks for it.
func TestIdentifyErrors(t *testing.T) {
	t.Parallel()
	api := plainAPI(func(http.ResponseWriter, *http.Request) {})
	w := newWorld(t, api, refusing)
	for accept, want := range map[string]string{
		"":                 `"message":"Unauthorized"`,
		"application/json": `"kind":"Status"`,
		"text/plain":       "Unauthorized\n",
	} {
		req := must(http.NewRequest("GET", w.edge.URL+"/api", nil))
		req.Header.Set("Accept", accept)
		resp := must(w.client(t, true).Do(req))
		body := string(must(io.ReadAll(resp.Body)))
		if resp.StatusCode != http.StatusUnauthorized || !strings.Contains(body, want) || resp.Header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("Accept %q: %s %q %v", accept, resp.Status, body, resp.Header)
		}
	}
	for _, c := range execClients {
		if o := c.do(t, w.edge, command{}); o.err == nil || !strings.Contains(o.err.Error(), "nauthorized") {
			t.Errorf("%s: %v", c.name, o.err)
		}
	}
	if n := len(api.requests()); n != 0 {
		t.Errorf("%d requests reached the API server", n)
	}
}

// TestDiscoveryRefused checks that client-go's discovery, which kubectl and helm run first, shows
// why edge refuses or fails. kubectl 1.26 and later showed "unknown" instead.
func TestDiscoveryRefused(t *testing.T) {
	t.Parallel()
	refused := apierrors.NewForbidden(schema.GroupResource{Resource: "users"}, "system:root", errors.New("edge refuses system:"))
	nowhere := unusedAddress(t)
	for want, option := range map[string]func(*bridge.Config){
		"edge refuses system:": func(c *bridge.Config) {
			c.Identify = func(*http.Request) (impersonate.Identity, error) { return impersonate.Identity{}, refused }
		},
		"edge: the API server could not be reached": func(c *bridge.Config) { c.Upstream.Host = "https://" + nowhere },
	} {
		w := newWorld(t, plainAPI(func(http.ResponseWriter, *http.Request) {}), option)
		d := must(discovery.NewDiscoveryClientForConfigAndClient(&rest.Config{Host: w.edge.URL}, w.client(t, true)))
		if _, err := d.ServerGroups(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if _, err := d.ServerVersion(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("version: %v, want %q", err, want)
		}
	}
}

// TestUnauthorizedAsText checks how a client can read why edge refuses its token. The Status
// contains the reason. As plain text edge sends "Unauthorized" like kube-oidc-proxy, or another
// message unchanged. client-go's discovery reads neither, so edge also sends the reason in a
// Warning header.
func TestUnauthorizedAsText(t *testing.T) {
	t.Parallel()
	for message, text := range map[string]string{
		"Unauthorized: the token has expired": "Unauthorized", "Unauthorized": "Unauthorized", "another kubeconfig: yours": "another kubeconfig: yours",
	} {
		w := newWorld(t, plainAPI(func(http.ResponseWriter, *http.Request) {}), func(c *bridge.Config) {
			c.Identify = func(*http.Request) (impersonate.Identity, error) {
				return impersonate.Identity{}, apierrors.NewUnauthorized(message)
			}
		})
		for accept, want := range map[string]string{"application/json": fmt.Sprintf("%q", message), "text/plain": text + "\n", "text/html,*/*": text + "\n"} {
			req := must(http.NewRequest("GET", w.edge.URL+"/api", nil))
			req.Header.Set("Accept", accept)
			resp := must(w.client(t, true).Do(req))
			if body := string(must(io.ReadAll(resp.Body))); resp.StatusCode != http.StatusUnauthorized || !strings.Contains(body, want) || accept != "application/json" && body != want {
				t.Errorf("%s, Accept %q: %s %q", message, accept, resp.Status, body)
			}
		}
		warnings := new(warned)
		d := must(discovery.NewDiscoveryClientForConfigAndClient(&rest.Config{Host: w.edge.URL, WarningHandler: warnings}, w.client(t, true)))
		d.ServerGroups()
		d.ServerVersion()
		if want := message != "Unauthorized"; slices.Contains(*warnings, message) != want || want != (len(*warnings) > 0) {
			t.Errorf("%s: client-go warns of %q", message, *warnings)
		}
	}
}

// warned is the list of warnings that client-go reads from answers.
type warned []string

func (w *warned) HandleWarningHeader(_ int, _, text string) { *w = append(*w, text) }

// TestPaths checks that edge refuses a request target that two servers could interpret differently.
func TestPaths(t *testing.T) {
	t.Parallel()
	api := plainAPI(func(http.ResponseWriter, *http.Request) {})
	w := newWorld(t, api)
	for _, target := range []string{
		"https:https://" + w.api.Listener.Addr().String() + "/any/path",
		"/k8s/../v3/tokens",
		"/api/%2e%2e/x",
		"/api/./x",
		"*",
	} {
		for _, upgrade := range []string{"", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"} {
			conn := must(tls.Dial("tcp", w.edge.Listener.Addr().String(), tlsFor(w.edge, "http/1.1")))
			fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: edge\r\n%s\r\n", target, upgrade)
			resp := must(http.ReadResponse(bufio.NewReader(conn), nil))
			conn.Close()
			if resp.StatusCode != http.StatusBadRequest {
				t.Errorf("%s %q: %s", target, upgrade, resp.Status)
			}
		}
	}
	if n := len(api.requests()); n != 0 {
		t.Errorf("%d requests reached the API server", n)
	}
}

// TestSlowPlainReaders checks that watches whose clients do not read use a bounded amount of edge's
// memory, regardless of their length.
func TestSlowPlainReaders(t *testing.T) {
	const streams, each = 40, 1 << 20
	chunk := make([]byte, 64<<10)
	w := newWorld(t, plainAPI(func(w http.ResponseWriter, r *http.Request) {
		for range 256 { // 256 writes are 16 MiB in all
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}))
	transport := &http.Transport{TLSClientConfig: tlsFor(w.edge), ForceAttemptHTTP2: true, DisableCompression: true,
		HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10, MaxReceiveBufferPerConnection: 64 << 10}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	must(client.Get(w.edge.URL + "/api/v1/pods?watch=1")).Body.Close()
	before := liveHeap()
	for range streams {
		resp := must(client.Get(w.edge.URL + "/api/v1/pods?watch=1"))
		defer resp.Body.Close()
	}
	time.Sleep(500 * time.Millisecond) // gives edge time to buffer more than it may
	// The receive windows of the API server and the client are on the same heap as edge's.
	if grown := liveHeap() - before; grown > streams*each {
		t.Errorf("%d responses that nobody reads take %d KiB each", streams, grown/streams>>10)
	}
}

func liveHeap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
