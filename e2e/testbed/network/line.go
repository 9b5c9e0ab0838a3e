package network

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// LineOptions say how long and how narrow a line is.
type LineOptions struct {
	RoundTrip time.Duration // there and back
	Rate      int           // bytes per second each way, for all connections together; zero: as many as the machine carries
}

const (
	linePiece = 64 << 10              // bytes that are read at once
	lineQueue = 20 * time.Millisecond // how much may wait for its turn at Rate, as in a router
)

// StartLine starts a relay in front of target, a host:port, that takes its time: a byte arrives half of RoundTrip after its turn. What
// is on the way is bounded by Rate, not by the relay's buffers, which StartLink's 1,024 pieces would be. The testbed stops it.
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

// way carries one way until its end, which is that of the other way only if the connection broke.
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
			from.Close() // ends the reader, whose last parts nobody wants
			return
		}
	}
}

var linePieces = sync.Pool{New: func() any { return new([linePiece]byte) }}

// wire is what the connections of one way share.
type wire struct {
	rate int

	mu   sync.Mutex
	free time.Time // when the next byte has its turn
}

// turn returns when n bytes have gone out, and waits before that while too much waits already.
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

// linePart is what one read brought; err comes after it.
type linePart struct {
	b   *[linePiece]byte
	n   int
	due time.Time
	err error
}

// partQueue holds what is on the way. Its length is bounded by the wire's rate and the delay; without a rate by the peers' windows.
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
