package session

import (
	"sync/atomic"
	"time"

	"edge/bridge/internal/negotiate"
	"edge/internal/metric"
)

// Metrics measure the sessions of one Registry. With nil nothing is measured.
type Metrics struct {
	metric.Set

	started, ended *metric.Counter
	duration, echo *metric.Histogram
	keepalives     *metric.Counter

	registry atomic.Pointer[Registry] // whose sessions are counted when Prometheus asks; nil: none yet
}

// side is one of the two sides of a session, as the value of a label.
type side string

const (
	clientSide   side = "client"
	upstreamSide side = "upstream"
)

var (
	verbLabel = metric.Label{Name: "verb", Values: []string{negotiate.VerbExec, negotiate.VerbAttach, negotiate.VerbPortForward, metric.Other}}
	// With Other, a dialect that a later release adds and nobody listed is still counted.
	clientLabel   = metric.Label{Name: "client", Values: append(negotiate.ClientNames(), metric.Other)}
	upstreamLabel = metric.Label{Name: "upstream", Values: append(negotiate.UpstreamNames(), metric.Other)}
	sideLabel     = metric.Label{Name: "side", Values: []string{string(clientSide), string(upstreamSide)}}
	causeLabel    = metric.Label{Name: "cause", Values: causeNames()}
)

// Causes are all values of Cause.
var Causes = []Cause{
	CauseCompleted, CauseClientClosed, CauseClientGone, CauseClientBreach, CauseClientNotOpened, CauseUpstreamLost,
	CauseUpstreamSilent, CauseNoStatus, CauseBadStatus, CauseShutdown, CauseInternal,
}

func causeNames() []string {
	names := make([]string, len(Causes))
	for i, c := range Causes {
		names[i] = string(c)
	}
	return names
}

var (
	// durationBuckets range from a command that ends at once to a terminal that is open for a week.
	durationBuckets = []float64{0.1, 0.5, 1, 5, 30, 60, 300, 1800, 3600, 4 * 3600, 12 * 3600, 24 * 3600, 7 * 24 * 3600}
	// echoBuckets range from a pod in the same zone to one that hangs, in seconds.
	echoBuckets = []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30}
)

// echoOverdue is the age from which an input without output counts in edge_sessions_awaiting_echo.
// People feel an echo that takes longer than a tenth of that.
const echoOverdue = time.Second

// NewMetrics returns the metrics of the sessions of a Registry, to which NewRegistry connects them.
func NewMetrics() *Metrics {
	m := &Metrics{}
	dialects := []metric.Label{verbLabel, clientLabel, upstreamLabel}
	m.started = m.Counter(metric.Opts{
		Name: "edge_sessions_started_total", Labels: dialects,
		Help: "Streams (exec, attach, port-forward, other upgrades) that have begun, by the dialect on each side.",
	})
	m.ended = m.Counter(metric.Opts{
		Name: "edge_sessions_ended_total", Labels: append([]metric.Label{causeLabel}, dialects...),
		Help: "Streams that have ended, by the cause of their end.",
	})
	m.duration = m.Histogram(metric.Opts{
		Name: "edge_session_duration_seconds", Labels: []metric.Label{verbLabel}, Buckets: durationBuckets,
		Help: "Time from a stream's begin to its end.",
	})
	m.echo = m.Histogram(metric.Opts{
		Name: "edge_session_echo_seconds", Buckets: echoBuckets,
		Help: "Time from an input to the next output, in sessions with a terminal: how long a keystroke takes, as seen by edge.",
	})
	m.keepalives = m.Counter(metric.Opts{
		Name: "edge_session_keepalive_failures_total", Zeros: true, Labels: []metric.Label{sideLabel},
		Help: "Streams that edge ended because a peer answers no keepalives or accepts none.",
	})
	m.addComputed()
	return m
}

// addComputed adds the metrics that are computed from the open sessions when Prometheus asks for
// them.
func (m *Metrics) addComputed() {
	of := func(report func(*Registry, func(float64, ...string))) func(func(float64, ...string)) {
		return func(to func(float64, ...string)) {
			if g := m.registry.Load(); g != nil {
				report(g, to)
			}
		}
	}
	m.Func(metric.TypeGauge, metric.Opts{
		Name: "edge_sessions", Labels: []metric.Label{verbLabel, clientLabel, upstreamLabel},
		Help: "Streams that are open now.",
	}, of((*Registry).reportOpen))
	m.Func(metric.TypeGauge, metric.Opts{
		Name: "edge_sessions_limit",
		Help: "Streams that may be open at the same time.",
	}, of((*Registry).reportLimit))
	m.Func(metric.TypeCounter, metric.Opts{
		Name: "edge_session_stalled_seconds_total", Labels: []metric.Label{sideLabel},
		Help: "Time that writes to this side have waited because it reads no bytes, summed over all streams. A stall that goes on counts until now.",
	}, of((*Registry).reportStalled))
	m.Func(metric.TypeCounter, metric.Opts{
		Name: "edge_session_transferred_bytes_total", Labels: []metric.Label{metric.Direction},
		Help: "Bytes from (in) and to (out) the clients of streams. A stream that is open counts until now.",
	}, of((*Registry).reportBytes))
	m.Func(metric.TypeGauge, metric.Opts{
		Name: "edge_sessions_stalled", Labels: []metric.Label{sideLabel},
		Help: "Streams in which a write to this side waits now because it reads no bytes.",
	}, of((*Registry).reportStalledNow))
	m.Func(metric.TypeGauge, metric.Opts{
		Name: "edge_sessions_awaiting_echo",
		Help: "Sessions with a terminal whose last input, more than a second ago, has had no output yet.",
	}, of((*Registry).reportAwaitingEcho))
}
