package network

import (
	"context"
	"fmt"
	"net"
	"sync"

	"edge/e2e/testbed/run"
)

// SilentRelay carries TCP connections to a server, and can make those that run silent without closing them, as a network does whose
// far end has gone or whose NAT has forgotten them. New connections work.
type SilentRelay struct {
	*Relay

	mu       sync.Mutex
	accepted int
	lines    map[*silentLine]bool // that run
}

// StartSilentRelay starts a relay in front of target, a host:port. The testbed stops it.
func (n *Network) StartSilentRelay(target string) (*SilentRelay, error) {
	r := &SilentRelay{lines: map[*silentLine]bool{}}
	var err error
	if r.Relay, err = n.startRelay(target, r.carry); err != nil {
		return nil, err
	}
	n.OnClose(r.Cut) // before the relay waits for its connections
	return r, nil
}

// silentLine is one connection.
type silentLine struct {
	client net.Conn
	ended  chan struct{}

	mu    sync.Mutex
	gates [2]chan struct{} // of each way, closed when bytes may pass; nil: they may
}

// The ways of a line.
const (
	toServer = iota
	toClient
)

func (r *SilentRelay) carry(client, server net.Conn) {
	l := &silentLine{client: client, ended: make(chan struct{})}
	r.mu.Lock()
	r.accepted++
	r.lines[l] = true
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

// way carries one way until its end, which is that of the other way only if the connection broke. Neither end passes a silent line.
func (l *silentLine) way(which int, to, from net.Conn) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if err != nil && which == toServer {
			l.open() // nobody is left to hear what is kept
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

// pass waits while a way is silent.
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

// Silence keeps from now on what is said on the connections that run, in both directions, and says how many they are.
func (r *SilentRelay) Silence() int {
	all := r.running()
	for _, l := range all {
		l.shut(toServer)
		l.shut(toClient)
	}
	return len(all)
}

// HoldAnswers keeps from now on what servers say on the connections that run; what clients say passes.
func (r *SilentRelay) HoldAnswers() {
	for _, l := range r.running() {
		l.shut(toClient)
	}
}

// Resume lets pass what was kept, and all that comes.
func (r *SilentRelay) Resume() {
	for _, l := range r.running() {
		l.open()
	}
}

// Cut ends all connections, also the silent ones.
func (r *SilentRelay) Cut() {
	r.Relay.Cut()
	r.Resume()
}

// Accepted is how many connections there have been.
func (r *SilentRelay) Accepted() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.accepted
}

// HangUp ends the server's side of the connections that run, as a load balancer does that has waited long enough, and returns when the
// clients have noticed and closed theirs.
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
			return fmt.Errorf("testbed: %d of %d clients keep a connection that was closed: %w", len(all)-i, len(all), ctx.Err())
		}
	}
	return nil
}
