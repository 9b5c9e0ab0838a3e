package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Limits for a test in which edge's connection to the API server dies without FIN or RST. If other
// tests run at the same time, the test multiplies the limits by slack.
const (
	// edge must answer a GET that was in flight on the dead connection within this time
	inFlightBar = 8 * time.Second
	// edge must answer new requests at once when this time has passed since the connection died
	newBar = 4 * time.Second
)

const (
	// number of requests of each kind that are in flight when the connection dies
	deadMany = 20
	// number of edge's access reviews in flight for one user when the connection dies; edge sends
	// at most 16 at one time
	reviewsMany = 10
	probePeriod = 250 * time.Millisecond // interval between two new requests that probe sends
	// edge has answered "at once" if its response took at most this time
	probeQuick = time.Second
	// size in bytes of a response that the test never reads to its end
	endless  = 64 << 30
	deadTime = 3 * time.Minute // timeout of the whole test
)

// TestDeadConnection checks what the clients' requests get when edge's connection to the API server
// dies without FIN or RST, while new connections to the API server work.
func TestDeadConnection(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), deadTime)
	defer cancel()
	d := startDeadWay(ctx, t)
	d.make(ctx, "seen")
	seen := map[string]*follow{"a watch over HTTP/2": d.watch(ctx, d.h, "seen"), "a watch over HTTP/1.1": d.watch(ctx, newHand(t, d.h.to).overHTTP1(), "seen")}
	for _, f := range seen {
		d.expect(ctx, f, "seen")
	}
	// a watch whose response has begun, but whose first event has not arrived
	quiet := d.watch(ctx, d.h, "quiet")
	half := d.halfAnswer(ctx, endless)
	defer half.Close()

	n := d.relay.Silence()
	start := time.Now()
	head := d.send(ctx, http.MethodHead, "seen", nil)
	asked, posted := []sent{}, []sent{}
	for i := range deadMany {
		asked = append(asked, d.send(ctx, http.MethodGet, "seen", nil))
		var header []string
		if i%2 == 0 {
			header = []string{"Idempotency-Key: " + d.object("posted")}
		}
		name := fmt.Sprintf("posted-%d", i)
		posted = append(posted, d.send(ctx, http.MethodPost, name, object(d.object(name), "0", i*10_000, ""), header...))
	}
	// a POST with a body of 64 MiB: the buffers between client and API server cannot hold all of
	// it, so edge cannot write the whole body to the dead connection
	long := make(chan reply, 1)
	go func() { long <- d.h.do(ctx, http.MethodPost, bytesURI, make([]byte, 64<<20)) }()
	later := d.h.follow(ctx, watchOf(d.object("later")))
	recovered := d.probe(ctx, start)

	slowest := d.answered(asked)
	// 405 is the API server's own answer to a HEAD of an object
	if r := <-head.reply; r.code != http.StatusMethodNotAllowed {
		d.wrong.add("a HEAD did not get the API server's own answer", r)
	}
	d.toldOrDone(ctx, posted)
	if r := <-long; !r.says(http.StatusGatewayTimeout, maybeDone) {
		d.wrong.add("a POST with a long body got no 504 of edge with the message that it "+maybeDone, r)
	}
	d.wrong.report(t, nil)
	t.Logf("%d connections died; a GET in flight was answered after %.1f s, a new request at once after %.1f s", n, slowest.Seconds(), recovered.Seconds())
	for what, f := range seen {
		d.ended(ctx, f, what)
	}
	if n, err := io.Copy(io.Discard, half); err == nil {
		t.Errorf("a response that had begun ended without an error, after %d more bytes", n)
	}
	d.begins(ctx, later, "later")
	d.make(ctx, "later")
	d.expect(ctx, later, "later")
	d.make(ctx, "quiet")
	if event, ok := quiet.next(ctx); ok && strings.Contains(event, d.object("quiet")) {
		t.Log("a watch whose head had arrived continues")
	} else if ok || quiet.err == io.EOF {
		t.Errorf("a watch whose head had arrived: %.300s, %v; want that it continues or breaks", event, quiet.err)
	} else {
		t.Logf("a watch whose head had arrived breaks: %v", quiet.err)
	}
}

// answered waits for the responses to the GETs that were in flight when the connection died, and
// returns the duration of the slowest.
func (d *deadWay) answered(asked []sent) (slowest time.Duration) {
	for _, one := range asked {
		r := <-one.reply
		slowest = max(slowest, r.took)
		if r.err != nil || r.code != 200 || r.took > slack*inFlightBar {
			d.wrong.add(fmt.Sprintf("not 200 within %v", slack*inFlightBar), fmt.Sprint(one.what, ": ", r))
		}
	}
	return slowest
}

// toldOrDone waits for the responses to the POSTs that were in flight when the connection died.
// Each POST must succeed. Otherwise the client must get edge's 504, and the API server must not
// have created the object.
func (d *deadWay) toldOrDone(ctx context.Context, posted []sent) {
	d.Helper()
	for i, one := range posted {
		r := <-one.reply
		if !r.says(http.StatusGatewayTimeout, maybeDone) && (r.err != nil || r.code != http.StatusCreated) {
			d.wrong.add("a POST neither succeeded nor got a 504 of edge with the message that it "+maybeDone, fmt.Sprint(one.what, ": ", r))
		} else if there := d.exists(ctx, fmt.Sprintf("posted-%d", i)); there != (r.code == http.StatusCreated) {
			d.Errorf("%s: %v, but the object exists: %v", one.what, r, there)
		}
	}
}

// probe sends new requests until edge has answered several in a row at once. It returns the time
// from the parameter start until the first of these requests was sent.
func (d *deadWay) probe(ctx context.Context, start time.Time) time.Duration {
	d.Helper()
	const row = 8
	var mu sync.Mutex
	var all []*struct {
		at   time.Duration
		took time.Duration // time until edge answered the request; 0: not answered yet
	}
	var probes sync.WaitGroup
	defer probes.Wait()
	for pause(ctx, probePeriod) {
		mu.Lock()
		one := &struct{ at, took time.Duration }{at: time.Since(start)}
		all = append(all, one)
		quick := 0
		for _, p := range slices.Backward(all[:len(all)-1]) {
			if p.took == 0 || p.took > probeQuick {
				break
			}
			quick++
		}
		if quick >= row {
			recovered := all[len(all)-1-quick].at
			mu.Unlock()
			if recovered > slack*newBar {
				d.Errorf("new requests are answered at once after %v, want %v", recovered, slack*newBar)
			}
			return recovered
		}
		mu.Unlock()
		probes.Go(func() {
			r := d.h.do(ctx, http.MethodGet, badMaps+"/"+d.object("warm-0"), nil)
			mu.Lock()
			defer mu.Unlock()
			one.took = max(r.took, 1)
			if r.err != nil || r.code != 200 {
				d.wrong.add("a new request failed", fmt.Sprintf("%v after the connection died: %v", one.at, r))
			}
		})
	}
	d.Error("new requests were not answered at once before the timeout")
	return 0
}
