package roundtrip_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"edge/bridge/internal/roundtrip"
	"edge/internal/testkit"
)

// TestRetriesAreCounted checks that each request that is sent again counts once, by its reason, and
// that the connections that were opened for it count as open until they are closed.
func TestRetriesAreCounted(t *testing.T) {
	for reason, fails := range map[string]func(*played) bool{
		"unreached": nil, // the first attempt to connect fails
		"untaken":   func(p *played) bool { p.WriteRSTStream(p.stream, http2.ErrCodeRefusedStream); return true },
		"broken":    func(*played) bool { return false },
	} {
		m := roundtrip.NewMetrics()
		var dials atomic.Int32
		_, tr := newNetwork(t, func(n int, c *tls.Conn) {
			play(c, func(p *played, nth int) bool {
				if n == 1 && nth == 1 && fails != nil {
					return fails(p)
				}
				return p.ok()
			})
		}, func(c *roundtrip.Config) {
			c.Metrics = m
			if dial := c.Dial; fails == nil {
				c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					if dials.Add(1) == 1 {
						return nil, errors.New("not reached")
					}
					return dial(ctx, network, address)
				}
			}
		})
		read(must(tr.RoundTrip(get("/"))))
		read(must(tr.RoundTrip(get("/"))))
		for _, r := range []string{"unreached", "untaken", "broken"} {
			want := 0.0
			if r == reason {
				want = 1
			}
			if got := testkit.MetricValue(t, m, "edge_upstream_retries_total", "reason="+r); got != want {
				t.Errorf("%s: %v retries because of %s", reason, got, r)
			}
		}
		open := func() float64 { return testkit.MetricValue(t, m, "edge_upstream_connections", "protocol=h2") }
		testkit.WaitFor(t, "one open connection", func() bool { return open() == 1 })
		tr.Close()
		testkit.WaitFor(t, "the connection's end", func() bool { return open() == 0 })
	}
}

// TestSilentConnectionsAreCounted checks that a connection whose peer does not answer a PING counts
// once, and that its request is a retry because the connection broke.
func TestSilentConnectionsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := roundtrip.NewMetrics()
		n, tr := newNetwork(t, genuine(served(new(atomic.Int32))), func(c *roundtrip.Config) { c.Metrics = m })
		read(must(tr.RoundTrip(get("/"))))
		synctest.Wait()
		n.conn(1).die()
		read(must(tr.RoundTrip(get("/"))))
		time.Sleep(time.Minute)
		for series, want := range map[string]float64{
			"edge_upstream_silent_connections_total": 1, "edge_upstream_retries_total reason=broken": 1, "edge_upstream_retries_total": 1,
			"edge_upstream_connections": 1, "edge_upstream_connects_total purpose=requests result=success": 2,
		} {
			words := strings.Fields(series)
			if got := testkit.MetricValue(t, m, words[0], words[1:]...); got != want {
				t.Errorf("%s is %v, not %v", series, got, want)
			}
		}
	})
}

// TestConnectsAreCounted checks that a connection counts by its purpose, and by the step in which it
// failed.
func TestConnectsAreCounted(t *testing.T) {
	check := func(m *roundtrip.Metrics, purpose, result string) {
		t.Helper()
		all := testkit.MetricValue(t, m, "edge_upstream_connects_total")
		if got := testkit.MetricValue(t, m, "edge_upstream_connects_total", "purpose="+purpose, "result="+result); got == 0 || got != all {
			t.Errorf("%v of %v connects are %s and %s", got, all, purpose, result)
		}
	}
	for result, dial := range map[string]func(context.Context, string, string) (net.Conn, error){
		"dial_failed": func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("not reached") },
		"handshake_failed": func(context.Context, string, string) (net.Conn, error) {
			client, server := newPipe()
			server.Close()
			return client, nil
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := roundtrip.NewMetrics()
			tr := newTransport(t, "https://api.test", func(c *roundtrip.Config) { c.Dial, c.Metrics = dial, m })
			if _, err := tr.RoundTrip(get("/")); !errors.Is(err, roundtrip.ErrUnreached) {
				t.Error(result, err)
			}
			check(m, "requests", result)
		})
	}
	server, _ := without(t, true, func(http.ResponseWriter, *http.Request) {})
	m := roundtrip.NewMetrics()
	tr := newTransport(t, server.URL, func(c *roundtrip.Config) { c.Metrics = m })
	read(must(tr.RoundTrip(get("/"))))
	check(m, "requests", "success")
	if got := testkit.MetricValue(t, m, "edge_upstream_connections", "protocol=http/1.1"); got != 1 {
		t.Errorf("%v connections without HTTP/2 are open", got)
	}
	for result, c := range map[string]struct {
		dialed bool
		err    error
	}{"success": {true, nil}, "handshake_failed": {true, net.ErrClosed}, "dial_failed": {false, net.ErrClosed}} {
		m := roundtrip.NewMetrics()
		m.Connected(roundtrip.ForStreams, c.dialed, c.err)
		check(m, "streams", result)
	}
}
