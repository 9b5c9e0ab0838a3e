package bridge

import "time"

// awaitStreams waits until the SPDY client has opened its streams. client-go
// does not hear a thing before they are all accepted, so a shutdown waits too.
func (e *execSession) awaitStreams() bool {
	late := time.NewTimer(e.times.open)
	defer late.Stop()
	over := (<-chan struct{})(e.over)
	for {
		select {
		case <-e.whole:
			return true
		case <-over:
			if e.cause() != errShutdown {
				return e.isWhole()
			}
			over = nil
			late.Reset(e.linger)
		case <-late.C:
			e.ended(errNotOpened)
			return false
		}
	}
}

func (e *execSession) isWhole() bool {
	select {
	case <-e.whole:
		return true
	default:
		return false
	}
}

// settleTime is how long a session with a WebSocket upstream lasts at least. The API
// server opens the runtime's streams after its 101, and does not tell when; on a busy machine
// that took more than a second.
const settleTime = 5 * time.Second

// awaitAccepted lets upstream answer the opens of its streams before the session's
// end reaches it. The container runtime sends those answers from a queue, and
// github.com/moby/spdystream waits for them without end, in the first write of what
// the container says, if the connection was closed before: an attach that was cut
// would stop the container's output for everybody.
func (e *execSession) awaitAccepted() {
	late := time.NewTimer(time.Until(e.acceptedBy()))
	defer late.Stop()
	select {
	case <-e.accepted:
	case <-e.outputDone:
	case <-late.C:
	}
}

// acceptedBy is until when to wait for it.
func (e *execSession) acceptedBy() time.Time {
	if e.accepted == nil {
		return e.started.Add(min(settleTime, e.linger))
	}
	return time.Now().Add(e.linger)
}

// readAccepts is awaitAccepted on the output loop, where the client has gone before
// there was anything to relay.
func (e *execSession) readAccepts() {
	e.up.conn.SetReadDeadline(e.acceptedBy())
	for {
		select {
		case <-e.accepted:
			return
		default:
		}
		if _, err := e.output.src.Next(); err != nil {
			return
		}
	}
}
