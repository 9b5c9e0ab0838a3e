package roundtrip_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"edge/bridge/internal/roundtrip"
	"edge/internal/testkit"
)

// served is a server that answers requests immediately, except those for /watch, /slow and /upload.
func served(sent *atomic.Int32) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		sent.Add(1)
		switch r.URL.Path {
		case "/watch":
			io.WriteString(w, "begun")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		case "/slow":
			time.Sleep(time.Minute)
		case "/upload":
			io.Copy(io.Discard, r.Body)
		}
	}
}

// onDead runs the test f with a fake clock and a Transport. The Transport's first connection has
// carried one request and then becomes silent.
func onDead(t *testing.T, f func(t *testing.T, n *network, tr *roundtrip.Transport, sent *atomic.Int32)) {
	synctest.Test(t, func(t *testing.T) {
		sent := new(atomic.Int32)
		n, tr := newNetwork(t, genuine(served(sent)))
		read(must(tr.RoundTrip(get("/"))))
		synctest.Wait()
		n.conn(1).die()
		f(t, n, tr, sent)
	})
}

// within checks that the time that has passed on the fake clock since began is between least and
// most.
func within(t *testing.T, began time.Time, least, most time.Duration) {
	t.Helper()
	if took := time.Since(began); took < least || took > most {
		t.Errorf("took %v, not %v to %v", took, least, most)
	}
}

// TestDeadConnection checks a connection whose server becomes silent. A GET in flight must be sent
// again after 7 s. Later requests must use another connection after 3 s at the latest.
func TestDeadConnection(t *testing.T) {
	onDead(t, func(t *testing.T, n *network, tr *roundtrip.Transport, sent *atomic.Int32) {
		began := time.Now()
		flight := make(chan error)
		go func() {
			resp, err := tr.RoundTrip(get("/"))
			if err == nil {
				read(resp)
			}
			flight <- err
		}()
		// The PING is late after 3 s. The health check notices that within 250 ms.
		time.Sleep(3*time.Second + 300*time.Millisecond)
		read(must(tr.RoundTrip(get("/"))))
		within(t, began, 0, 4*time.Second)
		if err := <-flight; err != nil {
			t.Error(err)
		}
		within(t, began, 7*time.Second, 8*time.Second)
		if n.dials() != 2 {
			t.Errorf("%d connections were made", n.dials())
		}
		if c := tr.Connections(); c != 1 {
			t.Errorf("%d connections are open", c)
		}
	})
}

// TestDeadConnectionManyRequests checks that new requests on a connection whose server is silent do
// not delay the PING. The PING finds out whether the server is dead.
func TestDeadConnectionManyRequests(t *testing.T) {
	onDead(t, func(t *testing.T, n *network, tr *roundtrip.Transport, sent *atomic.Int32) {
		began := time.Now()
		done := make(chan time.Duration, 200)
		for i := range 100 {
			go func() {
				time.Sleep(time.Duration(i) * 100 * time.Millisecond)
				from := time.Now()
				read(must(tr.RoundTrip(get("/"))))
				done <- time.Since(from)
			}()
		}
		for range 100 {
			if took := <-done; took > 8*time.Second {
				t.Errorf("a GET took %v", took)
			}
		}
		within(t, began, 0, 11*time.Second)
	})
}

// TestDeadConnections checks that a request does not wait for each of several silent connections in
// turn.
func TestDeadConnections(t *testing.T) {
	const conns = 4
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/hold" {
				<-hold
			}
		})
		// The server allows one stream per connection, so that each request opens a connection.
		n, tr := newNetwork(t, func(_ int, c *tls.Conn) {
			testkit.HTTP2Server(1).ServeConn(c, &http2.ServeConnOpts{Handler: handler})
		})
		var held sync.WaitGroup
		for range conns {
			held.Go(func() { read(must(tr.RoundTrip(get("/hold")))) })
			synctest.Wait()
		}
		close(hold)
		held.Wait()
		if n.dials() != conns {
			t.Fatalf("%d connections", n.dials())
		}
		time.Sleep(5 * time.Second)
		for i := range conns {
			n.conn(i + 1).die()
		}
		began := time.Now()
		flight := make(chan error)
		go func() {
			resp, err := tr.RoundTrip(get("/"))
			if err == nil {
				read(resp)
			}
			flight <- err
		}()
		time.Sleep(3*time.Second + 300*time.Millisecond)
		read(must(tr.RoundTrip(get("/"))))
		within(t, began, 0, 4*time.Second)
		if err := <-flight; err != nil {
			t.Error(err)
		}
		within(t, began, 7*time.Second, 8*time.Second)
	})
}

// TestDeadWay checks two Transports that share a Doubt, the record of a broken network. If a
// connection of one Transport is dead, the other must send no new request on a silent connection.
func TestDeadWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		way := new(roundtrip.Doubt)
		share := func(c *roundtrip.Config) { c.Doubt = way }
		reviews, ofReviews := newNetwork(t, genuine(served(new(atomic.Int32))), share)
		people, ofPeople := newNetwork(t, genuine(served(new(atomic.Int32))), share)
		for _, tr := range []*roundtrip.Transport{ofReviews, ofPeople} {
			read(must(tr.RoundTrip(get("/"))))
		}
		synctest.Wait()
		time.Sleep(5 * time.Second)
		reviews.conn(1).die()
		people.conn(1).die()
		began := time.Now()
		read(must(ofReviews.RoundTrip(get("/"))))
		read(must(ofPeople.RoundTrip(get("/"))))
		within(t, began, 7*time.Second, 8*time.Second)
	})
}

// TestDeadConnectionPOST checks that a POST in flight on a dead connection fails with ErrLost,
// because it may have been executed, and is not sent again.
func TestDeadConnectionPOST(t *testing.T) {
	onDead(t, func(t *testing.T, n *network, tr *roundtrip.Transport, sent *atomic.Int32) {
		began := time.Now()
		req := post(strings.NewReader("body"))
		req.Header.Set("Idempotency-Key", "1")
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("body")), nil }
		_, err := tr.RoundTrip(req)
		if !errors.Is(err, roundtrip.ErrLost) || !errors.Is(err, roundtrip.ErrSilent) {
			t.Error(err)
		}
		within(t, began, 7*time.Second, 8*time.Second)
		if n.dials() != 1 {
			t.Errorf("%d connections were made", n.dials())
		}
	})
}

// TestLatePONG checks that a connection which answers a PING within 6 s keeps its requests and
// accepts new ones.
func TestLatePONG(t *testing.T) {
	onDead(t, func(t *testing.T, n *network, tr *roundtrip.Transport, sent *atomic.Int32) {
		flight := make(chan error)
		go func() {
			_, err := tr.RoundTrip(post(strings.NewReader("body")))
			flight <- err
		}()
		time.Sleep(5 * time.Second)
		n.conn(1).wake()
		if err := <-flight; err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		read(must(tr.RoundTrip(get("/"))))
		if n.dials() != 1 || sent.Load() != 3 {
			t.Errorf("%d connections, %d requests", n.dials(), sent.Load())
		}
	})
}

// TestSilentWatch checks that a watch on a dead connection ends with an error, after 20 s of
// silence and 6 s for the answer to a PING.
func TestSilentWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := new(atomic.Int32)
		n, tr := newNetwork(t, genuine(served(sent)))
		resp := must(tr.RoundTrip(get("/watch?watch=1")))
		io.ReadFull(resp.Body, make([]byte, 5))
		synctest.Wait()
		time.Sleep(5 * time.Minute) // the server answers each PING meanwhile
		synctest.Wait()
		began := time.Now()
		n.conn(1).die()
		if _, err := io.ReadAll(resp.Body); err == nil {
			t.Error("the watch ended without an error")
		}
		within(t, began, 6*time.Second, 26*time.Second)
		if sent.Load() != 1 {
			t.Errorf("%d requests", sent.Load())
		}
	})
}

// TestSlowAnswer checks that a request may wait long for its answer if the server answers PINGs on
// the connection.
func TestSlowAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := new(atomic.Int32)
		n, tr := newNetwork(t, genuine(served(sent)))
		began := time.Now()
		read(must(tr.RoundTrip(get("/slow"))))
		within(t, began, time.Minute, time.Minute)
		if sent.Load() != 1 || n.dials() != 1 {
			t.Errorf("%d requests, %d connections", sent.Load(), n.dials())
		}
	})
}

// TestIdleDeath checks that the PING which is sent every 20 s finds an idle connection that died. A
// healthy idle connection must be closed after 90 s.
func TestIdleDeath(t *testing.T) {
	onDead(t, func(t *testing.T, n *network, tr *roundtrip.Transport, sent *atomic.Int32) {
		time.Sleep(23 * time.Second)
		began := time.Now()
		read(must(tr.RoundTrip(get("/"))))
		within(t, began, 0, 0)
		time.Sleep(80 * time.Second)
		if c := tr.Connections(); c != 1 {
			t.Errorf("%d connections are left", c)
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if c := tr.Connections(); c != 0 || n.dials() != 2 {
			t.Errorf("%d connections of %d are left", c, n.dials())
		}
	})
}

// TestDeadUpload checks that a request fails if the server becomes silent while the request's body
// is being sent.
func TestDeadUpload(t *testing.T) {
	onDead(t, func(t *testing.T, n *network, tr *roundtrip.Transport, sent *atomic.Int32) {
		began := time.Now()
		req := post(io.LimitReader(zeros{}, 1<<20))
		req.URL.Path = "/upload"
		if _, err := tr.RoundTrip(req); err == nil {
			t.Error("the upload was answered")
		}
		within(t, began, 7*time.Second, 8*time.Second)
	})
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// TestDialsAreBounded checks that a request fails after 10 s if the host answers neither TCP nor
// TLS.
func TestDialsAreBounded(t *testing.T) {
	for name, dial := range map[string]func(context.Context, string, string) (net.Conn, error){
		"TCP": func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		},
		"TLS": func(context.Context, string, string) (net.Conn, error) {
			client, _ := newPipe()
			return client, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := newTransport(t, "https://api.test", func(c *roundtrip.Config) { c.Dial = dial })
				began := time.Now()
				if _, err := tr.RoundTrip(get("/")); !errors.Is(err, roundtrip.ErrUnreached) {
					t.Error(err)
				}
				within(t, began, 10*time.Second, 10*time.Second)
			})
		})
	}
}

// TestPINGThatIsNotWritten checks that a connection is closed if the server is silent, even if a
// blocked write keeps edge from sending the PING.
func TestPINGThatIsNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		lost := make(chan struct{})
		h := roundtrip.NewHealth(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, func() { close(lost) })
		h.Begin()
		<-lost
		within(t, began, 7*time.Second, 7*time.Second)
	})
}
