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

// The bars for a connection to the API server that has died without a word. A test that is not alone on the machine has slack.
const (
	inFlightBar = 8 * time.Second // a GET that was sent on it is answered
	newBar      = 4 * time.Second // from then on, a new request is answered at once
)

const (
	deadMany    = 20                     // requests of each kind that are in flight when the connection dies
	reviewsMany = 10                     // of one user; edge lets 16 be under way
	probePeriod = 250 * time.Millisecond // between two new requests
	probeQuick  = time.Second            // "at once"
	endless     = 64 << 30               // bytes of an answer that nobody reads to its end
	deadTime    = 3 * time.Minute        // for what takes at most 8 s
)

// TestDeadConnection: edge's connection to the API server dies without a word, and with new connections all is well.
func TestDeadConnection(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), deadTime)
	defer cancel()
	d := startDeadWay(t, ctx)
	d.make(ctx, "seen")
	seen := map[string]*follow{"a watch over HTTP/2": d.watch(ctx, d.h, "seen"), "a watch over HTTP/1.1": d.watch(ctx, newHand(t, d.h.to).overHTTP1(), "seen")}
	for _, f := range seen {
		d.expect(ctx, f, "seen")
	}
	quiet := d.watch(ctx, d.h, "quiet") // its head has come, and nothing else
	half := d.halfAnswer(ctx, endless)
	defer half.Close()

	n := d.relay.Silence()
	start := time.Now()
	var asked, posted []sent
	for i := range deadMany {
		asked = append(asked, d.send(ctx, http.MethodGet, "seen", nil))
		var header []string
		if i%2 == 0 {
			header = []string{"Idempotency-Key: " + d.object("posted")}
		}
		name := fmt.Sprintf("posted-%d", i)
		posted = append(posted, d.send(ctx, http.MethodPost, name, object(d.object(name), "0", i*10_000, ""), header...))
	}
	long := make(chan reply, 1) // its body does not fit into any buffer
	go func() { long <- d.h.do(ctx, http.MethodPost, bytesURI, make([]byte, 64<<20)) }()
	later := d.h.follow(ctx, watchOf(d.object("later")))
	recovered := d.probe(ctx, start)

	slowest := d.answered(asked)
	d.toldOrDone(ctx, posted)
	if r := <-long; !r.says(http.StatusGatewayTimeout, maybeDone) {
		d.wrong.add("a long body: not told by edge's 504 that it "+maybeDone, r)
	}
	d.wrong.report(t, nil)
	t.Logf("%d connections died; a GET in flight was answered after %.1f s, a new request at once after %.1f s", n, slowest.Seconds(), recovered.Seconds())
	for what, f := range seen {
		d.ended(ctx, f, what)
	}
	if n, err := io.Copy(io.Discard, half); err == nil {
		t.Errorf("an answer that had begun ended well, after %d more bytes", n)
	}
	d.begins(ctx, later, "later")
	d.make(ctx, "later")
	d.expect(ctx, later, "later")
	d.make(ctx, "quiet")
	if event, ok := quiet.next(ctx); ok && strings.Contains(event, d.object("quiet")) {
		t.Log("a watch whose head had come goes on")
	} else if ok || quiet.err == io.EOF {
		t.Errorf("a watch whose head had come: %.300s, %v, want that it goes on or breaks", event, quiet.err)
	} else {
		t.Logf("a watch whose head had come breaks: %v", quiet.err)
	}
}

// answered waits for GETs that were in flight, and returns how long the slowest took.
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

// toldOrDone waits for POSTs that were in flight. None arrived that was not answered.
func (d *deadWay) toldOrDone(ctx context.Context, posted []sent) {
	d.Helper()
	for i, one := range posted {
		r := <-one.reply
		if !r.says(http.StatusGatewayTimeout, maybeDone) && (r.err != nil || r.code != http.StatusCreated) {
			d.wrong.add("neither done nor told by edge's 504 that it "+maybeDone, fmt.Sprint(one.what, ": ", r))
		} else if there := d.exists(ctx, fmt.Sprintf("posted-%d", i)); there != (r.code == http.StatusCreated) {
			d.Errorf("%s: %v, and that it is there is %v", one.what, r, there)
		}
	}
}

// probe makes new requests until some in a row are answered at once, and returns when, after start, the first of those was made.
func (d *deadWay) probe(ctx context.Context, start time.Time) time.Duration {
	d.Helper()
	const row = 8
	var mu sync.Mutex
	var all []*struct {
		at   time.Duration
		took time.Duration // zero: not answered yet
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
	d.Error("new requests are not answered at once any more")
	return 0
}
