package network

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// LineOptions sets the delay and the rate of a line: a TCP relay that simulates a distant network.
type LineOptions struct {
	// delay from the client to the target and back; each direction has half of it
	RoundTrip time.Duration
	// bytes per second in each direction, shared by all connections of the line; 0: no limit
	Rate int
}

const (
	linePiece = 64 << 10 // largest number of bytes in one read
	// longest time that data may wait until the relay sends it at the line's rate; in a real
	// network, a router's queue limits this time
	lineQueue = 20 * time.Millisecond
)

// StartLine starts a TCP relay in front of target, a host:port, that simulates a distant network.
// Each byte arrives half of RoundTrip after it was sent at Rate. Only Rate and the delay limit the
// data in flight; the relay of StartLink, in contrast, buffers up to 1,024 pieces of data. The
// testbed stops the relay.
func (n *Network) StartLine(target string, o LineOptions) (*Relay, error) {
	l := &line{delay: o.RoundTrip / 2, up: &wire{rate: o.Rate}, down: &wire{rate: o.Rate}}
	return n.startRelay(target, l.carry)
}

type line struct {
	delay    time.Duration
	up, down *wire
}

func (l *line) carry(client, server net.Conn) {
	var ways sync.WaitGroup
	ways.Go(func() { l.way(server, client, l.up) })
	ways.Go(func() { l.way(client, server, l.down) })
	ways.Wait()
}

// way forwards one direction of a connection until its end. It closes the other direction too only
// if the connection broke.
func (l *line) way(to, from net.Conn, w *wire) {
	q := newLineQueue()
	var reading sync.WaitGroup
	reading.Go(func() {
		for {
			b := linePieces.Get().(*[linePiece]byte)
			n, err := from.Read(b[:])
			q.push(linePart{b, n, w.turn(n).Add(l.delay), err})
			if err != nil {
				return
			}
		}
	})
	defer reading.Wait()
	for {
		p := q.pop()
		time.Sleep(time.Until(p.due))
		_, werr := to.Write(p.b[:p.n])
		linePieces.Put(p.b)
		switch {
		case errors.Is(p.err, io.EOF) && werr == nil:
			to.(*net.TCPConn).CloseWrite()
			return
		case p.err != nil || werr != nil:
			to.Close()
			// the goroutine that reads from this connection then returns; data that it has read but
			// not forwarded is lost
			from.Close()
			return
		}
	}
}

var linePieces = sync.Pool{New: func() any { return new([linePiece]byte) }}

// wire limits the rate in one direction. All connections of a line (a relay with a given rate)
// share it.
type wire struct {
	rate int

	mu   sync.Mutex
	free time.Time // time at which the relay can send the next byte
}

// turn returns the time at which n more bytes have been sent at the wire's rate. If the data that
// waits needs more time than lineQueue, turn first sleeps for the difference, so that the caller
// reads no more data meanwhile.
func (w *wire) turn(n int) time.Time {
	if w.rate == 0 {
		return time.Now()
	}
	w.mu.Lock()
	now := time.Now()
	if w.free.Before(now) {
		w.free = now
	}
	w.free = w.free.Add(time.Duration(n) * time.Second / time.Duration(w.rate))
	out := w.free
	w.mu.Unlock()
	time.Sleep(out.Sub(now) - lineQueue)
	return out
}

// linePart is the result of one read from a connection: the first n bytes of the field b, and then
// the error err.
type linePart struct {
	b   *[linePiece]byte
	n   int
	due time.Time
	err error
}

// partQueue contains the data in flight in one direction of a connection. The rate and the delay of
// the relay limit the queue's length. Without a rate, the TCP windows of client and server limit
// it.
type partQueue struct {
	mu    sync.Mutex
	some  sync.Cond
	parts []linePart
}

func newLineQueue() *partQueue {
	q := &partQueue{}
	q.some.L = &q.mu
	return q
}

func (q *partQueue) push(p linePart) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.parts = append(q.parts, p)
	q.some.Signal()
}

func (q *partQueue) pop() linePart {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.parts) == 0 {
		q.some.Wait()
	}
	p := q.parts[0]
	q.parts = q.parts[1:]
	return p
}
