package network

import (
	"context"
	"fmt"
	"net"
	"sync"

	"edge/e2e/testbed/run"
)

// SilentRelay is a TCP relay that can stop forwarding on its open connections without closing them.
// A network behaves like this if the peer has disappeared or a NAT device has forgotten the
// connection. New connections work meanwhile.
type SilentRelay struct {
	*Relay

	mu       sync.Mutex
	accepted int
	silent   bool                 // true: connections are silent from their start, see SilenceAll
	lines    map[*silentLine]bool // the connections that are open
}

// StartSilentRelay starts a TCP relay in front of target, a host:port. The relay can stop
// forwarding without closing connections. The testbed stops the relay.
func (n *Network) StartSilentRelay(target string) (*SilentRelay, error) {
	r := &SilentRelay{lines: map[*silentLine]bool{}}
	var err error
	if r.Relay, err = n.startRelay(target, r.carry); err != nil {
		return nil, err
	}
	// at its end, the testbed calls Cut before it calls the function that startRelay registered,
	// which waits until all connections have ended
	n.OnClose(r.Cut)
	return r, nil
}

// silentLine is one open connection of a SilentRelay.
type silentLine struct {
	client net.Conn
	ended  chan struct{}

	mu sync.Mutex
	// for each direction, a channel that is closed when bytes may pass again; nil: bytes may pass
	// now
	gates [2]chan struct{}
}

// The two directions of a connection, as indexes of silentLine.gates.
const (
	toServer = iota
	toClient
)

func (r *SilentRelay) carry(client, server net.Conn) {
	l := &silentLine{client: client, ended: make(chan struct{})}
	r.mu.Lock()
	r.accepted++
	r.lines[l] = true
	if r.silent {
		l.shut(toServer)
		l.shut(toClient)
	}
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.lines, l)
		r.mu.Unlock()
		close(l.ended)
	}()
	var ways sync.WaitGroup
	ways.Go(func() { l.way(toServer, server, client) })
	ways.Go(func() { l.way(toClient, client, server) })
	ways.Wait()
}

// way forwards one direction of a connection until its end. It closes the other direction too only
// if the connection broke. While the connection is silent, way holds back the direction's end too,
// like its bytes.
func (l *silentLine) way(which int, to, from net.Conn) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if err != nil && which == toServer {
			// the client has closed the connection, so it would not receive the bytes that the
			// relay holds back
			l.open()
		}
		l.pass(which)
		if n > 0 {
			if _, werr := to.Write(b[:n]); werr != nil {
				to.Close()
				from.Close()
				return
			}
		}
		if err != nil {
			to.(*net.TCPConn).CloseWrite()
			return
		}
	}
}

// pass waits until bytes may pass in a direction of the connection.
func (l *silentLine) pass(which int) {
	l.mu.Lock()
	gate := l.gates[which]
	l.mu.Unlock()
	if gate != nil {
		<-gate
	}
}

func (l *silentLine) shut(which int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gates[which] == nil {
		l.gates[which] = make(chan struct{})
	}
}

func (l *silentLine) open() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, gate := range l.gates {
		if gate != nil {
			close(gate)
			l.gates[i] = nil
		}
	}
}

func (r *SilentRelay) running() []*silentLine {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []*silentLine
	for l := range r.lines {
		all = append(all, l)
	}
	return all
}

// Silence stops forwarding on all open connections, in both directions, and returns their number.
// The relay keeps the received bytes until Resume is called.
func (r *SilentRelay) Silence() int {
	all := r.running()
	for _, l := range all {
		l.shut(toServer)
		l.shut(toClient)
	}
	return len(all)
}

// SilenceAll is Silence, also for the connections that the relay accepts until Resume is called. A
// server that is stopped behaves like this: the kernel still accepts connections for it.
func (r *SilentRelay) SilenceAll() {
	r.mu.Lock()
	r.silent = true
	r.mu.Unlock()
	r.Silence()
}

// HoldAnswers stops forwarding from the server to the client on all open connections. The relay
// still forwards bytes from the client to the server.
func (r *SilentRelay) HoldAnswers() {
	for _, l := range r.running() {
		l.shut(toClient)
	}
}

// Resume ends the effect of Silence, SilenceAll and HoldAnswers: the relay forwards the bytes that it has kept,
// and all later ones.
func (r *SilentRelay) Resume() {
	r.mu.Lock()
	r.silent = false
	r.mu.Unlock()
	for _, l := range r.running() {
		l.open()
	}
}

// Cut closes all connections of the relay, including those on which it has stopped forwarding.
func (r *SilentRelay) Cut() {
	r.Relay.Cut()
	r.Resume()
}

// Accepted returns the number of connections that the relay has accepted since its start.
func (r *SilentRelay) Accepted() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.accepted
}

// HangUp closes the server's side of all open connections, as a load balancer does after its idle
// timeout. It returns when all clients have noticed this and have closed their side.
func (r *SilentRelay) HangUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, run.StartupTime)
	defer cancel()
	all := r.running()
	for _, l := range all {
		l.client.(*net.TCPConn).CloseWrite()
	}
	for i, l := range all {
		select {
		case <-l.ended:
		case <-ctx.Done():
			return fmt.Errorf("testbed: %d of %d clients have not closed a connection that the server closed: %w", len(all)-i, len(all), ctx.Err())
		}
	}
	return nil
}
