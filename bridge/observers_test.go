package bridge_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"edge/bridge"
)

// observation is a combination of what can observe, and so wrap, each request.
type observation struct{ first, second, metrics, tracing, cors bool }

func (o observation) String() string {
	return fmt.Sprintf("observers %t %t, metrics %t, tracing %t, CORS %t", o.first, o.second, o.metrics, o.tracing, o.cors)
}

// forEachObservation runs a test for each combination. use changes edge's configuration to the
// combination. check returns an error unless each part that is on has recorded n requests, and the
// others none.
func forEachObservation(t *testing.T, test func(t *testing.T, use func(*bridge.Config), check func(n int) error)) {
	for n := range 32 {
		on := observation{n&1 != 0, n&2 != 0, n&4 != 0, n&8 != 0, n&16 != 0}
		t.Run(on.String(), func(t *testing.T) {
			t.Parallel()
			var one, two witness
			metrics, measure := measured(t)
			spans := tracetest.NewInMemoryExporter()
			test(t, func(cfg *bridge.Config) {
				var all []bridge.Observer
				if on.first {
					all = append(all, &one)
				}
				if on.second {
					all = append(all, &two)
				}
				cfg.Observe = bridge.Observers(all...)
				if on.metrics {
					measure(cfg)
				}
				if on.tracing {
					cfg.Tracing = bridge.NewTracing(sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)), (*url.URL).EscapedPath)
				}
				if on.cors {
					cfg.CORSAllowedOrigins = []string{"https://page.example.com"}
				}
			}, func(n int) error {
				requests := slices.DeleteFunc(spans.GetSpans(), func(s tracetest.SpanStub) bool { return s.Parent.IsValid() })
				got := []int{one.ended(), two.ended(), int(metrics.value("edge_request_duration_seconds")), len(requests)}
				for i, is := range []bool{on.first, on.second, on.metrics, on.tracing} {
					if is && got[i] != n || !is && got[i] != 0 {
						return fmt.Errorf("recorded %v", got)
					}
				}
				return nil
			})
		})
	}
}

// ended returns the number of requests whose end the Observer was told.
func (w *witness) ended() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range w.seen {
		if len(o.said) > 0 && strings.HasPrefix(o.said[len(o.said)-1], "ended") {
			n++
		}
	}
	return n
}

// TestObserversPassEverything checks that streams, watches and plain requests work whatever observes
// them, and that each part that is on has recorded them.
func TestObserversPassEverything(t *testing.T) {
	t.Parallel()
	forEachObservation(t, func(t *testing.T, use func(*bridge.Config), check func(n int) error) {
		next := make(chan bool, 1)
		w := newWorld(t, (&apiServer{
			run: func(p *process) error {
				fmt.Fprint(p.out, "out")
				return exitError(3)
			},
			rest: func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == proxyPath {
					echo(w, r)
					return
				}
				for range 2 {
					fmt.Fprintln(w, "event")
					http.NewResponseController(w).Flush()
					<-next
				}
			},
		}).start(t), use)
		for _, name := range []string{"websocket v5", "spdy v4"} {
			if got := clientNamed(name).do(t, w.edge, command{}); got.stdout != "out" || got.err == nil || !strings.Contains(got.err.Error(), "exit code 3") {
				t.Errorf("%s: %+v", name, got)
			}
		}
		d := websocket.Dialer{TLSClientConfig: tlsFor(w.edge)}
		c, _, err := d.Dial("wss://"+w.edge.Listener.Addr().String()+proxyPath, nil)
		if err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(patience))
		if err := c.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
			t.Error(err)
		}
		if _, b, err := c.ReadMessage(); err != nil || string(b) != "hello" {
			t.Errorf("%q came back, %v", b, err)
		}
		c.Close()
		for _, http2 := range []bool{false, true} {
			resp, err := w.client(t, http2).Get(w.edge.URL + "/api/v1/pods?watch=1")
			if err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewReader(resp.Body)
			for range 2 { // the API server sends each event after the client has read the one before
				if line, err := lines.ReadString('\n'); err != nil || line != "event\n" {
					t.Errorf("%s: %q, %v", resp.Proto, line, err)
				}
				next <- true
			}
			if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
				t.Errorf("%s: then %q, %v", resp.Proto, rest, err)
			}
			resp.Body.Close()
		}
		w.eventually("all records", func() bool { return check(5) == nil })
	})
}

// controlled is net/http's writer with everything that http.ResponseController can do, and records
// which of it was called.
type controlled struct {
	http.ResponseWriter
	called []string
}

func (c *controlled) call(name string) error {
	c.called = append(c.called, name)
	return nil
}

func (c *controlled) FlushError() error                { return c.call("Flush") }
func (c *controlled) SetReadDeadline(time.Time) error  { return c.call("SetReadDeadline") }
func (c *controlled) SetWriteDeadline(time.Time) error { return c.call("SetWriteDeadline") }
func (c *controlled) EnableFullDuplex() error          { return c.call("EnableFullDuplex") }
func (c *controlled) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return nil, nil, c.call("Hijack")
}

// TestObserversKeepTheController checks that everything that http.ResponseController can do reaches
// net/http's writer, whatever wraps it.
func TestObserversKeepTheController(t *testing.T) {
	t.Parallel()
	forEachObservation(t, func(t *testing.T, use func(*bridge.Config), _ func(int) error) {
		w := newWorld(t, plainAPI(http.NotFound), use)
		under := &controlled{ResponseWriter: httptest.NewRecorder()}
		c := http.NewResponseController(w.handler.WriterOf(under, httptest.NewRequest(http.MethodGet, "/api/v1/pods?watch=1", nil)))
		for name, do := range map[string]func() error{
			"Flush":            c.Flush,
			"SetReadDeadline":  func() error { return c.SetReadDeadline(time.Time{}) },
			"SetWriteDeadline": func() error { return c.SetWriteDeadline(time.Time{}) },
			"EnableFullDuplex": c.EnableFullDuplex,
			"Hijack": func() error {
				_, _, err := c.Hijack()
				return err
			},
		} {
			under.called = nil
			if err := do(); err != nil || !slices.Equal(under.called, []string{name}) {
				t.Errorf("%s: %v, called %q", name, err, under.called)
			}
		}
	})
}
