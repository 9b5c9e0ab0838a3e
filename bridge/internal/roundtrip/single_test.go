package roundtrip_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"edge/bridge/internal/roundtrip"
	"edge/internal/testkit"
)

// without starts a server that has no HTTP/2, with http/1.1 in ALPN or without ALPN. It also
// returns the number of connections that the server has accepted.
func without(t *testing.T, alpn bool, h http.HandlerFunc) (*httptest.Server, *atomic.Int32) {
	s := httptest.NewUnstartedServer(h)
	opened := new(atomic.Int32)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	if !alpn {
		s.Listener = tls.NewListener(s.Listener, &tls.Config{Certificates: []tls.Certificate{certificate}})
		s.Start()
		s.URL = strings.Replace(s.URL, "http:", "https:", 1)
	} else {
		testkit.StartTLS(s)
	}
	t.Cleanup(s.Close)
	return s, opened
}

// TestWithoutHTTP2 checks that 20 workers, each with one request at a time, open at most 40
// connections to a server without HTTP/2. This holds for any number of requests and any window
// size: each worker has one connection in use and at most one that is not back in the pool yet.
func TestWithoutHTTP2(t *testing.T) {
	for _, alpn := range []bool{true, false} {
		s, opened := without(t, alpn, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s %s", r.Proto, body)
		})
		tr := newTransport(t, s.URL, func(c *roundtrip.Config) { c.Windows = new(roundtrip.Windows) })
		var work sync.WaitGroup
		const workers = 20
		for worker := range workers {
			work.Go(func() {
				for i := range 50 {
					method, query := "GET", ""
					if i%2 == 1 {
						method = "POST"
					}
					if i%5 == 0 {
						query = "?watch=1"
					}
					body := fmt.Sprint(worker, i)
					resp, err := tr.RoundTrip(must(http.NewRequest(method, s.URL+"/"+query, io.NopCloser(strings.NewReader(body)))))
					if err != nil {
						t.Error(err)
						return
					}
					if got := read(resp); got != "HTTP/1.1 "+body {
						t.Errorf("%q", got)
					}
				}
			})
		}
		work.Wait()
		if n := opened.Load(); n > 2*workers {
			t.Errorf("ALPN %v: %d connections", alpn, n)
		}
	}
}

// lastLeft returns a function that serves connections. On the first connection it answers the given
// number of requests, reads one more and closes the connection.
func lastLeft(answers int, sent *atomic.Int32) func(int, *tls.Conn) {
	return func(n int, c *tls.Conn) {
		in := bufio.NewReader(c)
		for i := 0; ; i++ {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			io.Copy(io.Discard, r.Body)
			sent.Add(1)
			if n == 1 && i == answers {
				return
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	}
}

// TestWithoutHTTP2IsSentOnce checks requests over HTTP/1.1 whose connection breaks. A request that
// may have been executed must not be sent again, whatever its headers are and however many requests
// the connection has served. A GET without a body must be sent again.
func TestWithoutHTTP2IsSentOnce(t *testing.T) {
	for _, nth := range []int{0, 1} {
		for name, test := range map[string]struct {
			method, body string
			lost         bool
		}{
			"POST":            {"POST", "body", true},
			"empty POST":      {"POST", "", true},
			"DELETE":          {"DELETE", "", true},
			"GET with a body": {"GET", "body", true},
			"GET":             {"GET", "", false},
		} {
			var sent atomic.Int32
			n, tr := newNetwork(t, lastLeft(nth, &sent))
			n.protos = nil
			for range nth {
				read(must(tr.RoundTrip(get("/"))))
			}
			req := get("/")
			req.Method = test.method
			req.Header = http.Header{"Idempotency-Key": {"1"}, "X-Idempotency-Key": {"1"}}
			if test.body != "" {
				req.Body, req.ContentLength = io.NopCloser(strings.NewReader(test.body)), int64(len(test.body))
				req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(test.body)), nil }
			}
			_, err := tr.RoundTrip(req)
			times := int(sent.Load()) - nth
			if errors.Is(err, roundtrip.ErrLost) != test.lost || (times == 1) != test.lost {
				t.Errorf("%s after %d: sent %d times, %v", name, nth, times, err)
			}
		}
	}
}

// TestKeptConnectionCloses checks that a POST is not sent on an idle HTTP/1.1 connection that the
// server has closed.
func TestKeptConnectionCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent atomic.Int32
		n, tr := newNetwork(t, func(n int, c *tls.Conn) {
			r, err := http.ReadRequest(bufio.NewReader(c))
			if err != nil {
				return
			}
			io.Copy(io.Discard, r.Body)
			sent.Add(1)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			time.Sleep(time.Second)
		})
		n.protos = nil
		for range 3 {
			read(must(tr.RoundTrip(post(strings.NewReader("body")))))
			time.Sleep(2 * time.Second)
		}
		if sent.Load() != 3 || n.dials() != 3 || tr.Connections() != 0 {
			t.Errorf("%d requests, %d connections, %d left", sent.Load(), n.dials(), tr.Connections())
		}
	})
}

// TestManyKeptConnectionsClose checks what happens if the server closes all idle HTTP/1.1
// connections just as they are used again. A GET that fails on one of them must be sent again on a
// new connection, not on another idle one.
func TestManyKeptConnectionsClose(t *testing.T) {
	const kept = 8
	synctest.Test(t, func(t *testing.T) {
		all := make(chan struct{})
		n, tr := newNetwork(t, func(n int, c *tls.Conn) {
			r := bufio.NewReader(c)
			http.ReadRequest(r)
			if n <= kept {
				<-all
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			http.ReadRequest(r) // this request gets no answer
		})
		n.protos = nil
		var working sync.WaitGroup
		for range kept {
			working.Go(func() { read(must(tr.RoundTrip(get("/")))) })
		}
		synctest.Wait()
		close(all)
		working.Wait()
		resp, err := tr.RoundTrip(get("/"))
		if err != nil {
			t.Fatal(err)
		}
		read(resp)
		if n.dials() != kept+1 {
			t.Errorf("%d connections, want %d and a new one", n.dials(), kept)
		}
	})
}

// TestIdleWithoutHTTP2 checks that an HTTP/1.1 connection without requests is closed after 90 s.
func TestIdleWithoutHTTP2(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent atomic.Int32
		n, tr := newNetwork(t, lastLeft(100, &sent))
		n.protos = nil
		for range 3 {
			read(must(tr.RoundTrip(get("/"))))
			time.Sleep(80 * time.Second)
		}
		if c := tr.Connections(); c != 1 || n.dials() != 1 {
			t.Errorf("%d connections of %d", c, n.dials())
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if c := tr.Connections(); c != 0 {
			t.Errorf("%d connections are left", c)
		}
	})
}
