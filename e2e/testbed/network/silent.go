package network

import (
	"context"
	"fmt"
	"net"
	"sync"

	"edge/e2e/testbed/run"
)

// SilentRelay is a TCP relay that can stop forwarding on its open connections without closing them.
// A network does the same if the peer has disappeared or a NAT has dropped its entry. New
// connections work.
type SilentRelay struct {
	*Relay

	mu       sync.Mutex
	accepted int
	lines    map[*silentLine]bool // the open connections
}

// StartSilentRelay starts a relay in front of target, a host:port. The testbed stops it.
func (n *Network) StartSilentRelay(target string) (*SilentRelay, error) {
	r := &SilentRelay{lines: map[*silentLine]bool{}}
	var err error
	if r.Relay, err = n.startRelay(target, r.carry); err != nil {
		return nil, err
	}
	n.OnClose(r.Cut) // must run before startRelay's OnClose, which waits for the connections
	return r, nil
}

// silentLine is one connection of a SilentRelay.
type silentLine struct {
	client net.Conn
	ended  chan struct{}

	mu    sync.Mutex
	gates [2]chan struct{} // one per direction, closed when bytes may pass; nil: bytes may pass
}

// The directions of a silentLine, as indexes of gates.
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

// way forwards one direction until its end. It ends the other direction only if the connection
// broke. While the line is silent, the end of a direction is held back like its bytes.
func (l *silentLine) way(which int, to, from net.Conn) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if err != nil && which == toServer {
			l.open() // the client has closed: held bytes have no receiver any more
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

// pass waits while a direction is silent.
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

// Silence stops forwarding on the open connections in both directions, and returns their number.
// The relay keeps the bytes until Resume.
func (r *SilentRelay) Silence() int {
	all := r.running()
	for _, l := range all {
		l.shut(toServer)
		l.shut(toClient)
	}
	return len(all)
}

// HoldAnswers stops forwarding from the server to the client on the open connections. Bytes from
// the client still pass.
func (r *SilentRelay) HoldAnswers() {
	for _, l := range r.running() {
		l.shut(toClient)
	}
}

// Resume forwards the kept bytes and everything after them.
func (r *SilentRelay) Resume() {
	for _, l := range r.running() {
		l.open()
	}
}

// Cut closes all connections, also the silent ones.
func (r *SilentRelay) Cut() {
	r.Relay.Cut()
	r.Resume()
}

// Accepted returns the number of connections that the relay has accepted so far.
func (r *SilentRelay) Accepted() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.accepted
}

// HangUp closes the server's side of the open connections, as a load balancer does after its idle
// timeout. It returns when all clients have noticed this and closed their side.
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
