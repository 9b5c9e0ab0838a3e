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
	// fewBytes is the number of bytes that a session sends when it begins and again when it ends.
	fewBytes = 16
	// maxMarks limits the number of writes of one session that have not come back.
	maxMarks = 64
	// lastWords is how long loadtest still reads a session after a write has failed, to find the
	// reason. It also limits the write of the client's close.
	lastWords = 2 * time.Second
)

// mark describes a write that has not come back completely.
type mark struct {
	end  uint64    // offset of the byte after the write, in the session's sequence
	time time.Time // when loadtest wrote it
	kind figure    // figure that counts the round trip of this write; 0: none
}

// session is an echo session: an exec or a port-forward. A goroutine of its own reads it until it
// ends. One other goroutine at a time writes.
type session struct {
	kind  *kind
	wire  *wire
	link  link
	bytes pattern
	tally *tally
	asked time.Time     // when the upgrade request was sent
	done  chan struct{} // closed when the session has ended; fault is final then
	fault *fault        // why the session failed; nil: it ended as it should

	// waiting is the time, in Unix nanoseconds, since which the session waits for data or for its
	// end. 0: it waits for nothing. The watchdog reads waiting.
	waiting atomic.Int64

	talk sync.Mutex // held while the link writes

	mu       sync.Mutex    // guards marks, sent, received, said, ending and cause
	marks    []mark        // at most maxMarks
	sent     uint64        // bytes sent
	received uint64        // bytes that came back
	said     bool          // set after the last bytes, before the half-close
	ending   time.Time     // when the half-close was sent
	cause    error         // why loadtest cut the session or could not write to it
	room     chan struct{} // receives a value when data came back; nil: not a busy session
}

// begin starts the reader of an open session and sends the first bytes.
func (s *session) begin() {
	s.done = make(chan struct{})
	go s.read()
	s.say(fewBytes, 0)
}

// read checks what comes back until the session ends. Then it records the result and closes the
// connection.
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
	case err != io.EOF: // compared with !=, because a fault can wrap io.EOF: see link.receive
		s.fault = classify(err)
	case missing > 0:
		s.fault = classify(faultf(classMissing, "%d of %d bytes did not come back", missing, s.sent))
	case !said:
		s.fault = classify(faultf(classEarly, "the session ended before loadtest half-closed it"))
	default:
		s.tally.took(s.kind, ended, time.Since(s.ending))
		_ = s.wire.conn.SetWriteDeadline(time.Now().Add(lastWords))
		s.talk.Lock() // finish may still be in link.finish
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

// check compares bytes that came back with the bytes that the session sent.
func (s *session) check(b []byte, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.received == 0 {
		s.tally.took(s.kind, firstByte, now.Sub(s.asked))
	}
	if s.received+uint64(len(b)) > s.sent {
		return faultf(classWrong, "%d bytes came back, but only %d were sent", s.received+uint64(len(b)), s.sent)
	}
	if at := s.bytes.differs(b, s.received); at >= 0 {
		return faultf(classWrong, "byte %d differs from the byte that was sent", s.received+uint64(at))
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

// await sets waiting: to the time of the oldest write that has not come back, to now if the session
// has half-closed, otherwise to 0. The caller holds mu.
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

// fits reports whether the session may send n more bytes now: at most inFlight bytes and at most
// maxMarks writes may be without an echo.
func (s *session) fits(n, inFlight int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.marks) < maxMarks && s.sent-s.received+uint64(n) <= uint64(inFlight)
}

// say sends the next n bytes of the session's sequence, at most maxWriteSize. Their round trip is
// counted as kind.
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

// finish sends the last bytes and half-closes. The session ends when the server has answered.
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

// unwritable records why a write failed. It lets the reader continue for lastWords, because the
// server may have sent a better reason.
func (s *session) unwritable(err error) {
	s.mu.Lock()
	if s.cause == nil {
		s.cause = err
	}
	s.mu.Unlock()
	_ = s.wire.conn.SetReadDeadline(time.Now().Add(lastWords))
}

// cut ends the session at once and records why.
func (s *session) cut(why error) {
	s.mu.Lock()
	if s.cause == nil {
		s.cause = why
	}
	s.mu.Unlock()
	s.wire.cut()
}

// overdue returns the error of a session that waited longer than timeout.
func (s *session) overdue(timeout time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.marks) > 0 {
		return faultf(classTimeout, "%d bytes did not come back within %s", s.sent-s.received, timeout)
	}
	return faultf(classTimeout, "the session did not end within %s after its half-close", timeout)
}
