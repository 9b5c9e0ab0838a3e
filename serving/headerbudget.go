package serving

import (
	"sync"
	"time"
)

const (
	// headerBudget is the limit, in bytes, for the headers, handshakes and unread HTTP/2 answers of
	// all unauthenticated connections of a Server together. An edge with little memory can spare 64
	// MiB. That is enough for 64 requests of the largest allowed size, or 16,000 requests of usual
	// size.
	headerBudget = 64 << 20
	// mostAge is the greatest age that the method victim uses when it chooses a connection to
	// close. A client with a real request has been answered by then.
	mostAge = 10 * time.Second
	// leastAge is the least age that the method victim uses when it chooses a connection to close.
	// Among connections that all came just now, the one that holds most bytes is closed first.
	leastAge = time.Millisecond
	// answerCost is what an HTTP/2 answer costs, in bytes, from the end of its handler until the
	// client's flow control window has allowed all of it: a goroutine, a stream and a buffer,
	// measured together as 14 KiB.
	answerCost = 16 << 10
	// maxWhole limits how many complete headers of one connection, whose handlers have not started,
	// are charged separately: four times the usual limit of concurrent HTTP/2 streams (250). Beyond
	// maxWhole the oldest header is no longer charged.
	maxWhole = 1024
)

// charged records which part of the memory budget one connection holds. The budget's lock guards
// it.
type charged struct {
	counting sync.Mutex // held while bytes are counted, by one goroutine at a time
	counter  counter

	held    int64     // all bytes of the budget that the connection holds
	since   time.Time // when the field held became greater than 0
	reading int64     // bytes of the header that is being read; the field held includes them
	whole   []int64   // bytes of each complete header whose handler has not started; the field held includes them
	running int       // number of handlers that are running
	idle    bool      // true: net/http reported that no request is in progress
	free    bool      // true: the connection no longer counts against the memory budget
}

// budget is the memory that all unauthenticated connections share for headers, handshakes and
// unread HTTP/2 answers.
type budget struct {
	mu      sync.Mutex
	limit   int64
	used    int64
	holders map[*Conn]struct{}
}

// charge adds the costs of the entries to the bytes that c holds of the memory budget, and reports
// whether c stays open. While the budget is exceeded, charge closes the connection for which bytes
// held times age is largest. So a client that sends a header and is authenticated a moment later is
// not disconnected.
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
	stays = b.evict(c)
	b.mu.Unlock()
	return stays
}

// evict closes connections while the budget is exceeded. It does not close the connection reader,
// whose Read is counting bytes, but returns false if that one is to be closed; reader may be nil.
func (b *budget) evict(reader *Conn) (stays bool) {
	stays = true
	for b.used > b.limit {
		victim := b.victim()
		b.release(victim)
		victim.evicted.Store(true)
		switch {
		case victim == reader:
			stays = false
		case victim.answerable():
			victim.above.Conn.SetReadDeadline(longAgo) // wakes the connection's reader, which then sends the refusal
		default:
			victim.cut()
		}
	}
	return stays
}

// answerable reports whether edge can still send a Status that explains why the connection is
// closed. Over HTTP/2 an incomplete header has no stream to answer on. While a handler runs, only
// that handler may write an answer.
func (c *Conn) answerable() bool { return c.counter != nil && !c.counter.http2() && c.running == 0 }

// victim returns the connection to close when the memory budget is exceeded: the connection for
// which bytes held times age is largest.
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

// hold adds n, which may be negative, to the bytes of the budget that c holds.
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

// release frees all bytes of the budget that c holds. c is not charged again.
func (b *budget) release(c *Conn) {
	b.hold(c, -c.held)
	c.reading, c.whole, c.free = 0, nil, true
}

// forget calls the method release for a connection that is authenticated or closed. It takes the
// lock of the budget.
func (b *budget) forget(c *Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.release(c)
}

// shaken frees the bytes of the budget that the TLS handshake held, and sets the counter for the
// requests that follow.
func (b *budget) shaken(c *Conn, requests counter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hold(c, -c.held)
	c.reading, c.counter = 0, requests
}

// begin records that a handler started, and returns the cost of the request's header. The caller
// passes this cost to end. Over HTTP/2 the oldest header is the right one: net/http starts handlers
// in the order of their headers.
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

// answer charges an unauthenticated connection for an answer whose handler has returned but which may
// wait for its client. It returns the cost, which the caller adds to that of begin; 0: the connection
// is authenticated by now, or is to be closed.
func (b *budget) answer(c *Conn) (cost int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.free {
		return 0
	}
	b.hold(c, answerCost)
	b.evict(nil)
	return answerCost
}

// end frees the bytes of the budget that a request held, because its handler has ended.
func (b *budget) end(c *Conn, cost int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.running--
	if !c.free {
		b.hold(c, -cost)
		b.settle(c)
	}
}

// rest records that no request is in progress on the connection c.
func (b *budget) rest(c *Conn) {
	c.counting.Lock()
	c.counter.rest()
	c.counting.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	c.idle = true
	b.settle(c)
}

// settle frees the bytes of the budget that were held for headers without a handler: net/http
// refused them itself, or their streams were reset before a handler started.
func (b *budget) settle(c *Conn) {
	if c.running == 0 && c.idle {
		for _, cost := range c.whole {
			b.hold(c, -cost)
		}
		c.whole = nil
	}
}

// mayAnswer does the same as the method answerable, for a caller that does not hold the lock of the
// budget.
func (b *budget) mayAnswer(c *Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return c.answerable()
}
