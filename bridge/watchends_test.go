package bridge_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"edge/bridge"
	"edge/internal/testkit"
)

// brokenWriter is the writer to a client whose Write fails with err, or writes half of the bytes.
type brokenWriter struct {
	http.ResponseWriter
	err   error
	short bool // true: Write returns half of the length, and no error
}

func (w *brokenWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *brokenWriter) Write(b []byte) (int, error) {
	if w.short {
		return w.ResponseWriter.Write(b[:len(b)/2])
	}
	return 0, w.err
}

// TestWatchLastBytes checks a watch that the API server answers over HTTP/1.1, and whose chunked
// body breaks off or becomes malformed right after an event. The client must receive that event and
// then an error.
func TestWatchLastBytes(t *testing.T) {
	t.Parallel()
	for name, tail := range map[string]string{
		"malformed chunk": "3\r\nabcxyz\r\n", "incomplete chunk": "64\r\nhalf a line", "malformed length": "zz\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			first := make(chan bool)
			api := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				conn, _, err := w.(http.Hijacker).Hijack()
				if err != nil {
					panic(err)
				}
				defer conn.Close()
				if r.URL.Path == "/version" {
					io.WriteString(conn, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
					return
				}
				io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nfirst\n\r\n")
				<-first
				io.WriteString(conn, "7\r\nsecond\n\r\n"+tail)
			}))
			api.TLS = &tls.Config{NextProtos: []string{"http/1.1"}}
			testkit.StartTLS(api)
			t.Cleanup(api.Close)
			w := &world{T: t, api: api, log: new(syncBuffer)}
			w.front(configFor(api))
			bothVersions(t, func(t *testing.T, http2 bool) {
				resp := must(w.client(t, http2).Get(w.edge.URL + "/api/v1/pods?watch=1"))
				defer resp.Body.Close()
				const events = "first\nsecond\n"
				got := make([]byte, len(events))
				n, err := io.ReadFull(resp.Body, got[:len("first\n")])
				first <- true
				if err == nil {
					var rest []byte
					rest, err = io.ReadAll(resp.Body)
					n += copy(got[n:], rest)
				}
				if err == nil || string(got[:n]) != events {
					t.Errorf("%q, %v", got[:n], err)
				}
			})
		})
	}
}

// TestWatchWriteFails checks that a failed write to the client of a watch cuts the answer short,
// whatever its error: a truncated answer must not look complete to the client or to the Observer.
func TestWatchWriteFails(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]brokenWriter{"EOF": {err: io.EOF}, "short": {short: true}, "other": {err: net.ErrClosed}} {
		t.Run(name, func(t *testing.T) {
			seen := new(witness)
			w := newWorld(t, plainAPI(func(w http.ResponseWriter, _ *http.Request) {
				io.WriteString(w, "0123456789")
				w.(http.Flusher).Flush()
			}), func(c *bridge.Config) { c.Observe = seen })
			w.edge = serveTLS(t, http.HandlerFunc(func(to http.ResponseWriter, r *http.Request) {
				writer := broken
				writer.ResponseWriter = to
				w.handler.ServeHTTP(&writer, r)
			}))
			var got []byte
			resp, err := w.client(t, false).Get(w.edge.URL + "/api?watch=1")
			if err == nil {
				defer resp.Body.Close()
				got, err = io.ReadAll(resp.Body)
			}
			if _, end := seen.account(w, 1); err == nil || !end.Cut {
				t.Errorf("a truncated answer looks complete: %q", got)
			}
		})
	}
}
