package session

import (
	"context"
	"log/slog"
	"net"

	"edge/bridge/internal/leg"
	"edge/bridge/internal/negotiate"
	"edge/bridge/internal/upstream"
)

// Params are the parameters of a session, which relays one stream.
type Params struct {
	Description
	Dialect      negotiate.Dialect // the client's dialect
	Offer        negotiate.Offer   // the upstream dialect
	ClientConn   net.Conn
	UpstreamConn net.Conn // upstream's connection after its 101
	// Again requests one more upstream session for a port-forward with one session per connection.
	// nil: the connections share one session.
	Again        func(context.Context) (upstream.Answer, error)
	AnswersPings bool   // true: upstream counts as lost if it does not answer pings
	Times        *Times // shared by the sessions of a Handler
	Log          *slog.Logger
	OnLost       func()        // called after the session if upstream was lost; may be nil
	OnEnd        func(Summary) // called after the session; may be nil
}

// Run starts an admitted session and returns. The session runs in its own goroutine, for which the
// registry waits, so that the HTTP handler can return. While a handler runs, net/http keeps its
// request, its buffers and a deep stack, which is about 20 KiB for each idle session.
func (g *Registry) Run(p Params) {
	s := &session{
		Description: p.Description, log: p.Log, Times: p.Times, done: make(chan struct{}), idlePoller: &g.idlePoller,
		answersPings: p.AnswersPings, onLost: p.OnLost, onEnd: p.OnEnd,
		metrics: g.metrics, echo: g.metrics.newEchoClock(p.Dialect.Streams.Terminal),
	}
	s.logBegin()
	s.metrics.began(s.Description)
	go g.relay(s, codecs{Dialect: p.Dialect, up: p.Offer, again: p.Again}, p.ClientConn, p.UpstreamConn)
}

// relay prepares the session's two connections, client and server, and runs the session to its end.
func (g *Registry) relay(s *session, p codecs, client, server net.Conn) {
	if p.Passed == negotiate.WebSocket {
		p.unread = newUnreadWebSocket()
	}
	s.down = leg.New(client, p.clientKeepalive(), s.clientLost)
	s.up = leg.New(server, p.upstreamKeepalive(), nil)
	g.add(s)
	s.keepalives()
	over := func() {
		s.finish()
		g.remove(s)
		g.Release()
	}
	s.runThen(func() bool { return p.run(s, over) }, over)
}

// run creates the decoders (sources) and encoders (sinks) for the session's two connections, and
// relays. It returns true if the session continues in other goroutines; the last of these calls
// over.
func (p codecs) run(s *session, over func()) (left bool) {
	switch p.Kind {
	case negotiate.WebSocketExec, negotiate.SPDYExec:
		return p.relayExec(s, over)
	case negotiate.WebSocketPorts, negotiate.Tunnel, negotiate.SPDYPorts:
		if p.again != nil {
			p.relayFanout(s)
		} else {
			p.relayPorts(s)
		}
	default:
		if p.unread != nil {
			p.relayPassed(s)
		} else {
			p.relayOpaque(s)
		}
	}
	return false
}
