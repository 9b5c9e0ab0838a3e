package bridge_test

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"edge/bridge"
	"edge/internal/testkit"
)

// scraper reads metrics as Prometheus does.
type scraper struct {
	t        *testing.T
	registry *prometheus.Registry
}

// measured returns a change of edge's configuration with which edge is measured, and a scraper of
// its metrics.
func measured(t *testing.T) (*scraper, func(*bridge.Config)) {
	t.Helper()
	m := bridge.NewMetrics()
	s := &scraper{t, prometheus.NewPedanticRegistry()}
	for _, set := range m.Sets() {
		if err := s.registry.Register(set); err != nil {
			t.Fatal(err)
		}
	}
	return s, func(cfg *bridge.Config) { cfg.Metrics = m }
}

// value returns the sum of all series of a metric that have these labels, each as name=value. For a
// histogram it is the number of observations.
func (s *scraper) value(name string, labels ...string) float64 {
	s.t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return testkit.SumMetric(f, labels...)
		}
	}
	return 0
}

// check compares the values of several metrics. A key is a name, followed by labels after spaces.
func (s *scraper) check(want map[string]float64) {
	s.t.Helper()
	for _, key := range slices.Sorted(maps.Keys(want)) {
		words := strings.Fields(key)
		if got := s.value(words[0], words[1:]...); got != want[key] {
			s.t.Errorf("%s is %v, not %v", key, got, want[key])
		}
	}
}

// TestStallsHaveASide checks that a client that does not read counts as a stall of the client, and a
// process that does not read its stdin as one of the API server's side, while the stall goes on and
// after the session.
func TestStallsHaveASide(t *testing.T) {
	t.Parallel()
	for _, streaming := range upstreams {
		t.Run("client, "+string(streaming), func(t *testing.T) {
			metrics, change := measured(t)
			api := (&apiServer{run: func(p *process) error {
				io.Copy(p.out, io.LimitReader(zeros{}, slowOut))
				return exitError(3)
			}}).start(t)
			w := newWorld(t, api, speaking(streaming), change)
			c := slowClient{name: "v5.channel.k8s.io", rawConn: w.rawWebSocket(t, slowPath, "v5.channel.k8s.io")}
			w.eventually("a stall", func() bool { return metrics.value("edge_sessions_stalled", "side=client") == 1 })
			metrics.check(map[string]float64{
				"edge_sessions verb=exec":                          1,
				"edge_sessions_stalled side=upstream":              0,
				"edge_session_stalled_seconds_total side=upstream": 0,
			})
			stalled := metrics.value("edge_session_stalled_seconds_total", "side=client")
			slowEnd(t, c, io.Discard)
			w.eventually("the session's end", func() bool { return metrics.value("edge_sessions") == 0 })
			metrics.check(map[string]float64{
				"edge_sessions_stalled side=client":                           0,
				"edge_sessions_started_total verb=exec":                       1,
				"edge_sessions_ended_total verb=exec cause=completed":         1,
				"edge_session_duration_seconds verb=exec":                     1,
				"edge_request_duration_seconds verb=CONNECT code=101":         1,
				"edge_requests_in_flight":                                     0,
				"edge_session_stalled_seconds_total side=upstream":            0,
				"edge_upstream_connects_total purpose=streams result=success": 1,
				"edge_request_time_to_first_byte_seconds verb=CONNECT":        1,
				"edge_session_keepalive_failures_total":                       0,
				"edge_request_transferred_bytes_total":                        0,
				"edge_upstream_connects_total result=dial_failed":             0,
				"edge_upstream_connects_total result=handshake_failed":        0,
				"edge_sessions_ended_total client=other":                      0,
				"edge_sessions_ended_total upstream=other":                    0,
				"edge_request_refusals_total":                                 0,
				"edge_sessions_awaiting_echo":                                 0,
				"edge_session_echo_seconds":                                   0,
			})
			if after := metrics.value("edge_session_stalled_seconds_total", "side=client"); stalled == 0 || after < stalled {
				t.Errorf("the client has stalled for %v s, and after its end for %v s", stalled, after)
			}
			if out := metrics.value("edge_session_transferred_bytes_total", "direction=out"); out < slowOut {
				t.Errorf("%v bytes went to the client", out)
			}
		})
		t.Run("process, "+string(streaming), func(t *testing.T) {
			metrics, change := measured(t)
			read := make(chan struct{})
			api := (&apiServer{run: func(p *process) error {
				select {
				case <-read:
				case <-p.ctx.Done():
				}
				io.CopyN(io.Discard, p.in, slowIn)
				return exitError(3)
			}}).start(t)
			w := newWorld(t, api, speaking(streaming), change)
			c := slowClient{name: "v5.channel.k8s.io", rawConn: w.rawWebSocket(t, slowPath, "v5.channel.k8s.io")}
			sent := make(chan error, 1)
			go func() {
				var err error
				for n := 0; n < slowIn && err == nil; n += slowPiece {
					_, err = io.WriteString(c, c.piece())
				}
				sent <- err
			}()
			w.eventually("a stall", func() bool { return metrics.value("edge_sessions_stalled", "side=upstream") == 1 })
			metrics.check(map[string]float64{"edge_sessions_stalled side=client": 0, "edge_session_stalled_seconds_total side=client": 0})
			close(read)
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
			slowEnd(t, c, io.Discard)
			w.eventually("the session's end", func() bool { return metrics.value("edge_sessions") == 0 })
			if in := metrics.value("edge_session_transferred_bytes_total", "direction=in"); in < slowIn {
				t.Errorf("%v bytes came from the client", in)
			}
			if metrics.value("edge_session_stalled_seconds_total", "side=upstream") == 0 {
				t.Error("the stall was forgotten")
			}
		})
	}
}

// TestEcho checks that the time of an echo is measured in sessions with a terminal only, and that an
// input without output counts as waiting.
func TestEcho(t *testing.T) {
	t.Parallel()
	for _, c := range execClients {
		metrics, change := measured(t)
		silent, goOn := make(chan struct{}), make(chan struct{})
		api := (&apiServer{run: func(p *process) error {
			b := make([]byte, 1)
			for _, echoes := range []bool{true, false} {
				if _, err := io.ReadFull(p.in, b); err != nil {
					return err
				}
				if echoes {
					p.out.Write(b)
				}
			}
			close(silent)
			<-goOn
			return exitError(0)
		}}).start(t)
		w := newWorld(t, api, change)
		stdin, typing := io.Pipe()
		ended := make(chan outcome, 1)
		go func() { ended <- c.do(t, w.edge, command{stdin: stdin, tty: true}) }()
		typing.Write([]byte("a"))
		w.eventually(c.name+": an echo", func() bool { return metrics.value("edge_session_echo_seconds") == 1 })
		typing.Write([]byte("b"))
		<-silent
		w.eventually(c.name+": an input without output", func() bool { return metrics.value("edge_sessions_awaiting_echo") == 1 })
		close(goOn)
		typing.Close()
		<-ended
		w.eventually(c.name+": the session's end", func() bool { return metrics.value("edge_sessions") == 0 })
		metrics.check(map[string]float64{"edge_session_echo_seconds": 1, "edge_sessions_awaiting_echo": 0, "edge_sessions_ended_total client=other": 0})
	}
}

// TestRefusalsAreCounted checks that requests that edge refuses, and requests that the API server
// answers, count with their code and reason.
func TestRefusalsAreCounted(t *testing.T) {
	t.Parallel()
	metrics, change := measured(t)
	w := newWorld(t, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "12345") }), change)
	client := w.edge.Client()
	for path, want := range map[string]int{"/api/v1/pods": http.StatusOK, "/api/v1/namespaces/%2e%2e/pods": http.StatusBadRequest} {
		resp, err := client.Get(w.edge.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Fatalf("%s: %s", path, resp.Status)
		}
	}
	w.eventually("the end of the requests", func() bool { return metrics.value("edge_requests_in_flight") == 0 })
	metrics.check(map[string]float64{
		"edge_request_duration_seconds verb=LIST code=200":             1,
		"edge_request_duration_seconds code=400":                       1,
		"edge_request_refusals_total reason=path":                      1,
		"edge_request_refusals_total":                                  1,
		"edge_upstream_connections":                                    1,
		"edge_upstream_connects_total purpose=requests result=success": 1,
		"edge_request_time_to_first_byte_seconds":                      2,
	})
}
