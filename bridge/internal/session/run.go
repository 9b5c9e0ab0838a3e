package session

import (
	"context"
	"log/slog"
	"net"

	"edge/bridge/internal/leg"
	"edge/bridge/internal/negotiate"
	"edge/bridge/internal/upstream"
)

// Params are what a session is made of.
type Params struct {
	Description
	Dialect      negotiate.Dialect // the client's
	Offer        negotiate.Offer   // what is spoken upstream
	ClientConn   net.Conn
	UpstreamConn net.Conn // upstream's connection, after its 101
	// Again asks for one more upstream session of a port-forward whose connections
	// have one each; nil: they share one.
	Again        func(context.Context) (upstream.Answer, error)
	AnswersPings bool // upstream answers pings, or it is lost
	Times        Times
	Log          *slog.Logger
	OnLost       func()        // called at the end if upstream was lost; may be nil
	OnEnd        func(Summary) // called last of all; may be nil
}

// Run begins a session, whose slot was admitted, and returns. It is a goroutine of
// its own, which the registry waits for, so that the handler can return: net/http
// keeps a request, its buffers and a deep stack for as long as a handler runs,
// some 20 KiB for every idle session.
func (g *Registry) Run(p Params) {
	s := &session{
		Description: p.Description, log: p.Log, Times: p.Times, done: make(chan struct{}), idlePoller: &g.idlePoller,
		answersPings: p.AnswersPings, onLost: p.OnLost, onEnd: p.OnEnd,
	}
	s.logBegin()
	go g.relay(s, codecs{Dialect: p.Dialect, up: p.Offer, again: p.Again}, p.ClientConn, p.UpstreamConn)
}

// relay gives a session its legs and runs it to its end.
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
