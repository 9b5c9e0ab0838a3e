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

// served answers at once, unless the path says otherwise.
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

// onDead calls f with a Transport whose first connection has carried a request and dies now, by a fake clock.
func onDead(t *testing.T, f func(t *testing.T, n *network, tr *roundtrip.Transport, sent *atomic.Int32)) {
	synctest.Test(t, func(t *testing.T) {
		sent := new(atomic.Int32)
		n, tr := newNetwork(t, real(served(sent)))
		read(must(tr.RoundTrip(get("/"))))
		synctest.Wait()
		n.conn(1).die()
		f(t, n, tr, sent)
	})
}

// within asserts by the fake clock.
func within(t *testing.T, began time.Time, least, most time.Duration) {
	t.Helper()
	if took := time.Since(began); took < least || took > most {
		t.Errorf("took %v, not %v to %v", took, least, most)
	}
}

// TestDeadConnection: a GET in flight on a connection that died is asked again after 7 s, and requests that come
// meanwhile find another connection after 3 s at the latest.
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
		time.Sleep(3*time.Second + 300*time.Millisecond) // a look is due each 250 ms
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

// TestDeadConnectionManyRequests: requests that keep coming do not put off the PING.
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

// TestDeadConnections: where all connections died, a request does not wait for one after the other.
func TestDeadConnections(t *testing.T) {
	const conns = 4
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/hold" {
				<-hold
			}
		})
		n, tr := newNetwork(t, func(_ int, c *tls.Conn) { // so that each request has a connection
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

// TestDeadWay: where a connection of another Transport is found dead, a silent one takes nothing new.
func TestDeadWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		way := new(roundtrip.Doubt)
		share := func(c *roundtrip.Config) { c.Doubt = way }
		reviews, ofReviews := newNetwork(t, real(served(new(atomic.Int32))), share)
		people, ofPeople := newNetwork(t, real(served(new(atomic.Int32))), share)
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

// TestDeadConnectionPOST: a POST in flight fails, and says that it may have been done; it is not sent again.
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

// TestLatePONG: a connection that answers before 6 s are over goes on with all that it carries, and takes new requests.
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

// TestSilentWatch: a watch that had begun ends as a broken one, after 20 s of silence and the 6 s of a PING.
func TestSilentWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := new(atomic.Int32)
		n, tr := newNetwork(t, real(served(sent)))
		resp := must(tr.RoundTrip(get("/watch?watch=1")))
		io.ReadFull(resp.Body, make([]byte, 5))
		synctest.Wait()
		time.Sleep(5 * time.Minute) // PINGs are answered
		synctest.Wait()
		began := time.Now()
		n.conn(1).die()
		if _, err := io.ReadAll(resp.Body); err == nil {
			t.Error("it ends as a whole one")
		}
		within(t, began, 6*time.Second, 26*time.Second)
		if sent.Load() != 1 {
			t.Errorf("%d requests", sent.Load())
		}
	})
}

// TestSlowAnswer: an answer may take its time on a connection that lives.
func TestSlowAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := new(atomic.Int32)
		n, tr := newNetwork(t, real(served(sent)))
		began := time.Now()
		read(must(tr.RoundTrip(get("/slow"))))
		within(t, began, time.Minute, time.Minute)
		if sent.Load() != 1 || n.dials() != 1 {
			t.Errorf("%d requests, %d connections", sent.Load(), n.dials())
		}
	})
}

// TestIdleDeath: a connection that dies while nobody uses it is found out by the PING of each 20 s, and one that lives
// is closed after 90 s.
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

// TestDeadUpload: a body that stands on a dead connection fails with it.
func TestDeadUpload(t *testing.T) {
	onDead(t, func(t *testing.T, n *network, tr *roundtrip.Transport, sent *atomic.Int32) {
		began := time.Now()
		req := post(io.LimitReader(zeros{}, 1<<20))
		req.URL.Path = "/upload"
		if _, err := tr.RoundTrip(req); err == nil {
			t.Error("it was answered")
		}
		within(t, began, 7*time.Second, 8*time.Second)
	})
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// TestDialsAreBounded: a host that says nothing to TCP, or nothing to TLS, costs a request 10 s.
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

// TestPINGThatIsNotWritten: a write that nobody takes holds up the PING, and the connection is closed all the same.
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
