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
	// maxMarks limits the number of writes of one session that the server has not echoed yet.
	maxMarks = 64
	// lastWords is how long loadtest still reads a session after a write has failed, to find the
	// reason. It is also the timeout for writing the client's part of the close.
	lastWords = 2 * time.Second
)

// mark describes a write that the server has not echoed completely.
type mark struct {
	end  uint64    // offset of the first byte after the write, in the session's byte sequence
	time time.Time // when loadtest sent the write
	kind figure    // the measured duration to which this write's round trip is added; 0: none
}

// session is an echo session: an exec or a port-forward whose other end sends all bytes back. One
// goroutine reads the session until it ends. One other goroutine at a time writes.
type session struct {
	kind  *kind
	wire  *wire
	link  link
	bytes pattern
	tally *tally
	asked time.Time     // when the upgrade request was sent
	done  chan struct{} // closed when the session has ended; the field fault does not change after that
	fault *fault        // why the session failed; nil: it ended as it should

	// waiting is when the session began to wait for an echo or for its end, in Unix nanoseconds. 0:
	// the session waits for nothing. The watchdog goroutine reads it and cuts sessions that wait
	// too long.
	waiting atomic.Int64

	talk sync.Mutex // held while the field link writes to the connection

	mu       sync.Mutex    // guards the fields marks, sent, received, said, ending and cause
	marks    []mark        // writes that the server has not echoed completely, at most maxMarks
	sent     uint64        // number of bytes that the session has sent
	received uint64        // number of bytes that the server has echoed
	said     bool          // the session has sent its last bytes; its half-close follows
	ending   time.Time     // when the half-close was sent
	cause    error         // why loadtest closed the session's connection or could not write to it
	room     chan struct{} // receives a value when the server echoed data; nil: not a busy session
}

// begin starts the goroutine that reads an open session, and sends the first bytes.
func (s *session) begin() {
	s.done = make(chan struct{})
	go s.read()
	s.say(fewBytes, 0)
}

// read checks the bytes that the server echoes until the session ends. Then it records the result
// and closes the connection.
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
	case err != io.EOF: // compared with !=, because a fault can wrap io.EOF, and only io.EOF itself is the regular end
		s.fault = classify(err)
	case missing > 0:
		s.fault = classify(faultf(classMissing, "%d of %d bytes did not come back", missing, s.sent))
	case !said:
		s.fault = classify(faultf(classEarly, "the session ended before loadtest half-closed it"))
	default:
		s.tally.took(s.kind, ended, time.Since(s.ending))
		_ = s.wire.conn.SetWriteDeadline(time.Now().Add(lastWords))
		s.talk.Lock() // waits until no write is in progress: another goroutine may still be in link.finish
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

// check compares echoed bytes with the bytes that the session sent.
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

// await sets s.waiting to the time of the oldest write that the server has not echoed. If there is
// none, await sets it to now if the session has half-closed, and otherwise to 0. The caller holds
// mu.
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

// fits reports whether the session may send n more bytes now. At most inFlight bytes and at most
// maxMarks writes may be sent whose echo has not arrived.
func (s *session) fits(n, inFlight int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.marks) < maxMarks && s.sent-s.received+uint64(n) <= uint64(inFlight)
}

// say is the method that sends the next n bytes of the session's byte sequence, at most
// maxWriteSize. Their round trip is counted for the figure kind (0: not counted).
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

// finish sends the session's last bytes and half-closes. The session ends when the server has
// answered.
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

// unwritable records why a write to the session failed. It lets the session's reader continue for
// lastWords, because the server may have sent a message that states the reason.
func (s *session) unwritable(err error) {
	s.mu.Lock()
	if s.cause == nil {
		s.cause = err
	}
	s.mu.Unlock()
	_ = s.wire.conn.SetReadDeadline(time.Now().Add(lastWords))
}

// cut closes the session's connection at once and records why.
func (s *session) cut(why error) {
	s.mu.Lock()
	if s.cause == nil {
		s.cause = why
	}
	s.mu.Unlock()
	s.wire.cut()
}

// overdue returns the error of a session that waited for the server longer than timeout.
func (s *session) overdue(timeout time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.marks) > 0 {
		return faultf(classTimeout, "%d bytes did not come back within %s", s.sent-s.received, timeout)
	}
	return faultf(classTimeout, "the session did not end within %s after its half-close", timeout)
}
