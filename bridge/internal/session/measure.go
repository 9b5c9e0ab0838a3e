package session

import (
	"sync/atomic"
	"time"

	"edge/internal/metric"
)

// verb returns the session's value of the label verb.
func (d Description) verb() string {
	if !d.Target.IsStream() {
		return ""
	}
	return d.Target.Verb
}

// began counts a session that begins. With a nil Metrics it does nothing.
func (m *Metrics) began(d Description) {
	if m == nil {
		return
	}
	m.started.With(d.verb(), d.Downstream, d.Upstream).Inc()
	// This series begins with 0, so that the increase() of an alert sees the first such end.
	m.ended.With(string(CauseInternal), d.verb(), d.Downstream, d.Upstream)
}

// over counts a session that has ended. With a nil Metrics it does nothing.
func (m *Metrics) over(end Summary) {
	if m == nil {
		return
	}
	d := end.Description
	m.ended.With(string(end.Cause), d.verb(), d.Downstream, d.Upstream).Inc()
	m.duration.Observe(end.Duration.Seconds(), d.AuditID, d.verb())
}

// unanswered counts a session whose peer on a side answers no keepalives. With a nil Metrics it does
// nothing.
func (m *Metrics) unanswered(s side) {
	if m != nil {
		m.keepalives.With(string(s)).Inc()
	}
}

// echoClock measures how long the output of a terminal takes to follow an input. The input loop
// calls typed, and the output loop calls printed. A nil echoClock measures nothing.
type echoClock struct {
	observe func(seconds float64)
	// since is when the first input arrived that no output has followed, in Unix ns; 0: none.
	since atomic.Int64
}

// newEchoClock returns the clock of a session, or nil without Metrics or a terminal.
func (m *Metrics) newEchoClock(terminal bool) *echoClock {
	if m == nil || !terminal {
		return nil
	}
	return &echoClock{observe: m.echo.With().Observe}
}

func (c *echoClock) typed() {
	if c != nil && c.since.Load() == 0 {
		c.since.Store(time.Now().UnixNano())
	}
}

func (c *echoClock) printed() {
	if c == nil {
		return
	}
	if since := c.since.Swap(0); since != 0 {
		c.observe(time.Duration(time.Now().UnixNano() - since).Seconds())
	}
}

// waiting returns for how long the oldest input has had no output, or 0.
func (c *echoClock) waiting() time.Duration {
	if c == nil {
		return 0
	}
	since := c.since.Load()
	if since == 0 {
		return 0
	}
	return time.Duration(time.Now().UnixNano() - since)
}

// totals are sums over several sessions.
type totals struct {
	clientStalled, upstreamStalled time.Duration // for how long writes to that side have waited
	in, out                        int64         // bytes from and to the clients
}

// add adds a session, as it is now. Its numbers never decrease.
func (t *totals) add(s *session) {
	t.clientStalled += s.down.Stalled()
	t.upstreamStalled += s.up.Stalled()
	t.in += s.down.BytesRead()
	t.out += s.down.BytesWritten()
}

// totals returns the sums over all sessions, also those that have ended.
func (g *Registry) totals() totals {
	g.mu.Lock()
	defer g.mu.Unlock()
	sum := g.past
	for _, s := range g.running {
		sum.add(s)
	}
	return sum
}

// reportOpen reports the number of open sessions by verb and dialects.
func (g *Registry) reportOpen(report func(value float64, labels ...string)) {
	type kind struct{ verb, client, upstream string }
	open := map[kind]float64{}
	for _, s := range g.sessions() {
		open[kind{s.verb(), s.Downstream, s.Upstream}]++
	}
	for k, n := range open {
		report(n, k.verb, k.client, k.upstream)
	}
}

// reportLimit reports how many sessions there may be.
func (g *Registry) reportLimit(report func(value float64, labels ...string)) { report(float64(g.max)) }

// reportStalled reports how long writes to each side have waited.
func (g *Registry) reportStalled(report func(value float64, labels ...string)) {
	sum := g.totals()
	report(sum.clientStalled.Seconds(), string(clientSide))
	report(sum.upstreamStalled.Seconds(), string(upstreamSide))
}

// reportBytes reports the bytes from and to the clients.
func (g *Registry) reportBytes(report func(value float64, labels ...string)) {
	sum := g.totals()
	report(float64(sum.in), metric.In)
	report(float64(sum.out), metric.Out)
}

// reportStalledNow reports in how many sessions a write to each side waits now.
func (g *Registry) reportStalledNow(report func(value float64, labels ...string)) {
	client, upstream := 0, 0
	for _, s := range g.sessions() {
		if s.down.IsStalled() {
			client++
		}
		if s.up.IsStalled() {
			upstream++
		}
	}
	report(float64(client), string(clientSide))
	report(float64(upstream), string(upstreamSide))
}

// reportAwaitingEcho reports how many sessions wait for the output that follows an input.
func (g *Registry) reportAwaitingEcho(report func(value float64, labels ...string)) {
	n := 0
	for _, s := range g.sessions() {
		if s.echo.waiting() > echoOverdue {
			n++
		}
	}
	report(float64(n))
}
