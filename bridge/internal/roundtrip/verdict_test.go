package roundtrip_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"

	"edge/bridge/internal/roundtrip"
	"edge/internal/testkit"
)

// TestVerdicts checks a server that refuses, resets or drops the first or second request of its
// first connection. The table states which requests edge sends again, and with which error the
// other requests fail.
func TestVerdicts(t *testing.T) {
	const last = 1<<31 - 1
	reset := func(code http2.ErrCode) func(*played) bool {
		return func(p *played) bool { p.WriteRSTStream(p.stream, code); return true }
	}
	goAway := func(last func(stream uint32) uint32, code http2.ErrCode) func(*played) bool {
		return func(p *played) bool { p.WriteGoAway(last(p.stream), code, nil); return p.linger() }
	}
	below := func(stream uint32) uint32 { return max(stream, 2) - 2 }
	for name, test := range map[string]struct {
		does func(*played) bool
		post error // the error of a POST; nil: edge sends the POST again
		get  error
	}{
		"GOAWAY below it":               {does: goAway(below, http2.ErrCodeNo)},
		"GOAWAY below it, for a reason": {does: goAway(below, http2.ErrCodeEnhanceYourCalm)},
		"REFUSED_STREAM":                {does: reset(http2.ErrCodeRefusedStream)},
		"two GOAWAYs": {does: func(p *played) bool {
			p.WriteGoAway(last, http2.ErrCodeNo, nil)
			p.WriteGoAway(below(p.stream), http2.ErrCodeNo, nil)
			return p.linger()
		}},
		"GOAWAY, then the end": {does: func(p *played) bool {
			p.WriteGoAway(below(p.stream), http2.ErrCodeNo, nil)
			return false
		}},
		"GOAWAY above it, then the end": {
			does: func(p *played) bool { p.WriteGoAway(p.stream, http2.ErrCodeNo, nil); return false },
			post: roundtrip.ErrLost,
		},
		"the end":        {does: func(*played) bool { return false }, post: roundtrip.ErrLost},
		"INTERNAL_ERROR": {does: reset(http2.ErrCodeInternal), post: roundtrip.ErrLost, get: roundtrip.ErrLost},
		"CANCEL":         {does: reset(http2.ErrCodeCancel), post: roundtrip.ErrLost, get: roundtrip.ErrLost},
	} {
		for _, at := range []int{1, 2} {
			for _, method := range []string{"GET", "POST", "GET with a body"} {
				t.Run(fmt.Sprintf("%s, request %d, %s", name, at, method), func(t *testing.T) {
					var bodies []string
					_, tr := newNetwork(t, func(n int, c *tls.Conn) {
						play(c, func(p *played, nth int) bool {
							if n == 1 && nth < at {
								return p.ok()
							}
							bodies = append(bodies, string(p.body))
							if n == 1 && nth == at {
								return test.does(p)
							}
							return p.ok()
						})
					})
					for range at - 1 {
						must(tr.RoundTrip(get("/")))
					}
					req, want := get("/"), test.get
					if method != "GET" {
						req, want = post(strings.NewReader("body")), test.post
						req.Method, _, _ = strings.Cut(method, " ")
						req.Header.Set("Idempotency-Key", "1")
						req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("body")), nil }
					}
					_, err := tr.RoundTrip(req)
					sent := 2
					if want != nil {
						sent = 1
					}
					if !errors.Is(err, want) || len(bodies) != sent {
						t.Errorf("sent %d times, not %d: %v", len(bodies), sent, err)
					}
					if len(bodies) == 0 {
						return
					}
					if last := bodies[len(bodies)-1]; method != "GET" && last != "body" {
						t.Errorf("the last body is %q", last)
					}
				})
			}
		}
	}
}

// TestTriesAreBounded checks that a request is sent at most mostTries times to a server that
// refuses it, and that the error states that nothing was done. If the request's body is not
// available again, the request is sent once.
func TestTriesAreBounded(t *testing.T) {
	for name, test := range map[string]struct {
		again func() (io.ReadCloser, error)
		sent  int32
	}{
		"kept":     {func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("body")), nil }, roundtrip.MostTries},
		"not kept": {func() (io.ReadCloser, error) { return nil, roundtrip.ErrNotKept }, 1},
		"unknown":  {nil, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			var sent atomic.Int32
			_, tr := newNetwork(t, func(_ int, c *tls.Conn) {
				play(c, func(p *played, _ int) bool {
					sent.Add(1)
					p.WriteRSTStream(p.stream, http2.ErrCodeRefusedStream)
					return true
				})
			})
			req := post(strings.NewReader("body"))
			req.GetBody = test.again
			if _, err := tr.RoundTrip(req); !errors.Is(err, roundtrip.ErrNothingDone) || sent.Load() != test.sent {
				t.Errorf("%s: sent %d times: %v", name, sent.Load(), err)
			}
		})
	}
}

// TestRotatedConnections checks a server that closes connections now and then, as kube-apiserver
// does with --goaway-chance. No request may be lost or arrive twice.
func TestRotatedConnections(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]int{}
	var n atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		name, _, _ := strings.Cut(string(body), " ")
		mu.Lock()
		seen[name]++
		mu.Unlock()
		if n.Add(1)%10 == 0 {
			w.Header().Set("Connection", "close")
		}
	}))
	s.EnableHTTP2 = true
	testkit.StartTLS(s)
	defer s.Close()
	k := roundtrip.NewKeeper(newTransport(t, s.URL))
	var work sync.WaitGroup
	const workers, each = 20, 50
	for worker := range workers {
		work.Go(func() {
			for i := range each {
				body := fmt.Sprintf("%d-%d %s", worker, i, strings.Repeat("x", 1000*i))
				req := must(http.NewRequest("POST", s.URL, io.NopCloser(strings.NewReader(body))))
				resp, err := k.RoundTrip(req)
				if err != nil {
					t.Error(err)
					continue
				}
				read(resp)
			}
		})
	}
	work.Wait()
	if len(seen) != workers*each {
		t.Errorf("%d requests of %d arrived", len(seen), workers*each)
	}
	for name, times := range seen {
		if times != 1 {
			t.Errorf("%s arrived %d times", name, times)
		}
	}
	if k.Used() != 0 {
		t.Errorf("%d bytes are kept of bodies that are sent", k.Used())
	}
}
