package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/streaming/pkg/httpstream"

	"edge/bridge"
	"edge/impersonate"
)

// speaking sets the protocol (Config.Streaming) that edge uses to the API server.
func speaking(s bridge.Streaming) func(*bridge.Config) {
	return func(cfg *bridge.Config) { cfg.Streaming = s }
}

// reviews is a Review that records which permissions it is asked for, and denies all of them.
type reviews struct {
	mu    sync.Mutex
	asked []string
	deny  error
}

func (v *reviews) review(_ context.Context, id impersonate.Identity, a authorizationv1.ResourceAttributes) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asked = append(v.asked, fmt.Sprintf("%s: %s %s/%s %s/%s", id.Name, a.Verb, a.Resource, a.Subresource, a.Namespace, a.Name))
	return v.deny
}

// take returns the permissions that were asked for since the last call of take.
func (v *reviews) take() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	asked := strings.Join(v.asked, "; ")
	v.asked = nil
	return asked
}

func (v *reviews) use(cfg *bridge.Config) { cfg.Review = v.review }

// forbidden is the error with which reviews denies a permission.
var forbidden = apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "web", errors.New("says the review"))

// carriers are proxies between edge and the API server. The key states what the proxy does to an
// upgrade.
var carriers = map[string]func(http.Handler) http.Handler{
	"everything": func(api http.Handler) http.Handler { return api },
	"takes SPDY off": withoutSPDY(func(w http.ResponseWriter, r *http.Request, api http.Handler) {
		r.Header.Del("Upgrade")
		r.Header.Del("Connection")
		api.ServeHTTP(w, r)
	}),
	"takes half off": withoutSPDY(func(w http.ResponseWriter, r *http.Request, api http.Handler) {
		r.Header.Del("Upgrade")
		api.ServeHTTP(w, r)
	}),
	"refuses SPDY": withoutSPDY(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.WriteHeader(http.StatusForbidden) // Envoy refuses upgrades in this way
	}),
	"answers a page": withoutSPDY(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		io.WriteString(w, "<html>hello")
	}),
	"denies get":          withoutGet(func(api http.Handler) http.Handler { return api }),
	"denies get, no SPDY": withoutGet(withoutSPDY(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(http.StatusForbidden) })),
	"cuts SPDY":           withoutSPDY(func(w http.ResponseWriter, r *http.Request, _ http.Handler) { cutOff(w, r) }),
}

// cutOff closes the connection of a request without an answer.
func cutOff(w http.ResponseWriter, _ *http.Request) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		conn.Close()
	}
}

func withoutGet(next func(http.Handler) http.Handler) func(http.Handler) http.Handler {
	return func(api http.Handler) http.Handler {
		api = next(api)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/pods/") {
				writeJSON(w, http.StatusForbidden, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"cannot get","reason":"Forbidden","code":403}`)
				return
			}
			api.ServeHTTP(w, r)
		})
	}
}

func withoutSPDY(instead func(http.ResponseWriter, *http.Request, http.Handler)) func(http.Handler) http.Handler {
	return func(api http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.Header.Get("Upgrade"), "SPDY/") {
				instead(w, r, api)
				return
			}
			api.ServeHTTP(w, r)
		})
	}
}

// exit7 is a process that writes "out" and exits with 7. It reads some of its stdin first: if a
// process leaves stdin unread, the container runtime may lose the process's output.
func exit7(p *process) error {
	if p.in != nil {
		p.in.Read(make([]byte, 1))
	}
	fmt.Fprint(p.out, "out")
	return exitError(7)
}

// TestUpstreamStreaming checks which protocol edge uses to which API server, and which access
// review it requests first. After the first session, edge must not repeat an attempt that failed.
func TestUpstreamStreaming(t *testing.T) {
	t.Parallel()
	const (
		spdyV4    = `upstream="SPDY/3.1 v4.channel.k8s.io"`
		v5        = `upstream="websocket v5.channel.k8s.io"`
		v4        = `upstream="websocket v4.channel.k8s.io"`
		mayCreate = "jane: create pods/exec default/web"
	)
	for name, test := range map[string]struct {
		streaming bridge.Streaming
		old       bool
		release   string
		carrier   string
		stdin     string // "": the client has no stdin
		upstream  string // upstream dialect in the log; "": edge refuses the stream
		review    string
		refusal   string
		first     int // number of stream requests to the API server in the first session
	}{
		"auto, as ever":              {carrier: "everything", release: "v1.36.3", stdin: "x", upstream: spdyV4, first: 1},
		"auto, old":                  {carrier: "everything", old: true, stdin: "x", upstream: spdyV4, first: 1},
		"auto, SPDY off":             {carrier: "takes SPDY off", release: "v1.35.0", stdin: "x", upstream: v5, review: mayCreate, first: 2},
		"auto, half off":             {carrier: "takes half off", release: "v1.36.3", stdin: "x", upstream: v5, review: mayCreate, first: 2},
		"auto, half off below 1.35":  {carrier: "takes half off", release: "v1.30.0", refusal: "--upstream-streaming=websocket", first: 1},
		"auto, SPDY refused":         {carrier: "refuses SPDY", release: "v1.36.0-eks-3", stdin: "x", upstream: v5, review: mayCreate, first: 2},
		"auto, SPDY answered":        {carrier: "answers a page", release: "v1.36.3+k3s1", stdin: "x", upstream: v5, review: mayCreate, first: 2},
		"auto, SPDY off below 1.35":  {carrier: "takes SPDY off", release: "v1.34.9", refusal: "--upstream-streaming=websocket", first: 1},
		"auto, SPDY off, no release": {carrier: "takes SPDY off", refusal: "--upstream-streaming=websocket", first: 1},
		"spdy":                       {streaming: bridge.StreamingSPDY, carrier: "everything", release: "v1.36.3", stdin: "x", upstream: spdyV4, first: 1},
		"spdy, SPDY off":             {streaming: bridge.StreamingSPDY, carrier: "takes SPDY off", release: "v1.36.3", refusal: "Upgrade request required", first: 1},
		"websocket":                  {streaming: bridge.StreamingWebSocket, carrier: "everything", stdin: "x", upstream: v5, review: mayCreate, first: 1},
		"websocket, no SPDY":         {streaming: bridge.StreamingWebSocket, carrier: "refuses SPDY", stdin: "x", upstream: v5, review: mayCreate, first: 1},
		"websocket, no stdin":        {streaming: bridge.StreamingWebSocket, carrier: "everything", upstream: v5, review: mayCreate, first: 1},
		"websocket, old, no stdin":   {streaming: bridge.StreamingWebSocket, carrier: "everything", old: true, upstream: v4, review: mayCreate, first: 1},
		"websocket, old, with stdin": {streaming: bridge.StreamingWebSocket, carrier: "everything", old: true, stdin: "x", review: mayCreate, refusal: "--upstream-streaming=auto", first: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := (&apiServer{run: exit7, old: test.old, release: test.release}).start(t)
			var count requestCounter
			v := &reviews{}
			w := newWorld(t, versioned{count.streams(carriers[test.carrier](api))}, speaking(test.streaming), v.use)
			for session := 1; session <= 3; session++ {
				cmd := command{}
				if test.stdin != "" {
					cmd.stdin = strings.NewReader(test.stdin)
				}
				got := clientNamed("websocket v5").do(t, w.edge, cmd)
				want := test.first
				if session > 1 && test.upstream != "" {
					want = 1
				}
				if n := count.take(); n != want {
					t.Errorf("session %d: %d requests upstream, not %d", session, n, want)
				}
				if asked := v.take(); asked != test.review {
					t.Errorf("session %d: reviewed %q", session, asked)
				}
				if test.upstream == "" {
					if got.err == nil || !strings.Contains(got.err.Error(), test.refusal) {
						t.Errorf("session %d: ended with %v, not with %q", session, got.err, test.refusal)
					}
					continue
				}
				if got.stdout != "out" || got.err == nil || !strings.Contains(got.err.Error(), "7") {
					t.Errorf("session %d: %+v", session, got)
				}
				if line := w.ended(session); !strings.Contains(line, test.upstream) {
					t.Errorf("session %d: %s", session, line)
				}
			}
		})
	}
}

// requestCounter counts the requests for streams that reach the API server.
type requestCounter struct {
	mu sync.Mutex
	n  int
}

func (c *requestCounter) streams(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/pods/") {
			c.mu.Lock()
			c.n++
			c.mu.Unlock()
		}
		next.ServeHTTP(w, r)
	})
}

func (c *requestCounter) take() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.n
	c.n = 0
	return n
}

// TestAutoForgets checks that edge notices by itself when the path to the API server supports SPDY
// again and no longer supports WebSocket. No client's request may fail because of that.
func TestAutoForgets(t *testing.T) {
	t.Parallel()
	api := (&apiServer{run: exit7, release: "v1.36.0"}).start(t)
	var carriesSPDY atomic.Bool
	w := newWorld(t, versioned{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		isSPDY := strings.HasPrefix(r.Header.Get("Upgrade"), "SPDY/")
		if strings.Contains(r.URL.Path, "/pods/") && isSPDY != carriesSPDY.Load() {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		api.ServeHTTP(w, r)
	})})
	session := 0
	for _, carried := range []string{"websocket", "websocket", "SPDY", "SPDY", "websocket"} {
		carriesSPDY.Store(carried == "SPDY")
		session++
		got := clientNamed("websocket v5").do(t, w.edge, command{})
		if got.stdout != "out" || got.err == nil || !strings.Contains(got.err.Error(), "7") {
			t.Errorf("session %d over %s: %+v", session, carried, got)
		}
		if line := w.ended(session); !strings.Contains(line, `upstream="`+carried) {
			t.Errorf("session %d over %s: %s", session, carried, line)
		}
	}
}

// TestOwnWordIsFinal checks that edge does not retry a request that the API server itself has
// refused, and that the client receives that refusal unchanged.
func TestOwnWordIsFinal(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]struct {
		code int
		body string
	}{
		"forbidden": {403, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"no","reason":"Forbidden","code":403}`},
		"not found": {404, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"no pod","reason":"NotFound","code":404}`},
		"too many":  {429, "slow down"},
		"who":       {401, "who are you"},
	} {
		t.Run(name, func(t *testing.T) {
			var count requestCounter
			v := &reviews{}
			api := &apiServer{release: "v1.36.0", refuse: func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, answer.code, answer.body) }}
			w := newWorld(t, versioned{count.streams(api.start(t))}, v.use)
			c := dialRaw(t, w.edge)
			c.ask("", askWebSocket(execPath, "Sec-WebSocket-Protocol: v5.channel.k8s.io")...)
			resp := c.answer()
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != answer.code || string(body) != answer.body {
				t.Errorf("%s: %s", resp.Status, body)
			}
			want := ""
			if answer.code == http.StatusForbidden {
				want = "jane: get pods/exec default/web"
			}
			if n, asked := count.take(), v.take(); n != 1 || asked != want {
				t.Errorf("%d requests upstream, reviewed %q", n, asked)
			}
		})
	}
}

// TestForbiddenGet checks the 403 for a client that has neither of the permissions create and get
// for a stream. For a WebSocket, the API server checks get first, so its 403 names get. Therefore
// edge must answer a WebSocket client with a 403 that names get, although edge checks create first.
// An SPDY request is a POST, for which nobody checks get, so the 403 for it names create. In the
// mode StreamingWebSocketFirst, the client must always receive the API server's own 403.
func TestForbiddenGet(t *testing.T) {
	t.Parallel()
	cannotCreate := `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"cannot create","reason":"Forbidden","code":403}`
	api := &apiServer{release: "v1.36.0", refuse: func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, 403, cannotCreate) }}
	for name, ask := range upgrades {
		if name == "opaque" {
			continue
		}
		for _, streaming := range []bridge.Streaming{bridge.StreamingAuto, bridge.StreamingWebSocket, bridge.StreamingWebSocketFirst} {
			w := newWorld(t, versioned{api.start(t)}, speaking(streaming), func(cfg *bridge.Config) {
				cfg.Review = func(_ context.Context, _ impersonate.Identity, a authorizationv1.ResourceAttributes) error {
					return apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "web", errors.New("review: no "+a.Verb))
				}
			})
			c := dialRaw(t, w.edge)
			c.ask("", ask...)
			resp := c.answer()
			body, _ := io.ReadAll(resp.Body)
			want := "cannot create"
			switch {
			case streaming == bridge.StreamingWebSocketFirst:
			case !strings.Contains(name, "spdy"):
				want = "review: no get"
			case streaming == bridge.StreamingWebSocket:
				want = "review: no create"
			}
			if resp.StatusCode != http.StatusForbidden || !strings.Contains(string(body), want) {
				t.Errorf("%s, %s: %s, %s; want %q", name, streaming, resp.Status, body, want)
			}
			c.Close()
		}
	}
}

// TestVerbDrift is a row of the attack corpus in docs/security.md. edge sends a stream upstream as
// a POST, for which the API server checks the permission create. Before edge sends a GET instead,
// it must request an access review of create. All reviews here are denied, so no GET may go
// upstream.
func TestVerbDrift(t *testing.T) {
	t.Parallel()
	for name, ask := range upgrades {
		if name == "opaque" {
			continue
		}
		for _, streaming := range []bridge.Streaming{bridge.StreamingAuto, bridge.StreamingSPDY, bridge.StreamingWebSocket} {
			for _, carrier := range []string{"everything", "takes SPDY off"} {
				t.Run(fmt.Sprint(name, ", ", streaming, ", ", carrier), func(t *testing.T) {
					t.Parallel()
					var mu sync.Mutex
					var drifted []string
					api := (&apiServer{run: exit7, forward: ports, release: "v1.36.0"}).start(t)
					watch := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if strings.Contains(r.URL.Path, "/pods/") && r.Method != http.MethodPost {
							mu.Lock()
							drifted = append(drifted, r.Method+" "+r.Header.Get("Upgrade"))
							mu.Unlock()
						}
						carriers[carrier](api).ServeHTTP(w, r)
					})
					v := &reviews{deny: forbidden}
					w := newWorld(t, versioned{watch}, speaking(streaming), v.use)
					c := dialRaw(t, w.edge)
					c.ask("", ask...)
					resp := c.answer()
					needsReview := streaming == bridge.StreamingWebSocket || streaming == bridge.StreamingAuto && carrier != "everything"
					if asked := v.take() != ""; asked != needsReview {
						t.Errorf("reviewed: %v", asked)
					}
					if denied := resp.StatusCode == http.StatusForbidden; denied != needsReview {
						t.Errorf("the answer is %s", resp.Status)
					}
					mu.Lock()
					defer mu.Unlock()
					if len(drifted) > 0 {
						t.Errorf("upstream saw %v", drifted)
					}
					c.Close()
				})
			}
		}
	}
}

// TestCut checks what edge does if the connection of an upgrade request is cut before an answer. An
// exec may be running already, so edge must not send it again. A port-forward can be repeated, so
// edge sends it again. After two cuts in a row, edge tries WebSocket first.
func TestCut(t *testing.T) {
	t.Parallel()
	api := (&apiServer{run: exit7, release: "v1.40.0", forward: ports}).start(t)
	var count requestCounter
	v := &reviews{}
	w := newWorld(t, versioned{count.streams(carriers["cuts SPDY"](api))}, v.use)
	for session := 1; session <= 3; session++ {
		got := clientNamed("websocket v5").do(t, w.edge, command{})
		if n := count.take(); n != 1 {
			t.Errorf("exec %d: %d requests upstream", session, n)
		}
		if cut := got.err != nil && strings.Contains(got.err.Error(), "ended before its answer: the requested action may have been done"); cut != (session < 3) {
			t.Errorf("exec %d: %+v", session, got)
		}
	}
	conn, _, err := forwardDialers(t, w.edge)["spdy"].Dial("portforward.k8s.io")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if n := count.take(); n != 2 {
		t.Errorf("port-forward: %d requests upstream", n)
	}
}

// manyPings is more than the number of pings that edge connect sends to a silent server before it
// gives up.
const manyPings = 20

// TestSilentUpstream checks that edge connect ends a session whose server no longer answers pings. edge
// serve must not end it: a process that does not read its stdin can keep the API server from
// answering.
func TestSilentUpstream(t *testing.T) {
	t.Parallel()
	for streaming, gives := range map[bridge.Streaming]bool{bridge.StreamingWebSocketFirst: true, bridge.StreamingWebSocket: false} {
		end := make(chan struct{})
		pings := make(chan bool, manyPings)
		metrics, change := measured(t)
		w := newWorld(t, playedWebSocket("v5.channel.k8s.io", func(c *websocket.Conn) {
			// The server answers pings until it has read stdin, which proves that the client's streams
			// are open. From then on it only counts them.
			answer := c.PingHandler()
			isSilent := false // used by the goroutine that reads
			c.SetPingHandler(func(data string) error {
				if !isSilent {
					return answer(data)
				}
				select {
				case pings <- true:
				default:
				}
				return nil
			})
			go func() {
				for {
					if _, _, err := c.ReadMessage(); err != nil {
						return
					}
					isSilent = true
				}
			}()
			<-end
		}), speaking(streaming), change)
		w.handler.SetTimes(20*time.Millisecond, time.Second, time.Second)
		done := make(chan outcome, 1)
		go func() { done <- clientNamed("spdy v4").do(t, w.edge, command{stdin: strings.NewReader("x")}) }()
		if gives {
			if got := <-done; got.err == nil || !strings.Contains(got.err.Error(), "does not answer keepalives any more") {
				t.Errorf("%s: %v", streaming, got.err)
			}
			close(end)
			w.eventually("the session's end", func() bool { return metrics.value("edge_sessions_ended_total", "cause=upstream_silent") == 1 })
			metrics.check(map[string]float64{"edge_session_keepalive_failures_total side=upstream": 1, "edge_session_keepalive_failures_total side=client": 0})
			continue
		}
		for range manyPings {
			<-pings
		}
		select {
		case got := <-done:
			t.Errorf("%s: gives up after %d pings: %v", streaming, manyPings, got.err)
			close(end)
		default:
			close(end)
			<-done
		}
	}
}

// TestWebSocketFirst checks StreamingWebSocketFirst, the mode of edge connect, in which the client
// brings its own credential. edge must use WebSocket if the API server accepts it, otherwise SPDY,
// and make no review. If both fail, the error must name what is missing.
func TestWebSocketFirst(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		old      bool
		carrier  string
		stdin    string
		upstream string // upstream dialect in the log; "": edge refuses the stream
		requests int
		says     string // part of the message with which edge refuses the stream
	}{
		"as ever":                     {carrier: "everything", stdin: "x", upstream: "websocket v5.channel.k8s.io", requests: 1},
		"no SPDY":                     {carrier: "takes SPDY off", stdin: "x", upstream: "websocket v5.channel.k8s.io", requests: 1},
		"old":                         {carrier: "everything", old: true, stdin: "x", upstream: "SPDY/3.1 v4.channel.k8s.io", requests: 2},
		"old, no SPDY, without stdin": {carrier: "takes SPDY off", old: true, upstream: "websocket v4.channel.k8s.io", requests: 1},
		"old, no SPDY":                {carrier: "takes SPDY off", old: true, stdin: "x", requests: 2, says: "neither over WebSocket (v5.channel.k8s.io: 403 Forbidden) nor over SPDY (400 Bad Request)"},
		"old, SPDY refused":           {carrier: "refuses SPDY", old: true, stdin: "x", requests: 2, says: "nor over SPDY (403 Forbidden)"},
		"old, SPDY cut":               {carrier: "cuts SPDY", old: true, stdin: "x", requests: 2, says: "may have been done"},
		"may create, but not get":     {carrier: "denies get", stdin: "x", upstream: "SPDY/3.1 v4.channel.k8s.io", requests: 2},
		"may not get, no SPDY":        {carrier: "denies get, no SPDY", stdin: "x", requests: 2, says: "cannot get"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := (&apiServer{run: exit7, old: test.old, release: "v1.36.3"}).start(t)
			var count requestCounter
			v := &reviews{}
			w := newWorld(t, versioned{count.streams(carriers[test.carrier](api))}, speaking(bridge.StreamingWebSocketFirst), v.use)
			cmd := command{}
			if test.stdin != "" {
				cmd.stdin = strings.NewReader(test.stdin)
			}
			got := clientNamed("spdy v4").do(t, w.edge, cmd)
			if n := count.take(); n != test.requests {
				t.Errorf("%d requests upstream, not %d", n, test.requests)
			}
			if asked := v.take(); asked != "" {
				t.Errorf("reviewed %q", asked)
			}
			if test.upstream == "" {
				if got.err == nil || !strings.Contains(got.err.Error(), test.says) {
					t.Errorf("ended with %v", got.err)
				}
				return
			}
			if got.stdout != "out" || got.err == nil || !strings.Contains(got.err.Error(), "7") {
				t.Errorf("%+v", got)
			}
			if line := w.ended(1); !strings.Contains(line, `upstream="`+test.upstream) {
				t.Error(line)
			}
		})
	}
}

// TestBegunIsFinal checks a 101 that names no subprotocol, as when a proxy has removed it. The
// server that sent the 101 already runs the command, so edge must not send the request again.
func TestBegunIsFinal(t *testing.T) {
	t.Parallel()
	for _, streaming := range []bridge.Streaming{bridge.StreamingWebSocketFirst, bridge.StreamingWebSocket} {
		var count requestCounter
		upgrader := websocket.Upgrader{} // the 101 names no subprotocol
		w := newWorld(t, versioned{count.streams(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if c, err := upgrader.Upgrade(w, r, nil); err == nil {
				c.Close()
			}
		}))}, speaking(streaming))
		got := clientNamed("spdy v4").do(t, w.edge, command{})
		if n := count.take(); n != 1 || got.err == nil || !strings.Contains(got.err.Error(), "another protocol than edge requested: the requested action may have been done") {
			t.Errorf("%s: %d requests upstream, ended with %v", streaming, n, got.err)
		}
	}
}

// TestLostExec checks what a client is told if the connection of its exec's upgrade to the API
// server ends before the answer. Over WebSocket the API server may already run the command. kubectl
// then must not send the exec again over SPDY, as it does after any refusal of its WebSocket. Over
// SPDY nothing runs yet, and kubectl's second request is the one that may succeed.
func TestLostExec(t *testing.T) {
	t.Parallel()
	api := (&apiServer{release: "v1.36.0"}).start(t)
	cut := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Path, "/pods/") {
			api.ServeHTTP(w, r)
			return
		}
		cutOff(w, r)
	})
	for streaming, api := range map[bridge.Streaming]http.Handler{
		bridge.StreamingSPDY: cut, bridge.StreamingWebSocket: cut,
		bridge.StreamingAuto: carriers["refuses SPDY"](cut), // so that edge uses WebSocket
	} {
		t.Run(string(streaming), func(t *testing.T) {
			var count requestCounter
			w := newWorld(t, versioned{count.streams(api)}, speaking(streaming))
			requests := 1
			if streaming == bridge.StreamingAuto {
				requests = 2
			}
			for _, c := range execClients {
				got := c.do(t, w.edge, command{})
				want := "ended before its answer: the requested action may have been done"
				if c.name == "websocket v5" && streaming != bridge.StreamingSPDY {
					want = "the session ended before the command's outcome was known: the API server ended the session without a Status"
				}
				if n := count.take(); n != requests || got.err == nil || !strings.Contains(got.err.Error(), want) {
					t.Errorf("%s: %d requests upstream, ended with %v", c.name, n, got.err)
				}
			}
			websocket, spdy := clientNamed("websocket v5").executor(w.edge, "exec", "command=run&stdout=true"), clientNamed("spdy v5").executor(w.edge, "exec", "command=run&stdout=true")
			kubectl := must(remotecommand.NewFallbackExecutor(websocket, spdy, httpstream.IsUpgradeFailure))
			err := kubectl.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdout: io.Discard})
			if streaming == bridge.StreamingSPDY {
				requests = 2
			}
			if n := count.take(); n != requests || err == nil {
				t.Errorf("kubectl: %d requests upstream, want %d; ended with %v", n, requests, err)
			}
		})
	}
}

// TestUnreachedUpgrade checks the answer to an upgrade for which edge gets no connection to the API
// server. It must not say that the action may have been done.
func TestUnreachedUpgrade(t *testing.T) {
	t.Parallel()
	nowhere := unusedAddress(t)
	for _, streaming := range upstreams {
		w := newWorld(t, http.NotFoundHandler(), speaking(streaming), func(c *bridge.Config) { c.Upstream.Host = "https://" + nowhere })
		for _, c := range execClients {
			got := c.do(t, w.edge, command{})
			if got.err == nil || !strings.Contains(got.err.Error(), "could not be reached") || strings.Contains(got.err.Error(), "may have been done") {
				t.Errorf("%s, %s: ended with %v", streaming, c.name, got.err)
			}
		}
	}
}
