package main

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"edge/streams"
)

const (
	// fewBytes is what an idle session says when it begins and when it ends.
	fewBytes = 16
	// maxMarks bounds the writes of one session that are on their way.
	maxMarks = 64
	// lastWords is how long a session that cannot be written to is still read, to learn why.
	lastWords = 2 * time.Second
)

// mark is a write that has not come back.
type mark struct {
	end  uint64 // offset of the byte after it
	time time.Time
	kind figure // what the time until it is back is counted as; 0: nothing
}

// session is one echo. A goroutine of its own reads it until it ends; one other at a time writes.
type session struct {
	kind  *kind
	wire  *wire
	link  link
	bytes pattern
	tally *tally
	asked time.Time     // when it was asked for
	done  chan struct{} // closed when it has ended; then fault is final
	fault *fault        // nil: it ended as it should

	// waiting is since when, in Unix nanoseconds, something is to come back; 0: nothing is. The watchdog reads it.
	waiting atomic.Int64

	talk sync.Mutex // held by who uses the link to write

	mu       sync.Mutex
	marks    []mark // at most maxMarks
	sent     uint64
	received uint64
	said     bool          // nothing more will be sent
	ending   time.Time     // since when
	cause    error         // why it was cut
	room     chan struct{} // told when something came back; nil: nobody waits for it
}

// begin starts the reader of a session whose connection stands, and says the first words.
func (s *session) begin() {
	s.done = make(chan struct{})
	go s.read()
	s.say(fewBytes, 0)
}

// read takes what comes back until the session ends.
func (s *session) read() {
	defer close(s.done)
	err := s.take()
	s.mu.Lock()
	endedHere := errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed)
	if endedHere && s.cause != nil {
		err = s.cause
	}
	said, missing := s.said, s.sent-s.received
	s.mu.Unlock()
	switch {
	case err != io.EOF: // itself, see link: a fault may wrap one
		s.fault = classify(err)
	case missing > 0:
		s.fault = classify(faultf(classMissing, "%d of %d bytes did not come back", missing, s.sent))
	case !said:
		s.fault = classify(faultf(classEarly, "it ended as if all had been said"))
	default:
		s.tally.took(s.kind, ended, time.Since(s.ending))
		_ = s.wire.conn.SetWriteDeadline(time.Now().Add(lastWords))
		s.talk.Lock() // whoever said the last words may not have returned yet
		s.link.bye()
		s.talk.Unlock()
	}
	s.waiting.Store(0)
	s.link.release()
	if s.fault != nil {
		s.wire.cut()
	}
	s.wire.close()
	s.tally.finished(s.kind, s.fault)
}

func (s *session) take() error {
	for {
		b, err := s.link.receive()
		if err != nil {
			return err
		}
		if err := s.check(b, time.Now()); err != nil {
			return err
		}
	}
}

// check holds what came back against what was said.
func (s *session) check(b []byte, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.received == 0 {
		s.tally.took(s.kind, firstByte, now.Sub(s.asked))
	}
	if s.received+uint64(len(b)) > s.sent {
		return faultf(classWrong, "%d bytes came back, %d were said", s.received+uint64(len(b)), s.sent)
	}
	if at := s.bytes.differs(b, s.received); at >= 0 {
		return faultf(classWrong, "byte %d is not the one that was said", s.received+uint64(at))
	}
	s.received += uint64(len(b))
	s.tally.down.Add(int64(len(b)))
	back := 0
	for back < len(s.marks) && s.marks[back].end <= s.received {
		if m := s.marks[back]; m.kind != 0 {
			s.tally.took(s.kind, m.kind, now.Sub(m.time))
		}
		back++
	}
	if back > 0 {
		s.marks = s.marks[:copy(s.marks, s.marks[back:])]
	}
	s.await(now)
	select {
	case s.room <- struct{}{}:
	default:
	}
	return nil
}

// await says what the watchdog has to know, mu held.
func (s *session) await(now time.Time) {
	switch {
	case len(s.marks) > 0:
		s.waiting.Store(s.marks[0].time.UnixNano())
	case s.said:
		s.waiting.Store(now.UnixNano())
	default:
		s.waiting.Store(0)
	}
}

// fits tells whether n more bytes may be on their way.
func (s *session) fits(n, inFlight int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.marks) < maxMarks && s.sent-s.received+uint64(n) <= uint64(inFlight)
}

// say sends the next n bytes, at most maxWriteSize. The time until they are back is counted as kind says.
func (s *session) say(n int, kind figure) {
	buf := streams.Borrow()
	defer streams.Return(buf)
	now := time.Now()
	s.mu.Lock()
	s.bytes.fill(buf[streams.Headroom:streams.Headroom+n], s.sent)
	s.sent += uint64(n)
	s.marks = append(s.marks, mark{s.sent, now, kind})
	s.await(now)
	s.mu.Unlock()
	s.talk.Lock()
	err := s.link.send(buf[:streams.Headroom+n], streams.Headroom)
	s.talk.Unlock()
	if err != nil {
		s.unwritable(err)
		return
	}
	s.tally.up.Add(int64(n))
}

// finish says the last words. The session ends when the other side has answered.
func (s *session) finish() {
	s.say(fewBytes, 0)
	s.mu.Lock()
	s.said = true
	s.ending = time.Now()
	s.await(s.ending)
	s.mu.Unlock()
	s.talk.Lock()
	err := s.link.finish()
	s.talk.Unlock()
	if err != nil {
		s.unwritable(err)
	}
}

// unwritable keeps why nothing can be said any more. What the peer said before may tell more.
func (s *session) unwritable(err error) {
	s.mu.Lock()
	if s.cause == nil {
		s.cause = err
	}
	s.mu.Unlock()
	_ = s.wire.conn.SetReadDeadline(time.Now().Add(lastWords))
}

// cut ends the session for a reason of ours.
func (s *session) cut(why error) {
	s.mu.Lock()
	if s.cause == nil {
		s.cause = why
	}
	s.mu.Unlock()
	s.wire.cut()
}

// overdue is what a session waited for in vain.
func (s *session) overdue(timeout time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.marks) > 0 {
		return faultf(classTimeout, "%d bytes did not come back in %s", s.sent-s.received, timeout)
	}
	return faultf(classTimeout, "no end in %s after stdin's", timeout)
}
