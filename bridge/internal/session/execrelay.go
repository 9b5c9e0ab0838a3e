package session

import (
	"bytes"
	"time"

	"edge/streams"
)

// run relays an exec until the outcome is known or one of the session's connections ends. It
// returns true if the session continues in other goroutines; the last of these calls over.
func (e *execSession) run(over func()) (left bool) {
	e.inputDone, e.outputDone, e.closeReceived = make(chan struct{}), make(chan struct{}), make(chan struct{})
	e.setAwaitOpen(e.awaitAccepted)
	input := e.inputLoop(func() { close(e.inputDone) })
	go e.runThen(input.run, input.atEnd)
	if e.client.allOpened != nil && !e.awaitStreams() {
		e.readAccepts()
		e.finishOutput(nil)
		return false
	}
	return e.outputLoop(over).run()
}

// inputLoop returns the loop that relays the client's frames. After the end of the session the loop
// only waits for the client to close.
func (e *execSession) inputLoop(over func()) *loop {
	closed := false
	see := func(f *streams.Frame) (bool, error) {
		switch f.Kind {
		case streams.Open:
			e.client.opened()
			return false, nil
		case streams.Close:
			if closed || !e.client.closeCodes {
				e.goingAway = true
				return false, nil
			}
			closed = true
			close(e.closeReceived)
			e.answerClose(f.Code)
			return false, nil
		case streams.Data:
			e.echo.typed()
		}
		return true, nil
	}
	relay := func() error {
		err := e.input.run(see)
		for e.isStillReading(err) {
			e.down.Conn.SetReadDeadline(time.Now().Add(e.Linger))
			err = e.input.run(see)
		}
		return err
	}
	end := func(err error) { e.endInput(err, closed) }
	return &loop{direction: &e.input, session: e.session, relay: relay, end: end, atEnd: over}
}

// outputLoop returns the loop that relays the output of the process and then its Status.
func (e *execSession) outputLoop(over func()) *loop {
	var status []byte
	open := 0
	for _, exists := range []bool{e.set.Stdout, e.set.Stderr} {
		if exists {
			open++
		}
	}
	ended := map[streams.Role]bool{}
	see := func(f *streams.Frame) (bool, error) {
		forward := false
		switch f.Kind {
		case streams.Data:
			e.echo.printed()
			forward = true
		case streams.Status:
			status = bytes.Clone(f.Payload())
		// On WebSocket upstream sends nothing after its Close. On SPDY other frames may follow the
		// GOAWAY, in any order.
		case streams.Close:
			if e.upstream.closesLast && status != nil {
				return false, errCompleted
			}
		case streams.HalfClose, streams.Reset:
			role := f.Stream.Role
			isOutput := role == streams.Stdout || role == streams.Stderr
			if isOutput && !ended[role] {
				ended[role] = true
				open--
				f.Kind, forward = streams.HalfClose, true
			}
		}
		if status == nil {
			return forward, nil
		}
		if forward {
			e.output.write(*f)
			// Flush before the deadline for upstream is set, so that a slow client does not use up
			// upstream's time.
			e.output.flush()
		}
		if open == 0 {
			return false, errCompleted
		}
		// The outcome is known. Upstream should close at once; otherwise edge closes after Linger.
		e.up.Conn.SetReadDeadline(time.Now().Add(e.Linger))
		return false, nil
	}
	end := func(err error) { e.finishOutput(e.endOutput(err, status, ended)) }
	relay := func() error { return e.output.run(see) }
	return &loop{direction: &e.output, session: e.session, relay: relay, end: end, atEnd: over}
}
