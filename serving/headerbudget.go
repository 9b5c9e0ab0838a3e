package serving

import (
	"sync"
	"time"
)

const (
	// headerBudget bounds, in bytes, the headers and handshakes of all unknown connections of a Server together. Memory of
	// 64 MiB is what a small edge can lose; 64 requests of the most that one may have, or 16,000 usual ones.
	headerBudget = 64 << 20
	// mostAge bounds how much a holder's age counts: by then a client that means it has been answered.
	mostAge = 10 * time.Second
	// leastAge is the least that a holder's age counts: among holders that all came just now, the largest goes first.
	leastAge = time.Millisecond
	// maxWhole bounds the headers of one connection that wait for their handlers, as far as they are told apart: as many as
	// HTTP/2 has streams open, four times over.
	maxWhole = 1024
)

// charged is what a connection holds out of the budget, whose lock guards it.
type charged struct {
	counting sync.Mutex // one at a time reads
	counter  counter

	held    int64 // all of it
	since   time.Time
	reading int64   // of it: the header that is read
	whole   []int64 // of it: headers that were read, and no handler has begun
	running int     // handlers that have
	idle    bool    // no request is under way, says net/http
	free    bool    // nothing is charged any more
}

// budget is what unknown connections share.
type budget struct {
	mu      sync.Mutex
	limit   int64
	used    int64
	holders map[*Conn]struct{}
}

// charge adds what was read to what c holds. Past the limit, holders are let go until it is kept, those first that hold
// much for long: somebody who comes with a header and is known a moment later is not one of them. It reports whether c stays.
func (b *budget) charge(c *Conn, entries ...entry) (stays bool) {
	b.mu.Lock()
	if c.free {
		stays := !c.evicted.Load()
		b.mu.Unlock()
		return stays
	}
	for _, e := range entries {
		c.reading += e.cost
		b.hold(c, e.cost)
		switch e.end {
		case whole:
			if len(c.whole) == maxWhole {
				b.hold(c, -c.whole[0])
				c.whole = c.whole[1:]
			}
			c.whole = append(c.whole, c.reading)
			c.reading = 0
		case dropped:
			b.hold(c, -c.reading)
			c.reading = 0
		}
	}
	stays = true
	for b.used > b.limit {
		victim := b.victim()
		b.release(victim)
		victim.evicted.Store(true)
		switch {
		case victim == c:
			stays = false
		case victim.answerable():
			victim.above.Conn.SetReadDeadline(longAgo) // whose reader has an answer for it
		default:
			victim.cut()
		}
	}
	b.mu.Unlock()
	return stays
}

// answerable reports whether a Status can tell why the connection ends. Over HTTP/2 a header that is not whole has no
// stream to answer on; and a handler that runs has the answer to itself.
func (c *Conn) answerable() bool { return c.counter != nil && !c.counter.http2() && c.running == 0 }

// victim is the holder with the most bytes times age.
func (b *budget) victim() (worst *Conn) {
	var most int64
	now := time.Now()
	for c := range b.holders {
		if score := c.held * int64(min(max(now.Sub(c.since), leastAge), mostAge)/leastAge); worst == nil || score > most {
			worst, most = c, score
		}
	}
	return worst
}

// hold adds n, which may be negative, to what c holds.
func (b *budget) hold(c *Conn, n int64) {
	if c.held == 0 && n > 0 {
		c.since = time.Now()
		b.holders[c] = struct{}{}
	}
	c.held += n
	b.used += n
	if c.held == 0 {
		delete(b.holders, c)
	}
}

// release takes all that c holds, for good.
func (b *budget) release(c *Conn) {
	b.hold(c, -c.held)
	c.reading, c.whole, c.free = 0, nil, true
}

// forget is release, for a connection that is known or gone.
func (b *budget) forget(c *Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.release(c)
}

// shaken gives back what a handshake held, before requests are counted.
func (b *budget) shaken(c *Conn, requests counter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hold(c, -c.held)
	c.reading, c.counter = 0, requests
}

// begin is a handler's that begins; it returns what end has to be called with. HTTP/2 begins handlers in the order of headers.
func (b *budget) begin(c *Conn) (cost int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.running++
	c.idle = false
	if len(c.whole) > 0 {
		cost = c.whole[0]
		if c.whole = c.whole[1:]; len(c.whole) == 0 {
			c.whole = nil
		}
	}
	return cost
}

// end gives back what the handler's header held.
func (b *budget) end(c *Conn, cost int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.running--
	if !c.free {
		b.hold(c, -cost)
		b.settle(c)
	}
}

// rest is for a connection without a request under way.
func (b *budget) rest(c *Conn) {
	c.counting.Lock()
	c.counter.rest()
	c.counting.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	c.idle = true
	b.settle(c)
}

// settle gives back what was held for headers that never got a handler: those that net/http refuses by itself, and
// streams that were reset before.
func (b *budget) settle(c *Conn) {
	if c.running == 0 && c.idle {
		for _, cost := range c.whole {
			b.hold(c, -cost)
		}
		c.whole = nil
	}
}

// mayAnswer is answerable, for who has no lock.
func (b *budget) mayAnswer(c *Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return c.answerable()
}
